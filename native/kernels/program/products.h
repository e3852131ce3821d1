// Products of the machine: matrices in panels, and rows times panels.
#pragma once

#include "kernels/program/plan.h"
#include "kernels/program/tiles.h"

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

// Some panels of a product for the rows 0 … rows of a group.
template <class T>
void run_product(const Packed<T>& packed, const Step<T>& s, const RowIndex* index, std::int64_t rows, Range own,
                 const T* zeros) {
  const Operand<T>&a = s.in[0], &b = s.in[1];
  const bool far = is_far<T>(packed.count());
  const bool adds_rows = s.operands == 2 && b.ld != 0;
  const RowIndex out_rows = index[s.out.list], in_rows = index[b.list];
  const auto place = [&](std::ptrdiff_t r) { return s.out.base + out_rows[r] * s.out.ld; };
  for (std::ptrdiff_t panel = own.begin; panel < own.end; ++panel) {
    const std::ptrdiff_t first = packed.panels.first(panel);
    const int vectors = packed.panels.vectors_of(panel), width = vectors * lanes<T>;
    Tile<T> tile{};
    tile.a = a.base;
    tile.lda = a.ld;
    tile.depth = packed.depth;
    tile.panel = packed.data + first * packed.depth;
    tile.ldp = width;
    tile.offset = first;
    tile.columns = s.columns - first < width ? static_cast<int>(s.columns - first) : width;
    if (!adds_rows) {
      tile.start = s.operands == 2 ? b.base + first : zeros;
      multiply_all<T, Factors::rows>(rows, vectors, tile, far, place);
      continue;
    }
    const int columns = packed.panels.columns_of(panel);
    Starts<T> starts;
    starts.columns = b.in_memory ? columns : width;
    const auto start = [&](std::ptrdiff_t r) { return b.base + in_rows[r] * b.ld + first; };
    // The rows of the next tile are asked for.
    const auto ask = [&](std::ptrdiff_t row, Lines<T>& lines) {
      const std::ptrdiff_t end = row + max_rows(vectors) < rows ? row + max_rows(vectors) : rows;
      for (std::ptrdiff_t r = row; b.in_memory && r < end; ++r) lines.add(start(r), columns);
    };
    multiply_all_from<T>(rows, vectors, tile, far, starts, start, place, ask);
  }
}

}  // namespace throughtime::TT_ISA::program
