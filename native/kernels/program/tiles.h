// The tiles of products (kernels/product.h) for rows that each begin with a row of their own, which meanwhile ask for
// memory that is read soon.
#pragma once

#include "kernels/product.h"

namespace throughtime::TT_ISA::program {

// What a tile asks for: one line every few multiply-adds, so that no request waits for another.
template <class T>
struct Lines {
  static constexpr int most = 96;
  const T* line[most];
  int count;

  // The lines of `columns` values; those beyond `most` are not asked for.
  void add(const T* row, std::ptrdiff_t columns) {
    for (std::ptrdiff_t i = 0; i < columns && count < most; i += TT_ISA::line<T>) line[count++] = row + i;
  }
};

// So many lines are asked for at once.
inline constexpr std::ptrdiff_t bundle = 4;

// Rows of what a product adds to: `columns` of them may be read.
template <class T>
struct Starts {
  const T* row[most_rows];
  int columns;
};

template <class T, int MR, int NV, bool Far>
void tile_from(const Tile<T>& tile, const Starts<T>& starts, const Lines<T>& lines) {
  constexpr int L = lanes<T>, width = NV * L;
  Vec<T> acc[MR][NV];
  const bool starts_whole = starts.columns >= width;
#pragma GCC unroll 12
  for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 4
    for (int v = 0; v < NV - 1; ++v) acc[m][v] = load(starts.row[m] + v * L);
    const T* const last = starts.row[m] + (NV - 1) * L;
    acc[m][NV - 1] = starts_whole ? load(last) : load_part(last, starts.columns - (NV - 1) * L);
  }
  Tile<T> piece = tile;
  const std::ptrdiff_t bundles = (lines.count + bundle - 1) / bundle, step = tile.depth / (bundles + 1);
  for (std::ptrdiff_t i = 0; i <= bundles; ++i) {
    for (std::ptrdiff_t k = i * bundle; k < (i + 1) * bundle && k < lines.count; ++k) prefetch_far(lines.line[k]);
    piece.depth = i < bundles ? step : tile.depth - bundles * step;
    detail::accumulate<T, Factors::rows, MR, NV, Far>(piece, acc);
    piece.a += step;
    piece.panel += step * tile.ldp;
    if constexpr (Far) piece.ahead += step * line<T>;
  }
  const bool whole = tile.columns >= width;
#pragma GCC unroll 12
  for (int m = 0; m < MR; ++m) {
    T* const out = tile.out[m] + tile.offset;
#pragma GCC unroll 4
    for (int v = 0; v < NV - 1; ++v) store(out + v * L, acc[m][v]);
    if (whole) {
      store(out + (NV - 1) * L, acc[m][NV - 1]);
    } else {
      store_part(out + (NV - 1) * L, acc[m][NV - 1], tile.columns - (NV - 1) * L);
    }
  }
}

template <class T, int NV, int MR>
void choose_rows_from(int rows, const Tile<T>& tile, const Starts<T>& starts, const Lines<T>& lines) {
  if constexpr (MR > 1) {
    if (rows < MR) return choose_rows_from<T, NV, MR - 1>(rows, tile, starts, lines);
  }
  if constexpr (looks_ahead<Factors::rows>(NV)) {
    if (tile.ahead != nullptr) return tile_from<T, MR, NV, true>(tile, starts, lines);
  }
  tile_from<T, MR, NV, false>(tile, starts, lines);
}

template <class T>
inline void multiply_from(int rows, int vectors, const Tile<T>& tile, const Starts<T>& starts, const Lines<T>& lines) {
  switch (vectors) {
    case 1: return choose_rows_from<T, 1, max_rows(1)>(rows, tile, starts, lines);
    case 2: return choose_rows_from<T, 2, max_rows(2)>(rows, tile, starts, lines);
    case 3: return choose_rows_from<T, 3, max_rows(3)>(rows, tile, starts, lines);
    default: return choose_rows_from<T, 4, max_rows(4)>(rows, tile, starts, lines);
  }
}

// One panel for all rows, of any depth, like `multiply_all`: row r begins with start(r) and goes to place(r); before the
// rows from `next` on are computed, ask(next, lines) says what to ask for.
template <class T, class Start, class Place, class Ask>
inline void multiply_all_from(std::ptrdiff_t rows, int vectors, Tile<T>& tile, bool far, Starts<T>& starts,
                              Start start, Place place, Ask ask) {
  const std::ptrdiff_t depth = tile.depth, most = part_bytes / (vectors * vector_bytes);
  const bool asks = far && looks_ahead<Factors::rows>(vectors) && rows > max_rows(vectors);
  const std::ptrdiff_t parts = (depth + most - 1) / most;
  const T *const a = tile.a, *const panel = tile.panel;
  const auto begin_part = [&](std::ptrdiff_t part) {
    const std::ptrdiff_t begin = depth * part / parts, end = depth * (part + 1) / parts;
    tile.depth = end - begin;
    tile.a = a + begin;
    tile.panel = panel + begin * tile.ldp;
    const T* const next = panel + end * tile.ldp;
    tile.ahead = asks ? next : nullptr;
    tile.ahead_end = next + tile.depth * tile.ldp;
  };
  begin_part(0);
  T* out[most_rows];
  tile.out = out;
  for (std::ptrdiff_t row = 0; row < rows;) {
    const int count = next_rows(rows - row, vectors);
    for (int m = 0; m < count; ++m) {
      out[m] = place(row + m);
      starts.row[m] = start(row + m);
    }
    Lines<T> lines;
    lines.count = 0;
    ask(row + count, lines);
    multiply_from<T>(count, vectors, tile, starts, lines);
    tile.a += count * tile.lda;
    if (tile.ahead != nullptr) tile.ahead += tile.depth * line<T>;
    if (tile.ahead >= tile.ahead_end) tile.ahead = nullptr;
    row += count;
  }
  tile.out = nullptr;
  tile.start = nullptr;
  for (std::ptrdiff_t part = 1; part < parts; ++part) {
    begin_part(part);
    multiply_rows<T, Factors::rows>(rows, vectors, tile, place, [](std::ptrdiff_t, std::ptrdiff_t) {});
  }
}

}  // namespace throughtime::TT_ISA::program
