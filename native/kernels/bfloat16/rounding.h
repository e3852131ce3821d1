// Rounds floats to bfloat16, and packs factors for products of tiles (tiles.h).
#pragma once

#include "kernels/bfloat16/tiles.h"
#include "kernels/pack.h"

namespace throughtime::TT_ISA {

typedef std::uint32_t Bits __attribute__((vector_size(vector_bytes)));
typedef std::uint16_t HalfBits __attribute__((vector_size(vector_bytes / 2)));

inline constexpr int float_lanes = lanes<float>;
inline constexpr std::ptrdiff_t tile_values = tile_depth * float_lanes;

// Of the nearest bfloat16, ties to even, in the upper half of each lane; the lower half is undefined. NaN stays NaN,
// and subnormal numbers become zeros, as the processor's own conversion has it.
inline Bits rounded_bits(Vec<float> x) {
  const Bits bits = (Bits)x, exponent = bits & 0x7f800000u;
  const Bits nearest = bits + (0x7fffu + ((bits >> 16) & 1u));
  const Bits ordinary = exponent == 0u ? bits & 0x80000000u : nearest;
  return (bits & 0x7fffffffu) > 0x7f800000u ? bits | 0x00400000u : ordinary;
}

// Lane by lane a in the lower half, b in the upper one: two neighbours in k.
inline Bits pair_of(Vec<float> a, Vec<float> b) { return (rounded_bits(a) >> 16) | (rounded_bits(b) & 0xffff0000u); }

inline void store_bits(Bfloat16* to, Bits bits) { std::memcpy(to, &bits, sizeof bits); }

inline void store_rounded(Bfloat16* to, Vec<float> x) {
  const HalfBits half = __builtin_convertvector(rounded_bits(x) >> 16, HalfBits);
  std::memcpy(to, &half, sizeof half);
}

// These columns of a row, which begin with a whole vector and end with one or at the end of the row; behind the end of
// the row zeros up to a whole tile.
inline void round_columns(const float* from, Range own, std::ptrdiff_t columns, Bfloat16* to) {
  if (own.end <= own.begin) return;
  constexpr int L = float_lanes;
  std::ptrdiff_t k = own.begin;
  for (; k + L <= own.end; k += L) store_rounded(to + k, load(from + k));
  if (k < own.end) store_rounded(to + k, load_part(from + k, static_cast<int>(own.end - k)));
  if (own.end < columns) return;
  const std::ptrdiff_t behind = round_up(columns, L);
  std::memset(to + behind, 0, sizeof(Bfloat16) * static_cast<std::size_t>(tiled_depth(columns) - behind));
}

// A vector of columns from rows of the matrix: column l is from[l · ld + k], l < count.
inline void pack_tiles_transposed(const float* from, std::ptrdiff_t ld, int count, std::ptrdiff_t depth, Bfloat16* to) {
  constexpr int L = float_lanes;
  constexpr std::ptrdiff_t pairs = tile_depth / 2;
  for (std::ptrdiff_t k = 0; k < depth; k += tile_depth, to += tile_values) {
    alignas(64) float rows[L * pairs] = {};  // pairs of bfloat16
    const Range whole{0, depth - k < tile_depth ? depth - k : tile_depth};
    for (int l = 0; l < count; ++l) {
      Bfloat16 row[tile_depth];
      round_columns(from + l * ld + k, whole, whole.end, row);
      std::memcpy(rows + l * pairs, row, sizeof row);
    }
    for (std::ptrdiff_t pair = 0; pair < pairs; pair += L) {
      Vec<float> columns[L];
      transposed_square(rows + pair, pairs, columns);
      for (int i = 0; i < L; ++i) store_bits(to + (pair + i) * 2 * L, (Bits)columns[i]);
    }
  }
}

inline Vec<float> take_part(const float* from, int count) {
  return count == float_lanes ? load(from) : load_part(from, count);
}

// Two neighbouring rows of `count` columns as pairs; those from `rows` on are zeros.
inline Bits pair_of_rows(const float* from, std::ptrdiff_t ld, std::ptrdiff_t row, std::ptrdiff_t rows, int count) {
  const Vec<float> zero{};
  const Vec<float> first = row < rows ? take_part(from + row * ld, count) : zero;
  return pair_of(first, row + 1 < rows ? take_part(from + (row + 1) * ld, count) : zero);
}

// A vector of columns from columns of the matrix: value k of column l is from[k · ld + l], l < count, k < rows; zeros
// up to `depth`.
inline void pack_tiles(const float* from, std::ptrdiff_t ld, int count, std::ptrdiff_t rows, std::ptrdiff_t depth,
                       Bfloat16* to) {
  for (std::ptrdiff_t k = 0; k < depth; k += 2, to += 2 * float_lanes) {
    store_bits(to, pair_of_rows(from, ld, k, rows, count));
  }
}

// A vector of columns of the matrix as rows of a left factor: to[l · lda + k] = from[k · ld + l], zeros from `rows` on
// up to `depth`.
inline void transpose_rounded(const float* from, std::ptrdiff_t ld, std::ptrdiff_t rows, std::ptrdiff_t depth,
                              Bfloat16* to, std::ptrdiff_t lda) {
  constexpr int L = float_lanes;
  for (std::ptrdiff_t k = 0; k < depth; k += 2 * L) {
    alignas(64) float square[L * L];
    for (int i = 0; i < L; ++i) {
      const Bits pairs = pair_of_rows(from, ld, k + 2 * i, rows, L);
      std::memcpy(square + i * L, &pairs, sizeof pairs);
    }
    Vec<float> columns[L];
    transposed_square(square, L, columns);
    for (int l = 0; l < L; ++l) store_bits(to + l * lda + k, (Bits)columns[l]);
  }
}

}  // namespace throughtime::TT_ISA
