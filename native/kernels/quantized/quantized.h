// Layers with int8 weights: linear, convolution in time, and the loop over time of RNN, LSTM and GRU. Inference only.
//
// A row of weights w has one scale s, so that w ≈ s · q with q from −127 to 127; so has each token x, whose scale
// a = max |x| / 127 comes from that token alone. Sums of products of integers are exact:
//
//   y = bias + s · Σ_k a_k · (Σ_c q[c, k] · token_k[c])       k: taps, one of a linear layer
//
// A token with NaN or an infinity has the scale NaN. Values below `least_scaled` are zeros.
//
// Packed weights are panels of columns (of the result): `groups` of four factors, and in each group the columns of the
// panel, four bytes each: (panels, groups, width, 4), width = 16 · vectors. They are the same for all instruction sets.
// Scales and biases are (panels · width); all of them are padded with zeros.
//
// Every buffer is the caller's, and none overlap.
#pragma once

#include <cstdint>

#include "kernels/recurrent/recurrent.h"

namespace throughtime {

inline constexpr int packed_columns = 16;         // of a vector
inline constexpr int packed_factors = 4;          // of a group
inline constexpr int most_packed_vectors = 4;     // of a panel
inline constexpr float least_scaled = 1e-30f;
inline constexpr std::int64_t most_factors = 65536;  // of a sum, so that it fits into 32 bits

struct PackedWeights {
  const std::int8_t* values;
  const float* scale;
  std::int64_t panels, groups;
  int vectors;
};

// y (T', O) of tokens x (T, C). A linear layer is a convolution of one tap over one sequence.
struct QuantizedCorrelate {
  PackedWeights weights;   // groups: taps · ⌈C / 4⌉
  const float* bias;       // as the scales
  std::int64_t channels;   // C
  std::int64_t columns;    // O
  std::int64_t taps, stride, dilation, left;
  bool replicate;          // borders repeat the first and last token, else they are zeros
  std::int64_t sequences;
  const std::int64_t *offsets, *out_offsets;  // (B + 1)
  int threads;
  const float* x;
  float* y;
};

struct QuantizedDirection {
  PackedWeights ih, hh;    // a panel holds the gates of 16 units, in the order of the cell's slots; of an RNN, columns
  const float* bias;       // as the scales of ih: b_ih, plus b_hh but for n of a GRU
  const float* bias_late;  // (panels · 16): b_hn of a GRU, else null
  const float* h0;         // (B, H), or null for zeros
  const float* c0;         // the same; LSTM only
  float* h_n;              // (B, H)
  float* c_n;              // (B, H); LSTM only, else null
};

struct QuantizedRecurrent {
  Cell cell;  // lstm, gru, rnn_tanh or rnn_relu
  Tokens tokens;
  int inputs, hidden, directions;
  int threads;
  const float* x;  // (T, I)
  float* y;        // (T, D·H)
  QuantizedDirection direction[2];
};

void quantized_correlate(const QuantizedCorrelate& call);
void quantized_recurrent(const QuantizedRecurrent& call);

// Sums of products (rows, panels · width) of rows (rows, 4 · groups) and packed weights with the instructions of that
// name, for tests; false if this processor or build does not have them.
bool quantized_sums(const char* name, const std::int8_t* rows, std::int64_t count, const PackedWeights& weights,
                    std::int32_t* sums);

// The names of the sets of instructions that there are here, best first, null at the end; and the one in use: that of
// the environment variable THROUGHTIME_INT8, null if there is none of this name, else the best of the instruction set of
// all kernels.
const char* const* quantized_sets();
const char* quantized_set();

}  // namespace throughtime
