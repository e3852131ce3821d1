// Normalisation by mean and variance over consecutive segments of tokens, and its gradient.
//
//   y[t, c] = a((x[t, c] − μ[s, g]) r[s, g] γ[c] + β[c]),   r = 1 / √(σ² + eps)
//
// s is the segment of t, g the group of c; μ and σ² (biased) are those of the segment's tokens and the group's
// features, or are given; a is the identity or ReLU. Batch normalisation has one segment, and each feature is a
// group. Letters: S segments, T tokens, C features, G groups. All matrices are row-major. Every buffer is the
// caller's: the callee keeps no address. No two overlap.
#pragma once

#include <cstdint>

namespace throughtime {

struct NormShape {
  bool is_double;         // else float: T below
  bool relu;
  std::int64_t features;  // C
  std::int64_t groups;    // G, which divides C
  double eps;
};

struct NormSegments {
  std::int64_t count;           // S
  const std::int64_t* offsets;  // S + 1: where the tokens begin and end, 0 first, T last
};

// One segment, and a group for each feature: m = (1 − momentum) m + momentum · new, of the variance the unbiased one.
struct NormRunning {
  double momentum;
  void* mean;      // (C); null: nothing is updated
  void* variance;  // (C)
};

struct NormForward {
  NormShape shape;
  NormSegments segments;
  int threads;                 // at most so many
  NormRunning running;
  const void* fixed_mean;      // (C): μ is given, and G is C; null: it is computed
  const void* fixed_variance;  // (C)
  const void* x;               // (T, C)
  const void* gamma;           // (C); null: ones
  const void* beta;            // (C); null: zeros
  void* y;                     // (T, C)
  void* mean;                  // (S, G), for the gradient; of an empty segment zeros
  void* scale;                 // (S, G): r
};

struct NormBackward {
  NormShape shape;
  NormSegments segments;
  int threads;
  bool fixed;         // μ and σ² do not depend on x
  const void* x;      // (T, C)
  const void* dy;     // (T, C)
  const void* gamma;  // (C) or null
  const void* beta;   // (C) or null
  const void* mean;   // (S, G)
  const void* scale;  // (S, G)
  void* dx;           // (T, C); null: not wanted
  void* dgamma;       // (C); null: not wanted
  void* dbeta;        // (C); null: not wanted
};

void norm_forward(const NormForward& call);
void norm_backward(const NormBackward& call);

}  // namespace throughtime
