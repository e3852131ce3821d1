// One vector of float or double in the instruction set that this file is compiled for.
//
// Arithmetic uses the compiler's vector extensions; this file adds the other operations. Everything is in a
// namespace of the instruction set (TT_ISA): two compilations of one inline function must never be merged
// by the linker. For the same reason no kernel file uses the standard library's templates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#ifndef TT_ISA
#error "TT_ISA names the namespace of the instruction set; the build defines it"
#endif

namespace throughtime::TT_ISA {

#if defined(__AVX512F__)
inline constexpr int vector_bytes = 64;
inline constexpr bool many_registers = true;  // 32 of them
#elif defined(__AVX2__)
inline constexpr int vector_bytes = 32;
inline constexpr bool many_registers = false;
#else
inline constexpr int vector_bytes = 16;
#if defined(__ARM_NEON)
inline constexpr bool many_registers = true;
#else
inline constexpr bool many_registers = false;
#endif
#endif

template <class T>
struct Simd;

template <>
struct Simd<float> {
  typedef float Vec __attribute__((vector_size(vector_bytes)));
  typedef std::int32_t Int __attribute__((vector_size(vector_bytes)));
  typedef float Unaligned __attribute__((vector_size(vector_bytes), aligned(4), may_alias));
};

template <>
struct Simd<double> {
  typedef double Vec __attribute__((vector_size(vector_bytes)));
  typedef std::int64_t Int __attribute__((vector_size(vector_bytes)));
  typedef double Unaligned __attribute__((vector_size(vector_bytes), aligned(8), may_alias));
};

template <class T>
using Vec = typename Simd<T>::Vec;
template <class T>
using IntVec = typename Simd<T>::Int;

template <class T>
inline constexpr int lanes = vector_bytes / static_cast<int>(sizeof(T));

// x − 0 is x for every x, and compilers know it; of x + 0, which is not −0 for −0, they make an addition.
template <class T>
inline Vec<T> broadcast(T x) {
  return x - Vec<T>{};
}

template <class T>
inline Vec<T> load(const T* p) {
  return *reinterpret_cast<const typename Simd<T>::Unaligned*>(p);
}

template <class T>
inline void store(T* p, Vec<T> x) {
  *reinterpret_cast<typename Simd<T>::Unaligned*>(p) = x;
}

// The first `count` lanes, 1 <= count <= lanes; the others are zero, and are neither read nor written.
template <class T>
inline Vec<T> load_part(const T* p, int count) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1u), p);
  } else {
    return (Vec<T>)_mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << count) - 1u), p);
  }
#else
  Vec<T> x{};
  std::memcpy(&x, p, sizeof(T) * static_cast<std::size_t>(count));
  return x;
#endif
}

template <class T>
inline void store_part(T* p, Vec<T> x, int count) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1u), (__m512)x);
  } else {
    _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << count) - 1u), (__m512d)x);
  }
#else
  std::memcpy(p, &x, sizeof(T) * static_cast<std::size_t>(count));
#endif
}

// Stores what will not be read soon past the caches, where alignment allows; `finish_streams` before another
// thread reads it.
template <class T>
inline void stream(T* p, Vec<T> x) {
#if defined(__AVX512F__)
  if ((reinterpret_cast<std::uintptr_t>(p) & 63) == 0) {
    if constexpr (sizeof(T) == 4) {
      _mm512_stream_ps(p, (__m512)x);
    } else {
      _mm512_stream_pd(p, (__m512d)x);
    }
    return;
  }
#endif
  store(p, x);
}

inline void finish_streams() {
#if defined(__AVX512F__)
  _mm_sfence();
#endif
}

// Values of a cache line.
template <class T>
inline constexpr std::ptrdiff_t line = 64 / static_cast<std::ptrdiff_t>(sizeof(T));

// Asks for the cache lines of `count` values that will be read soon.
template <class T>
inline void prefetch(const T* p, std::ptrdiff_t count) {
  for (std::ptrdiff_t i = 0; i < count; i += line<T>) {
    __builtin_prefetch(p + i);
  }
}

