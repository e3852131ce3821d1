// Matrix products of bfloat16 factors with sums in float32, and the memory layout of their factors.
//
//   out[m][n] = start[n] + Σ_k a[m][k] · b[k][n],   or without a start out[m][n] + Σ_k a[m][k] · b[k][n]
//
// The sum over k is taken 32 values at a time: those with even k in one chain of multiply-adds, those with odd k in
// another, and both are added to the result. This is the order of the instruction tdpbf16ps (Intel 64 and IA-32
// Architectures Software Developer's Manual, volume 2), so all implementations give the same bits, except that it takes
// subnormal numbers for zeros. No row depends on the others, nor on their number.
#pragma once

#include <cstddef>
#include <cstdint>

namespace throughtime {

// The upper half of a float.
using Bfloat16 = std::uint16_t;

// Depths are multiples of this; factors beyond a matrix are zeros.
inline constexpr std::ptrdiff_t tile_depth = 32;

inline std::ptrdiff_t tiled_depth(std::ptrdiff_t depth) { return (depth + tile_depth - 1) / tile_depth * tile_depth; }

// Values of a row of the left factor: not a power of two, as in row_length of pack.h.
inline std::ptrdiff_t tiled_row(std::ptrdiff_t depth) { return tiled_depth(depth) + tile_depth; }

// Rows of a left factor that are read together: a matrix has so many readable rows behind its last.
inline constexpr std::ptrdiff_t tile_rows = 16;

struct TiledProduct {
  const Bfloat16* a;  // (rows, depth), rows lda apart; readable up to a multiple of tile_rows
  std::ptrdiff_t lda;
  // The right factor in tiles of 32 values of k and one vector of columns: tile s of vector v at
  // (v · depth / 32 + s) · 32 · lanes. Value k of column n of a tile is at (k / 2 · lanes + n) · 2 + k % 2.
  const Bfloat16* b;
  std::ptrdiff_t depth;
  std::ptrdiff_t rows;
  int vectors;  // of columns
  float* out;   // (rows, vectors · lanes), rows ld apart
  std::ptrdiff_t ld;
  const float* start;  // (vectors · lanes), or null
};

struct TiledKernels {
  const char* name;
  // Around the products of a thread.
  void (*begin)();
  void (*end)();
  void (*multiply)(const TiledProduct&);
};

// Those of the processor's tile registers (AMX), for vectors of 16 floats; null where it has none, the operating system
// does not admit them, or THROUGHTIME_BFLOAT16=vectors.
const TiledKernels* amx_kernels();

// Whether factors are rounded where a call asks for it. THROUGHTIME_BFLOAT16=always or vectors: yes; never: no. By default
// where the tile registers are, as vectors are slower than products of float32.
bool rounds_factors(bool has_their_vectors);

}  // namespace throughtime
