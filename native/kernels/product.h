// The register-tiled product that all layers share: a tile of rows times a panel of columns.
//
//   out[m][n] = start[m][n] + Σ_k a(m, k) · panel[k][n],   k = 0 … depth − 1 in this order
//
// Each element of the result is one chain of multiply-adds in the order of k, so its bits depend neither on
// its tile, nor on the other rows, nor on the division of rows and columns among threads.
#pragma once

#include "kernels/simd.h"

namespace throughtime::TT_ISA {

inline constexpr int max_vectors = 4;  // vectors of a panel, 1 … 4

// Rows of the largest tile for a panel of so many vectors: accumulators, the panel's row and one factor
// fill the registers.
constexpr int max_rows(int vectors) {
  if (many_registers) return vectors == 4 ? 6 : vectors == 3 ? 8 : 12;
  return vectors == 4 ? 3 : vectors == 3 ? 4 : 6;
}

inline constexpr int most_rows = many_registers ? 12 : 6;  // the largest of them

// Where the factors a(m, k) lie.
enum class Factors {
  rows,     // a[m · lda + k]: a row of factors is contiguous
  columns,  // a[k · lda + m]: the factors of one k are contiguous
};

// One tile. All pointers are the caller's; `out` must not overlap the others.
template <class T>
struct Tile {
  const T* a;          // factors, see Factors
  std::ptrdiff_t lda;  // in elements; may be negative
  std::ptrdiff_t depth;
  const T* panel;         // row k at panel + k · ldp, vectors · lanes values, all readable
  std::ptrdiff_t ldp;
  T* const* out;          // `rows` pointers
  std::ptrdiff_t offset;  // added to each of them
  int columns;            // columns that are written; fewer than the panel has at a matrix' edge
  const T* start;         // one row of start values for all rows; null: what `out` holds
  const T* ahead;         // what will be read next, up to ahead_end: each k asks for one cache line; or null
  const T* ahead_end;
};

// A stretch of the sum over k: factors and panel rows from these distances, in elements, behind those of the tile.
struct Run {
  std::ptrdiff_t a, panel, depth;
};

// Which tiles can ask for memory: narrow ones are not worth a loop of their own.
template <Factors F>
constexpr bool looks_ahead(int vectors) {
  return F == Factors::rows && vectors >= 3;
}

// Panels stream from the second cache to the first, sooner than the hardware would have them: so many rows ahead of
// their turn. Of tiles of one or two rows loads are the limit already.
inline constexpr int panel_rows_ahead = 8;

namespace detail {

// Into vectors First … First + NV − 1 of the accumulators.
template <class T, Factors F, int MR, int NV, bool Ahead, int First = 0, int Width = NV>
inline void accumulate(const Tile<T>& tile, Vec<T> (&acc)[MR][Width]) {
  // Three rows per pointer keep the addresses of a tile within the registers there are.
  constexpr int pointers = F == Factors::rows ? (MR + 2) / 3 : 1;
  const std::ptrdiff_t lda = tile.lda;
  const T* a[pointers];
#pragma GCC unroll 8
  for (int p = 0; p < pointers; ++p) a[p] = tile.a + 3 * p * lda;
  const T* panel = tile.panel;
  const T* ahead = tile.ahead;
  for (std::ptrdiff_t k = 0; k < tile.depth; ++k) {
    if constexpr (Ahead) {
      prefetch_far(ahead);
      ahead += line<T>;
    }
    if constexpr (F == Factors::rows && MR >= 3) prefetch(panel + panel_rows_ahead * NV * lanes<T>, NV * lanes<T>);
    Vec<T> w[NV];
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) w[v] = load(panel + v * lanes<T>);
#pragma GCC unroll 12
    for (int m = 0; m < MR; ++m) {
      const T factor = F == Factors::rows ? a[m / 3][(m % 3) * lda] : a[0][m];
      const Vec<T> x = broadcast(factor);
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) acc[m][First + v] = fma<T>(x, w[v], acc[m][First + v]);
    }
#pragma GCC unroll 8
    for (int p = 0; p < pointers; ++p) a[p] += F == Factors::rows ? 1 : lda;
    panel += tile.ldp;
  }
}

