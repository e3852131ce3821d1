// Products of bfloat16 tiles (tiles.h) in vectors of float32, for processors without instructions of their own: a
// product of two bfloat16 is exact in float32.
#pragma once

#include "kernels/bfloat16/rounding.h"

namespace throughtime::TT_ISA {
namespace detail {

inline constexpr int rows_of_tiles = many_registers ? 6 : 4;

// Rows of 32 bfloat16 as floats, those of even k and those of odd k.
template <int MR>
struct Halves {
  float even[MR][tile_depth / 2], odd[MR][tile_depth / 2];

  void read(const Bfloat16* a, std::ptrdiff_t lda) {
    for (int m = 0; m < MR; ++m) {
      for (int pair = 0; pair < tile_depth / 2; pair += float_lanes) {
        Bits bits;
        std::memcpy(&bits, a + m * lda + 2 * pair, sizeof bits);
        store<float>(even[m] + pair, (Vec<float>)(bits << 16));
        store<float>(odd[m] + pair, (Vec<float>)(bits & 0xffff0000u));
      }
    }
  }
};

template <int MR>
void multiply_vector(const TiledProduct& p, std::ptrdiff_t row, int vector) {
  constexpr int L = float_lanes;
  float* const out = p.out + row * p.ld + vector * L;
  const Bfloat16* a = p.a + row * p.lda;
  const Bfloat16* b = p.b + vector * p.depth * L;
  Vec<float> sum[MR];
#pragma GCC unroll 6
  for (int m = 0; m < MR; ++m) sum[m] = load(p.start != nullptr ? p.start + vector * L : out + m * p.ld);
  for (std::ptrdiff_t k = 0; k < p.depth; k += tile_depth, a += tile_depth) {
    Halves<MR> factors;
    factors.read(a, p.lda);
    Vec<float> even[MR] = {}, odd[MR] = {};
    for (int pair = 0; pair < tile_depth / 2; ++pair, b += 2 * L) {
      Bits bits;
      std::memcpy(&bits, b, sizeof bits);
      const Vec<float> low = (Vec<float>)(bits << 16), high = (Vec<float>)(bits & 0xffff0000u);
#pragma GCC unroll 6
      for (int m = 0; m < MR; ++m) {
        even[m] = fma<float>(broadcast(factors.even[m][pair]), low, even[m]);
        odd[m] = fma<float>(broadcast(factors.odd[m][pair]), high, odd[m]);
      }
    }
#pragma GCC unroll 6
    for (int m = 0; m < MR; ++m) sum[m] += even[m] + odd[m];
  }
#pragma GCC unroll 6
  for (int m = 0; m < MR; ++m) store<float>(out + m * p.ld, sum[m]);
}

template <int MR>
void multiply_row_tile(std::ptrdiff_t rows, const TiledProduct& p, std::ptrdiff_t row) {
  if constexpr (MR > 1) {
    if (rows < MR) return multiply_row_tile<MR - 1>(rows, p, row);
  }
  for (int vector = 0; vector < p.vectors; ++vector) multiply_vector<MR>(p, row, vector);
}

inline void multiply_tiled(const TiledProduct& p) {
  for (std::ptrdiff_t row = 0; row < p.rows; row += rows_of_tiles) {
    multiply_row_tile<rows_of_tiles>(p.rows - row, p, row);
  }
}

}  // namespace detail

// The fastest of this instruction set and processor.
inline const TiledKernels* tiled_kernels() {
  static constexpr auto nothing = [] {};
  static const TiledKernels vectors{TT_ISA_NAME, nothing, nothing, &detail::multiply_tiled};
#if defined(__AVX512F__)
  if (const TiledKernels* amx = amx_kernels()) return amx;
#endif
  return &vectors;
}

}  // namespace throughtime::TT_ISA
