// Functions of a vector that the layers of kernels/recurrent do not need, as torch defines them: NaN passes through.
// Those that call the C library work lane by lane.
#pragma once

#include <math.h>

#include "kernels/activations.h"

namespace throughtime::TT_ISA::program {

// exp(x) = 2^n exp(r) with 2^n in two factors, so that results overflow and underflow where they should.
inline Vec<float> exp_of(Vec<float> x) {
  const Vec<float> bounded = at_most<float>(at_least<float>(x, -104.0f), 89.0f);
  const Vec<float> magic = broadcast(12583039.0f);  // of exp_parts
  const IntVec<float> n =
      (IntVec<float>)fma<float>(bounded, broadcast(1.44269504f), magic) - (IntVec<float>)magic;
  const IntVec<float> half = n >> 1;
  const Vec<float> first = (Vec<float>)((half + 127) << 23), second = (Vec<float>)((n - half + 127) << 23);
  return fma<float>(first, exp_parts(bounded).minus_one, first) * second;
}

inline Vec<double> exp_of(Vec<double> x) {
  const Vec<double> bounded = at_most<double>(at_least<double>(x, -746.0), 710.0);
  const Vec<double> magic = broadcast(6755399441056767.0);
  const IntVec<double> n =
      (IntVec<double>)fma<double>(bounded, broadcast(1.4426950408889634074), magic) - (IntVec<double>)magic;
  const IntVec<double> half = n >> 1;
  const Vec<double> first = (Vec<double>)((half + 1023) << 52), second = (Vec<double>)((n - half + 1023) << 52);
  return fma<double>(first, exp_parts(bounded).minus_one, first) * second;
}

// exp(x) − 1, which keeps its leading digits where x is small.
template <class T>
inline Vec<T> expm1_of(Vec<T> x) {
  const ExpParts<T> e = exp_parts(at_most<T>(at_least<T>(x, -exp_bound<T>), exp_bound<T>));
  const Vec<T> y = fma<T>(e.scale, e.minus_one, e.scale - broadcast(T(1)));
  return x > broadcast(exp_bound<T>) ? exp_of(x) : y;
}

template <class T>
inline Vec<T> sqrt_of(Vec<T> x) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm512_sqrt_ps((__m512)x);
  } else {
    return (Vec<T>)_mm512_sqrt_pd((__m512d)x);
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) {
    return (Vec<T>)_mm256_sqrt_ps((__m256)x);
  } else {
    return (Vec<T>)_mm256_sqrt_pd((__m256d)x);
  }
#else
  Vec<T> y;
  for (int l = 0; l < lanes<T>; ++l) y[l] = sizeof(T) == 4 ? T(::sqrtf(float(x[l]))) : T(::sqrt(double(x[l])));
  return y;
#endif
}

// One lane after the other.
template <class T, class Function>
inline Vec<T> by_lane(Vec<T> x, const Function& function) {
  T lane[lanes<T>];
  store(lane, x);
  for (int l = 0; l < lanes<T>; ++l) lane[l] = function(lane[l]);
  return load(lane);
}

#define THROUGHTIME_BY_LANE(name)                                                              \
  template <class T>                                                                           \
  inline Vec<T> name##_of(Vec<T> x) {                                                          \
    return by_lane<T>(x, [](T v) { return sizeof(T) == 4 ? T(::name##f(float(v))) : T(::name(double(v))); }); \
  }
THROUGHTIME_BY_LANE(log)
THROUGHTIME_BY_LANE(log1p)
THROUGHTIME_BY_LANE(sin)
THROUGHTIME_BY_LANE(cos)
THROUGHTIME_BY_LANE(erf)
#undef THROUGHTIME_BY_LANE

template <class T>
inline Vec<T> pow_of(Vec<T> x, T exponent) {
  return by_lane<T>(x, [&](T v) {
    return sizeof(T) == 4 ? T(::powf(float(v), float(exponent))) : T(::pow(double(v), double(exponent)));
  });
}

template <class T>
inline Vec<T> absolute_of(Vec<T> x) {
  return (Vec<T>)((IntVec<T>)x & ~(IntVec<T>)broadcast(T(-0.0)));
}

// log(1 + exp(x)) = max(x, 0) + log(1 + exp(−|x|)).
template <class T>
inline Vec<T> softplus_of(Vec<T> x) {
  return at_least<T>(x, T(0)) + log1p_of<T>(exp_of(-absolute_of<T>(x)));
}

}  // namespace throughtime::TT_ISA::program
