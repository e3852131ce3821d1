// The Viterbi algorithm of a CRF.
#pragma once

#include "kernels/crf/chain.h"
#include "kernels/pieces.h"

namespace throughtime::TT_ISA {

// An integer of the size of T: vectors of both have as many lanes.
template <class T>
struct SameSize;
template <>
struct SameSize<float> {
  using Integer = std::int32_t;
};
template <>
struct SameSize<double> {
  using Integer = std::int64_t;
};
template <class T>
using Tag = typename SameSize<T>::Integer;

// The index of the largest of `count` values, of equal ones the first.
template <class T>
inline std::ptrdiff_t place_of_largest(const T* values, std::ptrdiff_t count) {
  std::ptrdiff_t place = 0;
  for (std::ptrdiff_t j = 1; j < count; ++j) place = values[j] > values[place] ? j : place;
  return place;
}

// A thread's own memory for one sequence of at most `longest` tokens.
template <class T>
struct PathScratch {
  T *a, *score;      // (C,)
  Tag<T>* previous;  // (longest, C): the tag before, on the best path to each tag
};

template <class T>
inline void viterbi_step(const CrfChain& chain, const PathScratch<T>& own, const T* x, Tag<T>* previous) {
  const std::ptrdiff_t tags = chain.tags;
  // Relative to the largest: otherwise the magnitude, and so the rounding error, would grow with the steps.
  const T top = largest(own.score, tags);
  for (std::ptrdiff_t i = 0; i < tags; ++i) own.a[i] = own.score[i] - top;
  each_tile<T, 4>(0, tags, [&](std::ptrdiff_t j, auto tile) {
    constexpr int N = decltype(tile)::vectors;
    const T* scores = static_cast<const T*>(chain.transitions) + j;
    Vec<T> best[N];
    IntVec<T> place[N] = {};
    for (int n = 0; n < N; ++n) best[n] = broadcast<T>(own.a[0]) + tile.load(scores, n);
    for (std::ptrdiff_t i = 1; i < tags; ++i) {
      scores += tags;
      const Vec<T> before = broadcast<T>(own.a[i]);
      const IntVec<T> here = IntVec<T>{} + static_cast<Tag<T>>(i);
      for (int n = 0; n < N; ++n) {
        const Vec<T> score = before + tile.load(scores, n);
        const IntVec<T> better = score > best[n];
        best[n] = better ? score : best[n];
        place[n] = better ? here : place[n];
      }
    }
    for (int n = 0; n < N; ++n) {
      tile.store(own.score + j, n, tile.load(x + j, n) + best[n]);
      const std::ptrdiff_t count = decltype(tile)::whole ? lanes<T> : tile.count;
      std::memcpy(previous + j + n * lanes<T>, &place[n], sizeof(Tag<T>) * static_cast<std::size_t>(count));
    }
  });
}

template <class T>
void best_of(const CrfBest& call) {
  const CrfChain& chain = call.chain;
  const std::ptrdiff_t tags = chain.tags;
  std::int64_t longest = 0;
  for (std::int64_t b = 0; b < chain.sequences; ++b) {
    const std::int64_t length = chain.offsets[b + 1] - chain.offsets[b];
    longest = length > longest ? length : longest;
  }
  auto run = [&](int rank, int size) {
    PathScratch<T> own{};
    const DividedScratch scratch([&](Pieces& pieces) {
      own = {pieces.take<T>(tags), pieces.take<T>(tags), pieces.take<Tag<T>>(longest * tags)};
    });
    each_sequence(chain, rank, size, [&](const Range& tokens) {
      const T* x = static_cast<const T*>(chain.x) + tokens.begin * tags;
      add(x, static_cast<const T*>(chain.start), own.score, tags);
      for (std::ptrdiff_t t = 1; t < tokens.count(); ++t) viterbi_step(chain, own, x + t * tags, own.previous + t * tags);
      add(own.score, static_cast<const T*>(call.end), own.a, tags);
      std::ptrdiff_t tag = place_of_largest(own.a, tags);
      for (std::ptrdiff_t t = tokens.count() - 1; t > 0; --t) {
        call.best[tokens.begin + t] = tag;
        tag = static_cast<std::ptrdiff_t>(own.previous[t * tags + tag]);
      }
      call.best[tokens.begin] = tag;
    });
  };
  parallel(chain.threads, run);
}

}  // namespace throughtime::TT_ISA
