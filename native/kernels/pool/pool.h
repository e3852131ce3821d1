// Pooling in time over a batch of concatenated sequences, and its gradients.
//
//   max:  y[t, c] = max_k x[t·stride + k·dilation − left, c]
//   sum:  y[t, c] = (1 / n_t) Σ_k x[t·stride + k·dilation − left, c]
//
// 0 ≤ k < size; taps outside of the sequence are left out. A whole sequence is one window of the size of the
// longest. Letters: B sequences, T and T' tokens in and out, C features. All matrices are row-major. Every buffer
// is the caller's: the callee keeps no address. No two overlap.
#pragma once

#include <cstdint>

namespace throughtime {

struct PoolShape {
  bool is_double;          // else float: T below
  std::int64_t features;   // C
  std::int64_t size;       // 0 or more taps
  std::int64_t stride;
  std::int64_t dilation;
  std::int64_t left;       // positions before a sequence that its first window covers; may be negative
};

struct PoolBatch {
  std::int64_t sequences;            // B
  const std::int64_t* offsets;       // B + 1: where the tokens of x begin and end, 0 first, T last
  const std::int64_t* out_offsets;   // B + 1: of y
};

// Of equal values the first is the largest; NaN is larger than all numbers, and the first NaN than the others.
struct PoolMax {
  PoolShape shape;
  PoolBatch batch;
  int threads;      // at most so many
  double nothing;   // y of a window without taps in the sequence
  int index_bytes;  // 1 for sizes up to 127, or 4: I below is a signed integer of so many
  const void* x;    // (T, C)
  void* y;          // (T', C)
  void* index;      // (T', C) of I: the tap k of the largest, −1 without taps; null where nobody wants it
};

struct PoolMaxGradient {
  PoolShape shape;
  PoolBatch batch;
  int threads;
  int index_bytes;
  const void* dy;     // (T', C)
  const void* index;  // (T', C) of I
  void* dx;           // (T, C)
};

// n_t, at least 1.
enum class PoolDivisor : std::int32_t {
  one = 0,     // 1: the sum itself
  real = 1,    // taps in the sequence
  border = 2,  // taps in the sequence and its borders, `left` before it and `right` behind it
};

struct PoolSum {
  PoolShape shape;
  PoolBatch batch;
  int threads;
  PoolDivisor divisor;
  std::int64_t right;
  const void* x;  // (T, C)
  void* y;        // (T', C)
};

struct PoolSumGradient {
  PoolShape shape;
  PoolBatch batch;
  int threads;
  PoolDivisor divisor;
  std::int64_t right;
  const void* dy;  // (T', C)
  void* dx;        // (T, C)
};

// How many windows each sequence has, as torch counts them: those that fit it and its borders; with `ceil_mode` also
// one that hangs over the end, if it begins before it. An empty sequence has none.
struct PoolWindows {
  PoolShape shape;
  std::int64_t right;
  bool ceil_mode;
  std::int64_t sequences;
  const std::int64_t* offsets;  // B + 1
  std::int64_t* out_offsets;    // B + 1
};

// Returns T'.
std::int64_t pool_windows(const PoolWindows& call);
void pool_max(const PoolMax& call);
void pool_max_gradient(const PoolMaxGradient& call);
void pool_sum(const PoolSum& call);
void pool_sum_gradient(const PoolSumGradient& call);

}  // namespace throughtime