template <class T, Factors F, int MR, int NV, bool Ahead>
void tile_of(const Tile<T>& tile) {
  constexpr int width = NV * lanes<T>;
  Vec<T> acc[MR][NV];
  const bool whole = tile.columns == width;
  if (tile.start != nullptr) {
#pragma GCC unroll 12
    for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) acc[m][v] = load(tile.start + v * lanes<T>);
    }
  } else if (whole) {
#pragma GCC unroll 12
    for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) acc[m][v] = load(tile.out[m] + tile.offset + v * lanes<T>);
    }
  } else {
    for (int m = 0; m < MR; ++m) {
      T row[width] = {};
      std::memcpy(row, tile.out[m] + tile.offset, sizeof(T) * static_cast<std::size_t>(tile.columns));
      for (int v = 0; v < NV; ++v) acc[m][v] = load(row + v * lanes<T>);
    }
  }
  accumulate<T, F, MR, NV, Ahead>(tile, acc);
  if (whole) {
#pragma GCC unroll 12
    for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) store(tile.out[m] + tile.offset + v * lanes<T>, acc[m][v]);
    }
  } else {
    for (int m = 0; m < MR; ++m) {
      T row[width];
      for (int v = 0; v < NV; ++v) store(row + v * lanes<T>, acc[m][v]);
      std::memcpy(tile.out[m] + tile.offset, row, sizeof(T) * static_cast<std::size_t>(tile.columns));
    }
  }
}

// The same over several runs, in their order, with relu of the whole sum on request.
template <class T, Factors F, int MR, int NV>
void tile_of_runs(const Tile<T>& tile, const Run* runs, std::ptrdiff_t count, bool relu) {
  Vec<T> acc[MR][NV];
  const int last = tile.columns - (NV - 1) * lanes<T>;  // columns of the last vector
#pragma GCC unroll 12
  for (int m = 0; m < MR; ++m) {
    const T* from = tile.start != nullptr ? tile.start : tile.out[m] + tile.offset;
#pragma GCC unroll 4
    for (int v = 0; v < NV - 1; ++v) acc[m][v] = load(from + v * lanes<T>);
    acc[m][NV - 1] = last == lanes<T> ? load(from + (NV - 1) * lanes<T>)
                                      : load_part(from + (NV - 1) * lanes<T>, last);
  }
  Tile<T> run = tile;
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    run.a = tile.a + runs[i].a;
    run.panel = tile.panel + runs[i].panel;
    run.depth = runs[i].depth;
    accumulate<T, F, MR, NV, false>(run, acc);
  }
#pragma GCC unroll 12
  for (int m = 0; m < MR; ++m) {
    T* const to = tile.out[m] + tile.offset;
    if (relu) {
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) acc[m][v] = at_least<T>(acc[m][v], T(0));
    }
#pragma GCC unroll 4
    for (int v = 0; v < NV - 1; ++v) store(to + v * lanes<T>, acc[m][v]);
    if (last == lanes<T>) {
      store(to + (NV - 1) * lanes<T>, acc[m][NV - 1]);
    } else {
      store_part(to + (NV - 1) * lanes<T>, acc[m][NV - 1], last);
    }
  }
}

// Two runs of NV vectors each, the second one vector further to the right.
template <class T, Factors F, int MR, int NV>
void tile_of_staggered(const Tile<T>& tile, const Run* runs) {
  Vec<T> acc[MR][NV + 1];
#pragma GCC unroll 12
  for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 4
    for (int v = 0; v <= NV; ++v) acc[m][v] = load(tile.start + v * lanes<T>);
  }
  Tile<T> run = tile;
  run.a = tile.a + runs[0].a;
  run.panel = tile.panel + runs[0].panel;
  run.depth = runs[0].depth;
  accumulate<T, F, MR, NV, false, 0>(run, acc);
  run.a = tile.a + runs[1].a;
  run.panel = tile.panel + runs[1].panel;
  run.depth = runs[1].depth;
  accumulate<T, F, MR, NV, false, 1>(run, acc);
