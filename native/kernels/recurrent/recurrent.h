// The loop over time of one recurrent layer, forward and backward, in one or two directions.
//
// Letters: B sequences, T tokens in all, I inputs, H hidden units, P values of h (H, or the projection's
// size), G gates (weights: LSTM 4, GRU 3, RNN 1), S slots (what is kept of the gates per step: LSTM and GRU
// 4, RNN 0), D directions. All matrices are row-major. Every buffer is the caller's: the callee keeps no
// address, and takes scratch memory from a pool of its own. No two buffers overlap, unless said.
#pragma once

#include <cstdint>

namespace throughtime {

enum class Cell : std::int32_t { lstm = 0, gru = 1, rnn_tanh = 2, rnn_relu = 3 };

// In which row of an array the token at time t of sequence b lies.
enum class Order : std::int32_t {
  ragged = 0,       // index[b] + t; index: B + 1 offsets, 0 first, T last
  time_major = 1,   // t · B + b; every sequence has `length` tokens
  batch_first = 2,  // b · length + t
  packed = 3,       // index[0] + … + index[t − 1] + b; index: `length` batch sizes, never increasing
};

struct Tokens {
  Order order;
  std::int64_t batch;         // B
  std::int64_t length;        // see Order; unused for ragged
  const std::int64_t* index;  // see Order; null for dense orders
};

// What both passes read of one direction. T is float or double, as the call says.
struct Weights {
  const void* ih;       // (G·H, I)
  const void* hh;       // (G·H, P)
  const void* bias_ih;  // (G·H), or null
  const void* bias_hh;  // (G·H), or null; both or none
  const void* hr;       // (P, H), or null where there is no projection (then P = H)
};

struct Shape {
  Cell cell;
  bool is_double;
  int inputs;      // I
  int hidden;      // H
  int state;       // P
  int directions;  // D, 1 or 2; the second reads every sequence from its end
};

struct ForwardDirection {
  Weights weights;
  const void* h0;  // (B, P), or null for zeros
  const void* c0;  // (B, H), or null for zeros; LSTM only
  void* h_n;       // (B, P): h after each sequence's own last step
  void* c_n;       // (B, H); LSTM only, else null
  void* c;         // (T, H): c of every step, or null where nobody wants it
  void* gates;     // (T, S, H): LSTM i f g o; GRU r z n and W_hn h + b_hn; or null
};

struct ForwardCall {
  Shape shape;
  Tokens tokens;
  int threads;    // at most so many
  const void* x;  // (T, I)
  void* y;        // (T, D·P): h of every step, side by side
  ForwardDirection direction[2];
};

struct BackwardDirection {
  Weights weights;
  const void* h0;      // as in the forward call
  const void* c0;
  const void* c;       // as the forward call left them; LSTM only
  const void* gates;
  const void* dh_n;    // gradient of h_n, (B, P), or null for zeros
  const void* dc_n;    // of c_n, (B, H), or null
  const void* dc;      // of c, (T, H), or null
  const void* dgates;  // of gates, (T, S, H), or null
  void* dh0;           // (B, P), or null where nobody wants it
  void* dc0;           // (B, H), or null
  void* dw_ih;         // as the weights; all of them or none (then null)
  void* dw_hh;
  void* db_ih;         // null where there are no biases, too
  void* db_hh;
  void* dw_hr;
  void* dh_steps;      // (T, P): the whole gradient of h at every step, or null where nobody wants it
  void* dc_steps;      // (T, H): of c, LSTM only
};

struct BackwardCall {
  Shape shape;
  Tokens tokens;
  int threads;
  const void* x;   // (T, I), as in the forward call
  const void* y;   // (T, D·P), as the forward call left it
  const void* dy;  // gradient of y, or null for zeros
  void* dx;        // (T, I), or null where nobody wants it
  BackwardDirection direction[2];
};

void recurrent_forward(const ForwardCall& call);
void recurrent_backward(const BackwardCall& call);

}  // namespace throughtime
