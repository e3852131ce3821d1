// Tokens as integers from −127 to 127, each with a scale of its own.
#pragma once

#include "kernels/feature_tile.h"
#include "kernels/pack.h"
#include "kernels/pieces.h"
#include "kernels/quantized/quantized.h"

namespace throughtime::TT_ISA {

// Rows of factors in scratch memory.
struct IntRows {
  std::int8_t* values;
  float* scale;
  std::int32_t* sum;
  std::ptrdiff_t ld;

  void take(Pieces& pieces, std::int64_t rows) {
    values = pieces.take<std::int8_t>(rows * ld);
    scale = pieces.take<float>(rows);
    sum = pieces.take<std::int32_t>(rows);
  }
  IntRows from(std::int64_t row) const { return {values + row * ld, scale + row, sum + row, ld}; }
};

// Bytes of a row: whole vectors of what is rounded, and one more line, so that rows do not share lines of the first cache.
inline std::ptrdiff_t int_row_length(std::ptrdiff_t features) { return round_up(features, 64) + 64; }

namespace detail {

typedef std::int8_t RoundedBytes __attribute__((vector_size(lanes<float>)));

inline IntVec<float> magnitude(Vec<float> x) { return (IntVec<float>)x & 0x7fffffff; }

// The largest |x|, whose bits compare as integers do; those of infinities and NaN are above all others.
inline float largest(const float* x, std::ptrdiff_t count) {
  IntVec<float> most[2] = {};
  std::ptrdiff_t i = 0;
  for (; i + 2 * lanes<float> <= count; i += 2 * lanes<float>) {
    const IntVec<float> first = magnitude(load(x + i)), second = magnitude(load(x + i + lanes<float>));
    most[0] = first > most[0] ? first : most[0];
    most[1] = second > most[1] ? second : most[1];
  }
  for (; i < count; i += lanes<float>) {
    const std::ptrdiff_t left = count - i;
    const Vec<float> last = left < lanes<float> ? load_part(x + i, static_cast<int>(left)) : load(x + i);
    const IntVec<float> bits = magnitude(last);
    most[0] = bits > most[0] ? bits : most[0];
  }
  most[0] = most[1] > most[0] ? most[1] : most[0];
  std::int32_t bits = 0;
  for (int l = 0; l < lanes<float>; ++l) bits = most[0][l] > bits ? most[0][l] : bits;
  float result;
  std::memcpy(&result, &bits, sizeof bits);
  return result;
}

}  // namespace detail

// One token, padded with zeros to whole groups of four.
inline void round_row(const float* x, std::ptrdiff_t features, const IntRows& to) {
  constexpr std::ptrdiff_t L = lanes<float>;
  // 1.5 · 2^23: adding it rounds to the nearest integer, ties to even, which then is in the low bits.
  const Vec<float> magic = broadcast(12582912.0f);
  const float most = detail::largest(x, features);
  const bool finite = most <= 3.40282347e38f, zero = most < least_scaled;
  const Vec<float> factor = broadcast(finite && !zero ? 127.0f / most : 0.0f);
  IntVec<float> sums{};
  for (std::ptrdiff_t i = 0; i < features; i += L) {
    const std::ptrdiff_t left = features - i;
    const Vec<float> part = left < L ? load_part(x + i, static_cast<int>(left)) : load(x + i);
    IntVec<float> rounded{};
    if (finite) rounded = (IntVec<float>)(part * factor + magic) - (IntVec<float>)magic;
    sums += rounded;
    const detail::RoundedBytes bytes = __builtin_convertvector(rounded, detail::RoundedBytes);
    std::memcpy(to.values + i, &bytes, sizeof bytes);
  }
  std::int32_t sum = 0;
  for (int l = 0; l < L; ++l) sum += sums[l];
  *to.sum = sum;
  *to.scale = !finite ? __builtin_nanf("") : zero ? 0.0f : most / 127.0f;
}

}  // namespace throughtime::TT_ISA
