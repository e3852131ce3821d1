// Correlation in time over a batch of concatenated sequences, and its gradients.
//
//   y[t, o] = bias[o] + Σ_k Σ_c weight[o, c, k] · x[t·stride + k·dilation − left, c]
//
// Positions outside of a sequence are zero or, on request, its first or last token. Letters: B sequences, T and
// T' tokens in and out, C and O channels in and out, G groups, K taps. All matrices are row-major. Every buffer
// is the caller's: the callee keeps no address, and takes scratch memory from a pool of its own. No two overlap.
#pragma once

#include <cstdint>

namespace throughtime {

struct ConvShape {
  bool is_double;         // else float: T below
  bool replicate;         // what lies beyond a sequence
  std::int64_t channels;  // C
  std::int64_t outputs;   // O
  std::int64_t groups;    // G, divides both
  std::int64_t width;     // K
  std::int64_t stride;
  std::int64_t dilation;
  std::int64_t left;      // positions before a sequence that its first window covers; may be negative
};

struct ConvBatch {
  std::int64_t sequences;            // B
  const std::int64_t* offsets;       // B + 1: where the tokens of x begin and end, 0 first, T last
  const std::int64_t* out_offsets;   // B + 1: of y. A sequence without tokens has no windows either.
};

struct ConvForward {
  ConvShape shape;
  ConvBatch batch;
  int threads;         // at most so many
  const void* x;       // (T, C)
  const void* weight;  // (O, C / G, K)
  const void* bias;    // (O), or null
  bool relu;           // of the sum
  void* y;             // (T', O)
};

// dx[s, c] = start[c] + Σ weight[o, c, k] · dy[t, o] over t·stride + k·dilation − left = s: by itself the
// transposed convolution.
struct ConvInputGradient {
  ConvShape shape;
  ConvBatch batch;
  int threads;
  const void* dy;      // (T', O)
  const void* weight;  // (O, C / G, K)
  const void* start;   // (C), or null for zeros
  void* dx;            // (T, C)
};

struct ConvWeightGradient {
  ConvShape shape;
  ConvBatch batch;
  int threads;
  const void* x;   // (T, C)
  const void* dy;  // (T', O)
  void* dw;        // (O, C / G, K)
  void* db;        // (O), or null if not needed
};

void conv_forward(const ConvForward& call);
void conv_input_gradient(const ConvInputGradient& call);
void conv_weight_gradient(const ConvWeightGradient& call);

}  // namespace throughtime
