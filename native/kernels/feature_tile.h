// A tile of adjacent features of a row in registers.
#pragma once

#include "kernels/simd.h"

namespace throughtime::TT_ISA {

// N whole vectors, or the first `count` lanes of one.
template <class T, int N, bool is_whole>
struct FeatureTile {
  static constexpr int vectors = N;
  static constexpr bool whole = is_whole;
  int count;

  Vec<T> load(const T* p, int i) const {
    if constexpr (whole) return TT_ISA::load(p + i * lanes<T>);
    return load_part(p, count);
  }
  void store(T* p, int i, Vec<T> x) const {
    if constexpr (whole) {
      TT_ISA::store(p + i * lanes<T>, x);
    } else {
      store_part(p, x, count);
    }
  }
};

// Calls body(first feature, tile) for all of begin … end, with tiles of at most so many vectors.
template <class T, int most = many_registers ? 8 : 4, class Body>
inline void each_tile(std::ptrdiff_t begin, std::ptrdiff_t end, const Body& body) {
  constexpr std::ptrdiff_t L = lanes<T>;
  std::ptrdiff_t c = begin;
  if constexpr (most == 8) {
    for (; end - c >= 8 * L; c += 8 * L) body(c, FeatureTile<T, 8, true>{});
  }
  for (; end - c >= 4 * L; c += 4 * L) body(c, FeatureTile<T, 4, true>{});
  for (; end - c >= 2 * L; c += 2 * L) body(c, FeatureTile<T, 2, true>{});
  for (; end - c >= L; c += L) body(c, FeatureTile<T, 1, true>{});
  if (c < end) body(c, FeatureTile<T, 1, false>{static_cast<int>(end - c)});
}

}  // namespace throughtime::TT_ISA