#pragma GCC unroll 12
  for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 4
    for (int v = 0; v <= NV; ++v) store(tile.out[m] + tile.offset + v * lanes<T>, acc[m][v]);
  }
}

template <class T, Factors F, int NV, int MR>
void choose_rows_of_staggered(int rows, const Tile<T>& tile, const Run* runs) {
  if constexpr (MR > 1) {
    if (rows < MR) return choose_rows_of_staggered<T, F, NV, MR - 1>(rows, tile, runs);
  }
  tile_of_staggered<T, F, MR, NV>(tile, runs);
}

template <class T, Factors F, int NV, int MR>
void choose_rows_of_runs(int rows, const Tile<T>& tile, const Run* runs, std::ptrdiff_t count, bool relu) {
  if constexpr (MR > 1) {
    if (rows < MR) return choose_rows_of_runs<T, F, NV, MR - 1>(rows, tile, runs, count, relu);
  }
  tile_of_runs<T, F, MR, NV>(tile, runs, count, relu);
}

template <class T, Factors F, int NV, int MR>
void choose_rows(int rows, const Tile<T>& tile) {
  if constexpr (MR > 1) {
    if (rows < MR) return choose_rows<T, F, NV, MR - 1>(rows, tile);
  }
  if constexpr (looks_ahead<F>(NV)) {
    if (tile.ahead != nullptr) return tile_of<T, F, MR, NV, true>(tile);
  }
  tile_of<T, F, MR, NV, false>(tile);
}

}  // namespace detail

// One tile of `rows` rows (1 … max_rows(vectors)) and a panel of `vectors` vectors.
template <class T, Factors F>
inline void multiply(int rows, int vectors, const Tile<T>& tile) {
  switch (vectors) {
    case 1: return detail::choose_rows<T, F, 1, max_rows(1)>(rows, tile);
    case 2: return detail::choose_rows<T, F, 2, max_rows(2)>(rows, tile);
    case 3: return detail::choose_rows<T, F, 3, max_rows(3)>(rows, tile);
    default: return detail::choose_rows<T, F, 4, max_rows(4)>(rows, tile);
  }
}

// The same over `count` runs; the tile's depth is not used. The last of its vectors may be read and written in
// part, the others are whole.
template <class T, Factors F>
inline void multiply_runs(int rows, int vectors, const Tile<T>& tile, const Run* runs, std::ptrdiff_t count,
                          bool relu) {
  switch (vectors) {
    case 1: return detail::choose_rows_of_runs<T, F, 1, max_rows(1)>(rows, tile, runs, count, relu);
    case 2: return detail::choose_rows_of_runs<T, F, 2, max_rows(2)>(rows, tile, runs, count, relu);
    case 3: return detail::choose_rows_of_runs<T, F, 3, max_rows(3)>(rows, tile, runs, count, relu);
    default: return detail::choose_rows_of_runs<T, F, 4, max_rows(4)>(rows, tile, runs, count, relu);
  }
}

// The same over two runs of Vectors vectors each, of which the second fills what is one vector further to the right:
// all of Vectors + 1 begin with the tile's `start`, and are whole.
template <class T, Factors F, int Vectors>
inline void multiply_staggered(int rows, const Tile<T>& tile, const Run* runs) {
  detail::choose_rows_of_staggered<T, F, Vectors, max_rows(Vectors + 1)>(rows, tile, runs);
}

// How many of `left` rows the next tile takes: as many as fit, the last two tiles of nearly equal size.
inline int next_rows(std::ptrdiff_t left, int vectors) {
  const int most = max_rows(vectors);
  if (left <= most) return static_cast<int>(left);
  if (left < 2 * most) return static_cast<int>((left + 1) / 2);
  return most;
}

