// What both algorithms of a CRF share: the sequences of a thread, and the scores of a step relative to their maximum.
#pragma once

#include "kernels/crf/crf.h"
#include "kernels/feature_tile.h"
#include "kernels/parallel.h"
#include "kernels/range.h"

namespace throughtime::TT_ISA {

// Calls body(rows of the tokens) for every sequence with tokens that thread `rank` has: those that begin in its share of
// the tokens.
template <class Body>
void each_sequence(const CrfChain& chain, int rank, int size, const Body& body) {
  const std::int64_t tokens = chain.offsets[chain.sequences];
  const std::int64_t from = tokens * rank / size, to = tokens * (rank + 1) / size;
  for (std::int64_t b = 0; b < chain.sequences; ++b) {
    const std::int64_t begin = chain.offsets[b], end = chain.offsets[b + 1];
    if (begin < end && begin >= from && begin < to) body(Range{begin, end});
  }
}

// The largest of `count` values; NaN is ignored after the first.
template <class T>
inline T largest(const T* values, std::ptrdiff_t count) {
  T top = values[0];
  for (std::ptrdiff_t j = 1; j < count; ++j) top = values[j] > top ? values[j] : top;
  return top;
}

// sum = x + y, (count,)
template <class T>
inline void add(const T* x, const T* y, T* sum, std::ptrdiff_t count) {
  each_tile<T>(0, count, [&](std::ptrdiff_t j, auto tile) {
    for (int n = 0; n < decltype(tile)::vectors; ++n) tile.store(sum + j, n, tile.load(x + j, n) + tile.load(y + j, n));
  });
}

}  // namespace throughtime::TT_ISA
