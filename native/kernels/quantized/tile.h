// A tile of rows times a panel of packed weights, see quantized.h.
#pragma once

#include "kernels/quantized/dot.h"
#include "kernels/quantized/quantized.h"

namespace throughtime::TT_ISA {

// Vectors of this instruction set to 16 columns.
inline constexpr int parts_of_columns = packed_columns / lanes<float>;

inline constexpr int most_tile_rows = many_registers ? 6 : 4;

// Rows of the largest tile for so many vectors: sums, weights and factors fill the registers.
constexpr int most_rows_of(int vectors) {
  return many_registers ? most_tile_rows : vectors == 4 ? 2 : vectors == 3 ? 3 : most_tile_rows;
}

// How many of `left` rows the next tile takes: as many as fit, all tiles of nearly equal size.
inline int next_tile_rows(std::int64_t left, int vectors) {
  const std::int64_t most = most_rows_of(vectors), tiles = (left + most - 1) / most;
  return static_cast<int>((left + tiles - 1) / tiles);
}

struct IntTile {
  const std::int8_t* row[most_tile_rows];  // 4 · groups factors each
  float scale_of_row[most_tile_rows];
  std::int32_t sum_of_row[most_tile_rows];  // of its factors
  float* out[most_tile_rows];
  std::ptrdiff_t groups;
  const std::int8_t* panel;  // the first column's four bytes; those of the next vector are 64 bytes further
  std::ptrdiff_t ldp;        // bytes from a group to the next
  std::ptrdiff_t stride;     // from a vector of the result to the next
  const float* scale;        // of columns, 16 from vector to vector; null: what is left is the sum over taps
  const float* start;        // the same of biases; null: what `out` holds. Read if there are scales
  bool adds;                 // to the sum over taps that `out` holds
};

namespace detail {

template <int MR, int NV>
inline void dots(const IntTile& tile, Sums (&sums)[MR][NV]) {
  constexpr int step = packed_columns * packed_factors;
  const std::int8_t* panel = tile.panel;
  std::ptrdiff_t g = 0;
  // One or two rows do not have enough sums in flight to hide how long each takes.
  if constexpr (MR * NV <= 4) {
    Sums more[MR][NV] = {};
    for (; g + 2 <= tile.groups; g += 2, panel += 2 * tile.ldp) {
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        const Bytes first = prepared(weights_at(panel + v * step));
        const Bytes second = prepared(weights_at(panel + tile.ldp + v * step));
#pragma GCC unroll 4
        for (int m = 0; m < MR; ++m) {
          sums[m][v] = dot(sums[m][v], first, factors_at(tile.row[m] + g * packed_factors));
          more[m][v] = dot(more[m][v], second, factors_at(tile.row[m] + (g + 1) * packed_factors));
        }
      }
    }
#pragma GCC unroll 4
    for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) sums[m][v] += more[m][v];
    }
  }
  for (; g < tile.groups; ++g, panel += tile.ldp) {
    Bytes weights[NV];
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) weights[v] = prepared(weights_at(panel + v * step));
#pragma GCC unroll 6
    for (int m = 0; m < MR; ++m) {
      const Bytes factors = factors_at(tile.row[m] + g * packed_factors);
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) sums[m][v] = dot(sums[m][v], weights[v], factors);
    }
  }
}

template <int MR, int NV>
inline void begin(const IntTile& tile, Sums (&sums)[MR][NV]) {
#pragma GCC unroll 6
  for (int m = 0; m < MR; ++m) {
    const Sums start = start_of(tile.sum_of_row[m]) - Sums{};
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) sums[m][v] = start;
  }
}

template <int MR, int NV>
void tile_of(const IntTile& tile) {
  Sums sums[MR][NV];
  begin<MR, NV>(tile, sums);
  dots<MR, NV>(tile, sums);
#pragma GCC unroll 6
  for (int m = 0; m < MR; ++m) {
    const Vec<float> factor = broadcast(tile.scale_of_row[m]);
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      float* const place = tile.out[m] + v * tile.stride;
      const Vec<float> sum = __builtin_convertvector(sums[m][v], Vec<float>);
      Vec<float> value = tile.adds ? fma<float>(sum, factor, load(place)) : sum * factor;
      if (tile.scale != nullptr) {
        const Vec<float> start = load(tile.start == nullptr ? place : tile.start + v * packed_columns);
        value = fma<float>(value, load(tile.scale + v * packed_columns), start);
      }
      store(place, value);
    }
  }
}

// The sums alone, for tests: row after row, `ld` apart.
template <int NV>
void sums_of(const IntTile& tile, std::int32_t* out) {
  Sums sums[1][NV];
  begin<1, NV>(tile, sums);
  dots<1, NV>(tile, sums);
  for (int v = 0; v < NV; ++v) std::memcpy(out + v * packed_columns, &sums[0][v], sizeof(Sums));
}

template <int NV, int MR>
void choose_rows(int rows, const IntTile& tile) {
  if constexpr (MR > 1) {
    if (rows < MR) return choose_rows<NV, MR - 1>(rows, tile);
  }
  tile_of<MR, NV>(tile);
}

}  // namespace detail

// One tile of `rows` rows and `vectors` vectors: 1 … most_rows_of(vectors), 1 … 4.
inline void multiply(int rows, int vectors, const IntTile& tile) {
  switch (vectors) {
    case 1: return detail::choose_rows<1, most_rows_of(1)>(rows, tile);
    case 2: return detail::choose_rows<2, most_rows_of(2)>(rows, tile);
    case 3: return detail::choose_rows<3, most_rows_of(3)>(rows, tile);
    default: return detail::choose_rows<4, most_rows_of(4)>(rows, tile);
  }
}

inline void exact_sums(int vectors, const IntTile& tile, std::int32_t* out) {
  switch (vectors) {
    case 1: return detail::sums_of<1>(tile, out);
    case 2: return detail::sums_of<2>(tile, out);
    case 3: return detail::sums_of<3>(tile, out);
    default: return detail::sums_of<4>(tile, out);
  }
}

}  // namespace throughtime::TT_ISA
