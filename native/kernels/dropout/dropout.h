// Dropout whose mask is a function of a seed and positions alone.
//
//   y[i] = scale · x[i] where word(first + i) ≥ threshold, else 0
//
// word(j) is a number of 32 bits: word (j mod 64) / 16 of Philox4x32-10 with the seed as its key and counter
// 16 (j / 64) + j mod 16, divisions without remainder. (J. K. Salmon et al., "Parallel random numbers: as easy as
// 1, 2, 3", SC (2011).) So 16 lanes take one word each of 16 counters. The mask does not depend on threads, on the
// instruction set, or on which part of a tensor is computed. Buffers are the caller's; x and y may be the same.
#pragma once

#include <cstdint>

namespace throughtime {

struct Dropout {
  bool is_double;           // else float
  std::uint64_t seed;
  std::uint32_t threshold;  // p · 2³²
  double scale;             // 1 / (1 − p)
  std::int64_t first;       // position of x[0], at least 0
  std::int64_t count;
  int threads;              // at most so many
  const void* x;            // (count)
  void* y;                  // (count)
};

void dropout(const Dropout& call);

}  // namespace throughtime