// Of a deep panel so much is multiplied with all rows before the rest of it: what stays in the second cache.
inline constexpr std::ptrdiff_t part_bytes = std::ptrdiff_t{128} << 10;

// Matrices of this size do not stay in the second cache: their memory is asked for ahead of its turn.
inline constexpr std::ptrdiff_t far_bytes = std::ptrdiff_t{1} << 20;

template <class T>
inline bool is_far(std::ptrdiff_t values) {
  return values * static_cast<std::ptrdiff_t>(sizeof(T)) >= far_bytes;
}

// Rows tile by tile: row r goes to place(r), `multiplies` makes so many, and after a tile then(first, end) is called.
// The tile's `a` moves on, its `out` is filled in here.
template <class T, Factors F, class Place, class Multiplies, class Then>
inline void each_tile(std::ptrdiff_t rows, int vectors, Tile<T>& tile, Place place, Multiplies multiplies, Then then) {
  T* out[most_rows];
  tile.out = out;
  for (std::ptrdiff_t row = 0; row < rows;) {
    const int count = next_rows(rows - row, vectors);
    for (int r = 0; r < count; ++r) out[r] = place(row + r);
    multiplies(count);
    tile.a += F == Factors::rows ? count * tile.lda : count;
    then(row, row + count);
    row += count;
  }
  tile.out = nullptr;
}

// One panel for `rows` rows; the tile's `ahead` moves on, too.
template <class T, Factors F, class Place, class Then>
inline void multiply_rows(std::ptrdiff_t rows, int vectors, Tile<T>& tile, Place place, Then then) {
  const auto multiplies = [&](int count) {
    multiply<T, F>(count, vectors, tile);
    if (tile.ahead == nullptr) return;
    tile.ahead += tile.depth * line<T>;
    if (tile.ahead >= tile.ahead_end) tile.ahead = nullptr;
  };
  each_tile<T, F>(rows, vectors, tile, place, multiplies, then);
}

// The same for any depth: a deep panel in parts, and `then` when rows are complete. `far`: panels lie one behind the
// other in memory, beyond the second cache, so what comes next is read into it meanwhile.
template <class T, Factors F, class Place, class Then>
inline void multiply_all(std::ptrdiff_t rows, int vectors, Tile<T>& tile, bool far, Place place, Then then) {
  const std::ptrdiff_t depth = tile.depth, most = part_bytes / (vectors * vector_bytes);
  const bool asks = far && looks_ahead<F>(vectors) && rows > max_rows(vectors);  // a single tile has no time to
  if (depth <= most && !asks) return multiply_rows<T, F>(rows, vectors, tile, place, then);
  const std::ptrdiff_t parts = (depth + most - 1) / most;
  const T* const a = tile.a;
  std::ptrdiff_t k = 0;
  for (std::ptrdiff_t part = 1; part <= parts; ++part) {
    const std::ptrdiff_t end = depth * part / parts;
    tile.depth = end - k;
    tile.a = a + (F == Factors::rows ? k : k * tile.lda);
    const T* const next = tile.panel + tile.depth * tile.ldp;
    tile.ahead = asks ? next : nullptr;
    tile.ahead_end = next + tile.depth * tile.ldp;
    if (part < parts) {
      multiply_rows<T, F>(rows, vectors, tile, place, [](std::ptrdiff_t, std::ptrdiff_t) {});
    } else {
      multiply_rows<T, F>(rows, vectors, tile, place, then);
    }
    tile.panel = next;
    tile.start = nullptr;
    k = end;
  }
}

template <class T, Factors F, class Place>
inline void multiply_all(std::ptrdiff_t rows, int vectors, Tile<T>& tile, bool far, Place place) {
  multiply_all<T, F>(rows, vectors, tile, far, place, [](std::ptrdiff_t, std::ptrdiff_t) {});
}

}  // namespace throughtime::TT_ISA
