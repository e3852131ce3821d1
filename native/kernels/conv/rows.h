// A kernel of one tap on few rows, which is the product x · Wᵀ: linear layers on a token of each stream, read-outs.
//
// Elsewhere all weights are laid out as panels before the first row is multiplied, which here would cost as much as the
// product itself. So threads share the panels, and lay out a part of one in the first cache just before it is used. An
// element is the same chain of multiply-adds, so its bits are those that it has among many rows.
#pragma once

#include "kernels/conv/correlate.h"
#include "kernels/parallel.h"

namespace throughtime::TT_ISA {

// Up to so many rows.
inline constexpr std::int64_t rows_of_few = 96;

template <class T>
class FewRows {
 public:
  static constexpr int L = lanes<T>;
  static constexpr std::ptrdiff_t part_depth = 128;  // 16 KB of a panel of two vectors

  explicit FewRows(const ConvForward& call)
      : call_(call),
        rows_(call.batch.out_offsets[call.batch.sequences]),
        panels_(channel_panels<T>(call.shape.outputs, false)) {}

  static bool takes(const ConvForward& call) {
    const ConvShape& shape = call.shape;
    const std::int64_t rows = call.batch.out_offsets[call.batch.sequences];
    return shape.width == 1 && shape.groups == 1 && shape.stride == 1 && shape.left == 0 && rows <= rows_of_few &&
           rows == call.batch.offsets[call.batch.sequences];
  }

  void compute() {
    auto share = [this](int rank, int size) {
      const Range own = part_of(panels_.count(), rank, size);
      for (std::ptrdiff_t q = own.begin; q < own.end; ++q) panel(q);
    };
    parallel(call_.threads, share);
  }

 private:
  void panel(std::ptrdiff_t q) const {
    const std::ptrdiff_t depth = call_.shape.channels, first = panels_.first(q);
    const int vectors = panels_.vectors_of(q), columns = panels_.columns_of(q);
    alignas(64) T packed[part_depth * 2 * L];
    alignas(64) T start[2 * L] = {};
    if (call_.bias != nullptr) {
      std::memcpy(start, static_cast<const T*>(call_.bias) + first, sizeof(T) * static_cast<std::size_t>(columns));
    }
    Tile<T> tile{};
    tile.lda = depth;
    tile.ldp = vectors * L;
    tile.panel = packed;
    tile.offset = first;
    tile.columns = columns;
    tile.start = start;
    for (std::ptrdiff_t k = 0; k < depth; k += part_depth) {
      tile.depth = depth - k < part_depth ? depth - k : part_depth;
      const T* const weight = static_cast<const T*>(call_.weight) + first * depth + k;
      for (int v = 0; v < vectors; ++v) {
        const int left = columns - v * L;
        pack_transposed(weight + v * L * depth, depth, left < L ? left : L, tile.depth, packed + v * L, tile.ldp);
      }
      multiply(tile, vectors, k, k + tile.depth == depth);
      tile.start = nullptr;
    }
  }

  void multiply(Tile<T>& tile, int vectors, std::ptrdiff_t k, bool last) const {
    tile.a = static_cast<const T*>(call_.x) + k;
    const Run whole{0, 0, tile.depth};
    T* const y = static_cast<T*>(call_.y);
    each_tile<T, Factors::rows>(
        rows_, vectors, tile, [&](std::ptrdiff_t row) { return y + row * call_.shape.outputs; },
        [&](int count) { multiply_runs<T, Factors::rows>(count, vectors, tile, &whole, 1, last && call_.relu); },
        [](std::ptrdiff_t, std::ptrdiff_t) {});
  }

  const ConvForward& call_;
  std::int64_t rows_;
  Panels<T> panels_;
};

}  // namespace throughtime::TT_ISA
