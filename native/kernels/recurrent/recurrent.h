// The loop over time of one recurrent layer, forward and backward, in one or two directions.
//
// Letters: B sequences, T tokens in all, I inputs, H hidden units, P values of h (H, or the projection's
// size), D directions, and by cell
//
//                           G gates   S kept of each step        K preactivations, in the order of `dpre`
//   lstm, lstm_general      i f g o   i f g o                    i f g o
//   lstm_coupled (f = 1−i)  i g o     i f g o                    i g o
//   gru, gru_general        r z n     r z n, W_hn h + b_hn       r z n, W_hn h + b_hn
//   gru_before              r z n     r z n                      r z n
//                           whose reset gate acts on h before the product: W_hn (r ⊙ h)
//   rnn_…                   one       nothing                    one
//   mgu                     f n       f n                        f n
//   layer_norm_lstm         i f g o   i f g o, then W_hh h of    i f g o, then W_hh h of
//                                     each, then W_ih x of each  each, then W_ih x of each
//
// All matrices are row-major. Every buffer is the caller's: the callee keeps no
// address, and takes scratch memory from a pool of its own. No two buffers overlap, unless said.
#pragma once

#include <cstdint>

#include "kernels/recurrent/cells.h"

namespace throughtime {

enum class Cell : std::int32_t {
#define THROUGHTIME_NAME(name, ...) name,
  THROUGHTIME_CELLS(THROUGHTIME_NAME)
};

enum class Activation : std::int32_t { THROUGHTIME_ACTIVATIONS(THROUGHTIME_NAME) };
#undef THROUGHTIME_NAME

// Parameters that one cell alone has, such as peepholes: vectors of H, one below the other.
inline constexpr int most_own = 4;

// What the general, coupled and reset-before cells read, but for the last two.
struct Options {
  Activation activation[3];  // LSTM: of the gates, of g, of c; GRU: of r and z, of n; RNN: of h
  double alpha[3];
  double beta[3];
  double clip;       // bound on what goes into the activations of gates and candidates; infinity for none
  double cell_clip;  // bound on c
  bool update_new;   // GRU: h = (1 − z) h + z n, where torch has (1 − z) n + z h
  double epsilon;    // LayerNorm's, added to the variance
  std::int32_t own_rows[most_own];  // rows of H of each of the cell's own parameters; 0 for none
  // Of every cell: bounds on the gradients of h and of c that pass from a step to the one before it, on each
  // entry and on each sequence's norm; 0 or infinity for none.
  double gradient_value;
  double gradient_norm;
  // Of every cell, in float32: whether the factors of all matrix products are rounded to bfloat16 (tiles.h). Sums,
  // states, gates and all gradients that the caller gets are float32.
  bool bfloat16;
};

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
  // (T), by row: whether a sequence begins again with this token, from a state of zeros; or null. The second direction
  // begins again where it comes from such a token to the one before it.
  const std::int8_t* reset = nullptr;
};

// What both passes read of one direction. T is float or double, as the call says.
struct Weights {
  const void* ih;       // (G·H, I)
  const void* hh;       // (G·H, P)
  const void* bias_ih;  // (G·H), or null
  const void* bias_hh;  // (G·H), or null; both or none
  const void* hr;       // (P, H), or null where there is no projection (then P = H)
  const void* own[most_own];  // (own_rows · H) each, or null: lstm_general peepholes of i f o, lstm_coupled of i o;
                              // layer_norm_lstm gains of W_ih x and of W_hh h, then gain and bias of c
};

struct Shape {
  Cell cell;
  bool is_double;
  int inputs;      // I
  int hidden;      // H
  int state;       // P
  int directions;  // D, 1 or 2; the second reads every sequence from its end
  Options options;
};

struct ForwardDirection {
  Weights weights;
  const void* h0;  // (B, P), or null for zeros
  const void* c0;  // (B, H), or null for zeros; LSTM only
  void* h_n;       // (B, P): h after each sequence's own last step
  void* c_n;       // (B, H); LSTM only, else null
  void* c;         // (T, H): c of every step, or null if not needed
  void* gates;     // (T, S, H), or null
  const void* context;  // (B, G·H): what every step of a sequence adds to x · W_ihᵀ, or null
};

struct ForwardCall {
  Shape shape;
  Tokens tokens;
  int threads;    // at most so many
  const void* x;  // (T, I)
  void* y;        // (T, D·P): h of every step, side by side
  ForwardDirection direction[2];
};

// Of one token in a backward pass, each a number of the type of the call: the norms of ∂L/∂h, ∂L/∂c, the gradient
// of what h_{t−1} · W_hhᵀ adds to, and h_{t−1}; of a reset-before GRU also of the gradient of what the second
// product adds to, and of r ⊙ h_{t−1}, else zeros. Then for each of the S kept values how many units are closed,
// below 0.1, and open, above 0.9.
inline constexpr int summary_norms = 6;
inline constexpr int most_saved = 12;
inline constexpr int most_summary = summary_norms + 2 * most_saved;  // summary_norms + 2·S of them

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
  void* dh0;           // (B, P), or null if not needed
  void* dc0;           // (B, H), or null
  void* dw_ih;         // as the weights; all of them or none (then null)
  void* dw_hh;
  void* db_ih;         // null where there are no biases, too
  void* db_hh;
  void* dw_hr;
  void* dh_steps;      // (T, P): the whole gradient of h at every step, or null if not needed
  void* dc_steps;      // (T, H): of c, LSTM only
  void* dpre;          // (T, K, H): of the preactivations at every step, or null
  void* kept;          // (T): what the bounds left of the gradient that passes on from a step, 1 for all; or null
  void* summary;       // (T, summary_norms + 2·S), or null
  void* d_own;          // of all own parameters, one below the other; as the weights' gradients
  void* dcontext;      // (B, G·H), or null
};

struct BackwardCall {
  Shape shape;
  Tokens tokens;
  int threads;
  const void* x;   // (T, I), as in the forward call
  const void* y;   // (T, D·P), as the forward call left it
  const void* dy;  // gradient of y, or null for zeros
  void* dx;        // (T, I), or null if not needed
  BackwardDirection direction[2];
};

void recurrent_forward(const ForwardCall& call);
void recurrent_backward(const BackwardCall& call);

}  // namespace throughtime
