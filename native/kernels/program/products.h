// Products of the machine: matrices in panels, and rows times panels.
#pragma once

#include "kernels/program/plan.h"

namespace throughtime::TT_ISA::program {

// Every `team`-th panel of all matrices.
template <class T>
void pack_matrices(const ProgramPlan<T>& plan, int number, int team) {
  std::ptrdiff_t turn = 0;
  for (int slot = 0; slot < plan.program->slot_count; ++slot) {
    const MatrixSlot& source = plan.program->slots[slot];
    const Packed<T>& packed = plan.slots[slot];
    const Matrix& matrix = plan.call->matrices[source.matrix];
    const T* const from = static_cast<const T*>(matrix.data);
    for (std::ptrdiff_t panel = 0; panel < packed.panels.count(); ++panel) {
      if (turn++ % team != number) continue;
      const std::ptrdiff_t first = packed.panels.first(panel), ldp = packed.panels.vectors_of(panel) * lanes<T>;
      const int columns = packed.panels.columns_of(panel);
      T* const to = packed.data + first * packed.depth;
      if (source.transposed) {
        pack_rows(from + first, matrix.columns, columns, packed.depth, to, ldp);
        continue;
      }
      for (std::ptrdiff_t v = 0; v < ldp; v += lanes<T>) {
        const int count = static_cast<int>(columns - v < lanes<T> ? columns - v : lanes<T>);
        pack_transposed(from + (first + v) * matrix.columns, matrix.columns, count, packed.depth, to + v, ldp);
      }
    }
  }
}

template <class T>
inline void copy_values(const T* from, std::ptrdiff_t count, T* to) {
  constexpr int L = lanes<T>;
  std::ptrdiff_t i = 0;
  for (; i + L <= count; i += L) store(to + i, load(from + i));
  if (i < count) store_part<T>(to + i, load_part(from + i, static_cast<int>(count - i)), static_cast<int>(count - i));
}

// Some panels of a product for the rows 0 … rows of a group. What a row of the second operand adds is copied to the
// result just before a tile reads it from there.
template <class T>
void run_product(const Packed<T>& packed, const Step<T>& s, const RowIndex* index, std::int64_t rows, Range own,
                 const T* zeros) {
  const Operand<T>&a = s.in[0], &b = s.in[1];
  const bool far = is_far<T>(packed.count());
  const bool adds_rows = s.operands == 2 && b.ld != 0;
  for (std::ptrdiff_t panel = own.begin; panel < own.end; ++panel) {
    const std::ptrdiff_t first = packed.panels.first(panel);
    const int vectors = packed.panels.vectors_of(panel), width = vectors * lanes<T>;
    const int columns = packed.panels.columns_of(panel);
    Tile<T> tile{};
    tile.a = a.base;
    tile.lda = a.ld;
    tile.depth = packed.depth;
    tile.panel = packed.data + first * packed.depth;
    tile.ldp = width;
    tile.offset = first;
    tile.columns = s.columns - first < width ? static_cast<int>(s.columns - first) : width;
    tile.start = adds_rows ? nullptr : s.operands == 2 ? b.base + first : zeros;
    const RowIndex out_rows = index[s.out.list];
    if (!adds_rows) {
      multiply_all<T, Factors::rows>(rows, vectors, tile, far,
                                     [&](std::ptrdiff_t r) { return s.out.base + out_rows[r] * s.out.ld; });
      continue;
    }
    const RowIndex in_rows = index[b.list];
    const T *const first_row = tile.panel, *const from = b.base + first;
    multiply_all<T, Factors::rows>(rows, vectors, tile, far, [&](std::ptrdiff_t r) {
      T* const row = s.out.base + out_rows[r] * s.out.ld;
      if (tile.panel != first_row) return row;
      if (b.in_memory) prefetch(from + in_rows[r + most_rows_ahead] * b.ld, columns);
      const T* const added = from + in_rows[r] * b.ld;
      if (added != row + first) copy_values(added, columns, row + first);
      return row;
    });
  }
}

}  // namespace throughtime::TT_ISA::program
