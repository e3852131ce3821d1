// Vectors of integers as wide as T, stored in memory as signed integers of one or four bytes, so that −1 is
// preserved.
#pragma once

#include "kernels/feature_tile.h"

namespace throughtime::TT_ISA {

// Compilers take the lanes of such conversions apart, so the instructions are named.
template <class T, class I>
inline IntVec<T> load_index(const I* p) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4 && sizeof(I) == 1) {
    return (IntVec<T>)_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  } else if constexpr (sizeof(T) == 4) {
    return (IntVec<T>)_mm512_loadu_si512(p);
  } else if constexpr (sizeof(I) == 1) {
    return (IntVec<T>)_mm512_cvtepi8_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  } else {
    return (IntVec<T>)_mm512_cvtepi32_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4 && sizeof(I) == 1) {
    return (IntVec<T>)_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  } else if constexpr (sizeof(T) == 4) {
    return (IntVec<T>)_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  } else if constexpr (sizeof(I) == 1) {
    std::int32_t four;
    std::memcpy(&four, p, 4);
    return (IntVec<T>)_mm256_cvtepi8_epi64(_mm_cvtsi32_si128(four));
  } else {
    return (IntVec<T>)_mm256_cvtepi32_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
#else
  typedef I Packed __attribute__((vector_size(lanes<T> * sizeof(I))));
  Packed packed;
  std::memcpy(&packed, p, sizeof(packed));
  return __builtin_convertvector(packed, IntVec<T>);
#endif
}

template <class T, class I>
inline void store_index(I* p, IntVec<T> x) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4 && sizeof(I) == 1) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8((__m512i)x));
  } else if constexpr (sizeof(T) == 4) {
    _mm512_storeu_si512(p, (__m512i)x);
  } else if constexpr (sizeof(I) == 1) {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm512_cvtepi64_epi8((__m512i)x));
  } else {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi64_epi32((__m512i)x));
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4 && sizeof(I) == 4) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)x);
  } else if constexpr (sizeof(T) == 4) {
    const __m128i halves =
        _mm_packs_epi32(_mm256_castsi256_si128((__m256i)x), _mm256_extracti128_si256((__m256i)x, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(halves, halves));
  } else {
    const __m256i even = _mm256_permutevar8x32_epi32((__m256i)x, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
    const __m128i four = _mm256_castsi256_si128(even);
    if constexpr (sizeof(I) == 4) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(p), four);
    } else {
      const __m128i halves = _mm_packs_epi32(four, four);
      const std::int32_t packed = _mm_cvtsi128_si32(_mm_packs_epi16(halves, halves));
      std::memcpy(p, &packed, 4);
    }
  }
#else
  typedef I Packed __attribute__((vector_size(lanes<T> * sizeof(I))));
  const Packed packed = __builtin_convertvector(x, Packed);
  std::memcpy(p, &packed, sizeof(packed));
#endif
}

// The same for vector i of a tile of features.
template <class T, class Features, class I>
inline IntVec<T> load_index_of(const Features& tile, const I* p, int i) {
  if constexpr (Features::whole) return load_index<T>(p + i * lanes<T>);
  I all[lanes<T>] = {};
  std::memcpy(all, p, sizeof(I) * static_cast<std::size_t>(tile.count));
  return load_index<T>(all);
}

template <class T, class Features, class I>
inline void store_index_of(const Features& tile, I* p, int i, IntVec<T> x) {
  if constexpr (Features::whole) return store_index<T>(p + i * lanes<T>, x);
  I all[lanes<T>];
  store_index<T>(all, x);
  std::memcpy(p, all, sizeof(I) * static_cast<std::size_t>(tile.count));
}

template <class T>
inline IntVec<T> broadcast_index(std::int64_t k) {
  return IntVec<T>{} + static_cast<decltype(IntVec<T>{}[0] + 0)>(k);
}

}  // namespace throughtime::TT_ISA
