// sigmoid, tanh and relu of a vector, about one unit in the last place from the true value; NaN in, NaN out.
//
// exp(x) = 2^n exp(r), r = x − n ln 2 in [−ln 2 / 2, ln 2 / 2], by the method of Cody and Waite (Software
// Manual for the Elementary Functions, 1980, chapter 6): ln 2 in two parts, so that r is exact.
#pragma once

#include "kernels/simd.h"

namespace throughtime::TT_ISA {

template <class T>
struct ExpParts {
  Vec<T> scale;  // 2^n
  Vec<T> minus_one;  // exp(r) − 1
};

inline ExpParts<float> exp_parts(Vec<float> x) {
  using V = Vec<float>;
  // 1.5 · 2^23, plus the bias of exponents: adding it leaves the exponent of 2^n in the low bits.
  const V magic = broadcast(12583039.0f);
  const V shifted = fma<float>(x, broadcast(1.44269504f), magic);
  const V n = shifted - magic;
  V r = fma<float>(n, broadcast(-0.693359375f), x);
  r = fma<float>(n, broadcast(2.12194440e-4f), r);
  const V square = r * r;
  const V high = fma<float>(broadcast(1.9875691500e-4f), r, broadcast(1.3981999507e-3f));
  const V middle = fma<float>(broadcast(8.3334519073e-3f), r, broadcast(4.1665795894e-2f));
  const V low = fma<float>(broadcast(1.6666665459e-1f), r, broadcast(5.0000001201e-1f));
  const V p = fma<float>(fma<float>(high, square, middle), square, low);
  const IntVec<float> bits = (IntVec<float>)shifted << 23;
  return {(V)bits, fma<float>(p, square, r)};
}

inline ExpParts<double> exp_parts(Vec<double> x) {
  using V = Vec<double>;
  const V magic = broadcast(6755399441056767.0);  // 1.5 · 2^52 + 1023
  const V shifted = fma<double>(x, broadcast(1.4426950408889634074), magic);
  const V n = shifted - magic;
  V r = fma<double>(n, broadcast(-6.93145751953125e-1), x);
  r = fma<double>(n, broadcast(-1.42860682030941723212e-6), r);
  // The Taylor series: its next term is below 1e-17 for |r| <= 0.35.
  V p = broadcast(1.0 / 6227020800.0);
  p = fma<double>(p, r, broadcast(1.0 / 479001600.0));
  p = fma<double>(p, r, broadcast(1.0 / 39916800.0));
  p = fma<double>(p, r, broadcast(1.0 / 3628800.0));
  p = fma<double>(p, r, broadcast(1.0 / 362880.0));
  p = fma<double>(p, r, broadcast(1.0 / 40320.0));
  p = fma<double>(p, r, broadcast(1.0 / 5040.0));
  p = fma<double>(p, r, broadcast(1.0 / 720.0));
  p = fma<double>(p, r, broadcast(1.0 / 120.0));
  p = fma<double>(p, r, broadcast(1.0 / 24.0));
  p = fma<double>(p, r, broadcast(1.0 / 6.0));
  p = fma<double>(p, r, broadcast(0.5));
  const IntVec<double> bits = (IntVec<double>)shifted << 52;
  return {(V)bits, fma<double>(p, r * r, r)};
}

// Beyond these the results are rounded to their limits anyway, and 2^n stays an ordinary number.
template <class T>
inline constexpr T exp_bound = sizeof(T) == 4 ? T(87) : T(708);
template <class T>
inline constexpr T tanh_bound = sizeof(T) == 4 ? T(20) : T(44);

// 1 / x for x from 1 to 1 + exp(exp_bound); NaN stays NaN. An estimate of 14 bits and a step of Newton's are faster
// than a division, and as near.
template <class T>
inline Vec<T> reciprocal(Vec<T> x) {
  const Vec<T> one = broadcast(T(1));
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    const Vec<T> estimate = (Vec<T>)_mm512_rcp14_ps((__m512)x);
    return fma<T>(fma<T>(-x, estimate, one), estimate, estimate);
  }
#endif
  return one / x;
}

// 1 / (1 + exp(−x))
template <class T>
inline Vec<T> sigmoid(Vec<T> x) {
  const Vec<T> bounded = at_most<T>(at_least<T>(-x, -exp_bound<T>), exp_bound<T>);
  const ExpParts<T> e = exp_parts(bounded);
  return reciprocal<T>(fma<T>(e.scale, e.minus_one, e.scale + broadcast(T(1))));
}

// e / (e + 2) with e = exp(2x) − 1, which keeps its leading digits where x is small.
template <class T>
inline Vec<T> tanh(Vec<T> x) {
  const Vec<T> bounded = at_most<T>(at_least<T>(x + x, -tanh_bound<T>), tanh_bound<T>);
  const ExpParts<T> parts = exp_parts(bounded);
  const Vec<T> e = fma<T>(parts.scale, parts.minus_one, parts.scale - broadcast(T(1)));
  return e / (e + broadcast(T(2)));
}

// max(x, 0), as torch has it: NaN stays NaN.
template <class T>
inline Vec<T> relu(Vec<T> x) {
  return at_least<T>(x, T(0));
}

}  // namespace throughtime::TT_ISA