// The same of memory that is written soon.
template <class T>
inline void prefetch_to_write(const T* p, std::ptrdiff_t count) {
  for (std::ptrdiff_t i = 0; i < count; i += line<T>) __builtin_prefetch(p + i, 1);
}

// Asks for one line, into the second cache.
template <class T>
inline void prefetch_far(const T* p) {
  __builtin_prefetch(p, 0, 2);
}

// a * b + c, rounded once where the instruction set can.
template <class T>
inline Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
  } else {
    return (Vec<T>)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
  } else {
    return (Vec<T>)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
  }
#elif defined(__ARM_NEON) && defined(__aarch64__)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
  } else {
    return (Vec<T>)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
  }
#else
  return a * b + c;
#endif
}

// NaN passes through both: of operands that do not compare the instructions give the second, and a comparison is false.
template <class T>
inline Vec<T> at_least(Vec<T> x, T low) {
  const Vec<T> bound = broadcast<T>(low);
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_max_ps((__m512)bound, (__m512)x);
  } else {
    return (Vec<T>)_mm512_max_pd((__m512d)bound, (__m512d)x);
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm256_max_ps((__m256)bound, (__m256)x);
  } else {
    return (Vec<T>)_mm256_max_pd((__m256d)bound, (__m256d)x);
  }
#else
  return x < bound ? bound : x;
#endif
}

template <class T>
inline Vec<T> at_most(Vec<T> x, T high) {
  const Vec<T> bound = broadcast<T>(high);
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_min_ps((__m512)bound, (__m512)x);
  } else {
    return (Vec<T>)_mm512_min_pd((__m512d)bound, (__m512d)x);
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm256_min_ps((__m256)bound, (__m256)x);
  } else {
    return (Vec<T>)_mm256_min_pd((__m256d)bound, (__m256d)x);
  }
#else
  return x > bound ? bound : x;
#endif
}

// The sum of all lanes, in pairs.
template <class T>
inline T total(Vec<T> x) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    return _mm512_reduce_add_ps((__m512)x);
  } else {
    return _mm512_reduce_add_pd((__m512d)x);
  }
#else
  T lane[lanes<T>];
  store(lane, x);
#pragma GCC unroll 4
  for (int half = lanes<T> / 2; half > 0; half /= 2) {
#pragma GCC unroll 8
    for (int l = 0; l < half; ++l) lane[l] += lane[l + half];
  }
  return lane[0];
#endif
}

// In how many lanes a is less than b.
template <class T>
inline int count_less(Vec<T> a, Vec<T> b) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    return __builtin_popcount(_mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LT_OQ));
  } else {
    return __builtin_popcount(_mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_LT_OQ));
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) {
    return __builtin_popcount(static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_LT_OQ))));
  } else {
    return __builtin_popcount(
        static_cast<unsigned>(_mm256_movemask_pd(_mm256_cmp_pd((__m256d)a, (__m256d)b, _CMP_LT_OQ))));
  }
#else
  const IntVec<T> less = a < b;
  int count = 0;
  for (int l = 0; l < lanes<T>; ++l) count -= static_cast<int>(less[l]);
  return count;
#endif
}

// One bit for each lane that is not zero; NaN is not.
template <class T>
inline unsigned nonzero_lanes(Vec<T> x) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    return _mm512_cmp_ps_mask((__m512)x, _mm512_setzero_ps(), _CMP_NEQ_UQ);
  } else {
    return _mm512_cmp_pd_mask((__m512d)x, _mm512_setzero_pd(), _CMP_NEQ_UQ);
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) {
    return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps((__m256)x, _mm256_setzero_ps(), _CMP_NEQ_UQ)));
  } else {
    return static_cast<unsigned>(_mm256_movemask_pd(_mm256_cmp_pd((__m256d)x, _mm256_setzero_pd(), _CMP_NEQ_UQ)));
  }
#else
  const IntVec<T> different = x != Vec<T>{};
  unsigned bits = 0;
  for (int l = 0; l < lanes<T>; ++l) bits |= different[l] != 0 ? 1u << l : 0u;
  return bits;
#endif
}

}  // namespace throughtime::TT_ISA
