// Products of bfloat16 in the tile registers of Intel's Advanced Matrix Extensions: a tile has 16 rows of 64 bytes. Two
// tiles of rows times two of columns make four sums, as many as keep the unit busy.
#include "kernels/bfloat16/tiles.h"

#include <cstring>

#include "kernels/bfloat16/setting.h"
#include "kernels/processor.h"

#if defined(THROUGHTIME_AMX) && defined(__linux__) && defined(__x86_64__)

#include <sys/syscall.h>
#include <unistd.h>

namespace throughtime {
namespace {

constexpr std::ptrdiff_t lanes = 16, tile = tile_depth * lanes;  // of bfloat16

struct Configuration {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(Configuration) == 64);

void begin() {
  static const Configuration configuration;
  asm volatile("ldtilecfg %0" ::"m"(configuration));
}

void end() { asm volatile("tilerelease"); }

template <int Tile, class T>
inline void load_tile(const T* from, std::ptrdiff_t ld) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(ld * static_cast<std::ptrdiff_t>(sizeof(T))), "i"(Tile)
               : "memory");
}

template <int Tile>
inline void store_tile(float* to, std::ptrdiff_t ld) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(ld * 4), "i"(Tile) : "memory");
}

template <int Sum, int A, int B>
inline void multiply_tiles() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(Sum), "i"(A), "i"(B));
}

// The sums of `rows` <= 16 rows and 16 columns.
template <int Sum>
inline void load_sum(const TiledProduct& p, std::ptrdiff_t row, std::ptrdiff_t column, std::ptrdiff_t rows) {
  if (p.start != nullptr) return load_tile<Sum>(p.start + column, 0);
  const float* from = p.out + row * p.ld + column;
  if (rows == tile_rows) return load_tile<Sum>(from, p.ld);
  alignas(64) float square[tile_rows * lanes] = {};
  for (std::ptrdiff_t r = 0; r < rows; ++r) std::memcpy(square + r * lanes, from + r * p.ld, 64);
  load_tile<Sum>(square, lanes);
}

template <int Sum>
inline void store_sum(const TiledProduct& p, std::ptrdiff_t row, std::ptrdiff_t column, std::ptrdiff_t rows) {
  float* to = p.out + row * p.ld + column;
  if (rows == tile_rows) return store_tile<Sum>(to, p.ld);
  alignas(64) float square[tile_rows * lanes];
  store_tile<Sum>(square, lanes);
  for (std::ptrdiff_t r = 0; r < rows; ++r) std::memcpy(to + r * p.ld, square + r * lanes, 64);
}

inline std::ptrdiff_t rows_of_tile(const TiledProduct& p, std::ptrdiff_t row) {
  return p.rows - row < tile_rows ? p.rows - row : tile_rows;
}

// One or two tiles of rows times one or two of columns: sums in 0 … 3, factors in 4 … 7.
template <int Rows, int Columns>
void square(const TiledProduct& p, std::ptrdiff_t row, std::ptrdiff_t vector) {
  const std::ptrdiff_t first = rows_of_tile(p, row), second = Rows == 2 ? rows_of_tile(p, row + tile_rows) : 0;
  const std::ptrdiff_t column = vector * lanes, below = row + tile_rows;
  const Bfloat16* a = p.a + row * p.lda;
  const Bfloat16* b = p.b + vector * p.depth * lanes;
  load_sum<0>(p, row, column, first);
  if constexpr (Columns == 2) load_sum<1>(p, row, column + lanes, first);
  if constexpr (Rows == 2) load_sum<2>(p, below, column, second);
  if constexpr (Rows == 2 && Columns == 2) load_sum<3>(p, below, column + lanes, second);
  for (std::ptrdiff_t k = 0; k < p.depth; k += tile_depth, a += tile_depth, b += tile) {
    load_tile<6>(b, tile_depth);
    load_tile<4>(a, p.lda);
    multiply_tiles<0, 4, 6>();
    if constexpr (Columns == 2) {
      load_tile<7>(b + p.depth * lanes, tile_depth);
      multiply_tiles<1, 4, 7>();
    }
    if constexpr (Rows == 2) {
      load_tile<5>(a + tile_rows * p.lda, p.lda);
      multiply_tiles<2, 5, 6>();
    }
    if constexpr (Rows == 2 && Columns == 2) multiply_tiles<3, 5, 7>();
  }
  store_sum<0>(p, row, column, first);
  if constexpr (Columns == 2) store_sum<1>(p, row, column + lanes, first);
  if constexpr (Rows == 2) store_sum<2>(p, below, column, second);
  if constexpr (Rows == 2 && Columns == 2) store_sum<3>(p, below, column + lanes, second);
}

