// Transposes a square of vectors in registers, which packs weights into panels.
#pragma once

#include <utility>

#include "kernels/simd.h"

namespace throughtime::TT_ISA {

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define THROUGHTIME_SHUFFLES 1
#endif
#endif

#if defined(THROUGHTIME_SHUFFLES)
namespace detail {

// Lanes l of the two results for a pair of rows `D` apart: those with bit D of l unset come from the first
// row, the others from the second.
template <class T, int D, std::size_t... Lane>
inline void exchange(Vec<T>& first, Vec<T>& second, std::index_sequence<Lane...>) {
  constexpr int L = lanes<T>;
  const Vec<T> a = first, b = second;
  first = __builtin_shufflevector(a, b, ((Lane & D) == 0 ? int(Lane) : L + int(Lane) - D)...);
  second = __builtin_shufflevector(a, b, ((Lane & D) == 0 ? int(Lane) + D : L + int(Lane))...);
}

template <class T, int D>
inline void exchange_all(Vec<T> (&rows)[lanes<T>]) {
#pragma GCC unroll 16
  for (int i = 0; i < lanes<T>; ++i) {
    if ((i & D) == 0) exchange<T, D>(rows[i], rows[i + D], std::make_index_sequence<lanes<T>>());
  }
  if constexpr (D > 1) exchange_all<T, D / 2>(rows);
}

}  // namespace detail
#endif

// columns[k][l] = from[l · ld + k] for k, l < lanes.
template <class T>
inline void transposed_square(const T* from, std::ptrdiff_t ld, Vec<T> (&columns)[lanes<T>]) {
#if defined(THROUGHTIME_SHUFFLES)
#pragma GCC unroll 16
  for (int l = 0; l < lanes<T>; ++l) columns[l] = load(from + l * ld);
  detail::exchange_all<T, lanes<T> / 2>(columns);
#else
  T square[lanes<T>][lanes<T>];
  for (int l = 0; l < lanes<T>; ++l) {
    for (int k = 0; k < lanes<T>; ++k) square[k][l] = from[l * ld + k];
  }
  for (int k = 0; k < lanes<T>; ++k) columns[k] = load(square[k]);
#endif
}

}  // namespace throughtime::TT_ISA
