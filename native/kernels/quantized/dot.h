// Four products of signed bytes, added to each lane of 32 bits: the one operation that the sets of instructions differ in.
//
//   lane(l) += Σ_j weight(4 l + j) · factor(j),   j = 0 … 3, all from −127 to 127
//
// All of them give the same sums. Instructions that take bytes without a sign for one side get 128 more than the weight,
// and `start` is what makes up for it: −128 times the sum of all factors. Without such instructions a pair of products
// must not exceed 16 bits: 2 · 127 · 127 = 32,258 does not, where 255 · 127 · 2 of shifted bytes would.
#pragma once

#include <cstring>

#include "kernels/simd.h"

namespace throughtime::TT_ISA {

using Sums = IntVec<float>;
// Bytes of weights, four to a lane.
using Bytes = IntVec<float>;

// The four factors of a group, in every lane.
inline Bytes factors_at(const std::int8_t* p) {
  std::int32_t bits;
  std::memcpy(&bits, p, sizeof bits);
  return bits - Bytes{};
}

inline Bytes weights_at(const std::int8_t* p) {
  Bytes x;
  std::memcpy(&x, p, sizeof x);
  return x;
}

#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)

// Weights as they go into the instruction, once for all rows of a tile.
inline Bytes prepared(Bytes weights) { return weights ^ static_cast<std::int32_t>(0x80808080u); }

inline std::int32_t start_of(std::int32_t sum_of_factors) { return -128 * sum_of_factors; }

inline Sums dot(Sums sums, Bytes weights, Bytes factors) {
#if defined(__AVX512VNNI__)
  return (Sums)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)weights, (__m512i)factors);
#else
  return (Sums)_mm256_dpbusd_avx_epi32((__m256i)sums, (__m256i)weights, (__m256i)factors);
#endif
}

#else

inline Bytes prepared(Bytes weights) { return weights; }
inline std::int32_t start_of(std::int32_t) { return 0; }

inline Sums dot(Sums sums, Bytes weights, Bytes factors) {
#if defined(__AVX512F__)
  const __m512i w = (__m512i)weights, f = (__m512i)factors;
  // The weight takes the sign of the factor.
  const __m512i turned = _mm512_mask_sub_epi8(w, _mm512_movepi8_mask(f), _mm512_setzero_si512(), w);
  const __m512i pairs = _mm512_maddubs_epi16(_mm512_abs_epi8(f), turned);
  return sums + (Sums)_mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
#elif defined(__AVX2__)
  const __m256i w = (__m256i)weights, f = (__m256i)factors;
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(f), _mm256_sign_epi8(w, f));
  return sums + (Sums)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#elif defined(__ARM_FEATURE_DOTPROD)
  return (Sums)vdotq_s32((int32x4_t)sums, (int8x16_t)weights, (int8x16_t)factors);
#elif defined(__ARM_NEON) && defined(__aarch64__)
  const int8x16_t w = (int8x16_t)weights, f = (int8x16_t)factors;
  const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(w), vget_low_s8(f)));
  const int32x4_t high = vpaddlq_s16(vmull_high_s8(w, f));
  return sums + (Sums)vpaddq_s32(low, high);
#else
  // Even and odd bytes as numbers of 16 bits.
  typedef std::int16_t Half __attribute__((vector_size(vector_bytes)));
  typedef std::uint16_t Shifted __attribute__((vector_size(vector_bytes)));
  typedef std::uint32_t Wide __attribute__((vector_size(vector_bytes)));
  const Half w = (Half)weights, f = (Half)factors;
  const Half even = ((Half)((Shifted)w << 8) >> 8) * ((Half)((Shifted)f << 8) >> 8);
  const Sums pairs = (Sums)(even + (w >> 8) * (f >> 8));
  return sums + ((Sums)((Wide)pairs << 16) >> 16) + (pairs >> 16);
#endif
}

#endif

}  // namespace throughtime::TT_ISA