// One tile of rows times three or four of columns: sums in 0 … 3, the left factor in 4, the right ones in 5 … 7.
template <int Columns>
void line(const TiledProduct& p, std::ptrdiff_t row, std::ptrdiff_t vector) {
  const std::ptrdiff_t rows = rows_of_tile(p, row), column = vector * lanes, next = p.depth * lanes;
  const Bfloat16* a = p.a + row * p.lda;
  const Bfloat16* b = p.b + vector * next;
  load_sum<0>(p, row, column, rows);
  load_sum<1>(p, row, column + lanes, rows);
  load_sum<2>(p, row, column + 2 * lanes, rows);
  if constexpr (Columns == 4) load_sum<3>(p, row, column + 3 * lanes, rows);
  for (std::ptrdiff_t k = 0; k < p.depth; k += tile_depth, a += tile_depth, b += tile) {
    load_tile<4>(a, p.lda);
    load_tile<5>(b, tile_depth);
    multiply_tiles<0, 4, 5>();
    load_tile<6>(b + next, tile_depth);
    multiply_tiles<1, 4, 6>();
    load_tile<7>(b + 2 * next, tile_depth);
    multiply_tiles<2, 4, 7>();
    if constexpr (Columns == 4) {
      load_tile<5>(b + 3 * next, tile_depth);
      multiply_tiles<3, 4, 5>();
    }
  }
  store_sum<0>(p, row, column, rows);
  store_sum<1>(p, row, column + lanes, rows);
  store_sum<2>(p, row, column + 2 * lanes, rows);
  if constexpr (Columns == 4) store_sum<3>(p, row, column + 3 * lanes, rows);
}

void one_tile_of_rows(const TiledProduct& p, std::ptrdiff_t row) {
  int vector = 0;
  for (; p.vectors - vector > 2; vector += p.vectors - vector == 3 ? 3 : 4) {
    p.vectors - vector == 3 ? line<3>(p, row, vector) : line<4>(p, row, vector);
  }
  if (p.vectors - vector == 2) square<1, 2>(p, row, vector);
  if (p.vectors - vector == 1) square<1, 1>(p, row, vector);
}

void multiply(const TiledProduct& p) {
  std::ptrdiff_t row = 0;
  for (; p.rows - row > tile_rows; row += 2 * tile_rows) {
    int vector = 0;
    for (; p.vectors - vector >= 2; vector += 2) square<2, 2>(p, row, vector);
    if (vector < p.vectors) square<2, 1>(p, row, vector);
  }
  if (row < p.rows) one_tile_of_rows(p, row);
}

// Linux admits a process to the tile registers when it asks (ARCH_REQ_XCOMP_PERM for the state 18).
bool is_admitted() { return syscall(SYS_arch_prctl, 0x1023, 18) == 0; }

}  // namespace

const TiledKernels* amx_kernels() {
  static const TiledKernels kernels{"amx", &begin, &end, &multiply};
  static const bool available = !is_setting("vectors") && processor().amx && is_admitted();
  return available ? &kernels : nullptr;
}

}  // namespace throughtime

#else

namespace throughtime {

const TiledKernels* amx_kernels() { return nullptr; }

}  // namespace throughtime

#endif
