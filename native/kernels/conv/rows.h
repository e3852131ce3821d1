// A kernel of one tap on few rows, and its gradients, as matrix products: linear layers on one token of each
// stream, and read-outs of small batches.
//
//   y = bias + x · Wᵀ        dx = start + dy · W        dW = dyᵀ · x
//
// The other kernels pack a whole matrix into panels before they multiply the first row, which for few rows would
// cost as much as the product. Here threads share the panels, and pack each part into the L1 cache just before it
// is used. Each element is one chain of multiply-adds in the order of the other kernels, so a row of y or dx has
// the same bits as among many rows.
#pragma once

#include "kernels/conv/correlate.h"
#include "kernels/parallel.h"

namespace throughtime::TT_ISA {

// Up to so many rows.
inline constexpr std::int64_t rows_of_few = 96;

inline bool is_product_of_few(const ConvShape& shape, const ConvBatch& batch) {
  const std::int64_t rows = batch.out_offsets[batch.sequences];
  return shape.width == 1 && shape.groups == 1 && shape.stride == 1 && shape.left == 0 && rows > 0 &&
         rows <= rows_of_few && rows == batch.offsets[batch.sequences];
}

// out (rows, columns) = start + A (rows, depth) · B (depth, columns). All pointers are the caller's.
template <class T, Factors F>
struct FewProduct {
  static constexpr int L = lanes<T>;
  static constexpr std::ptrdiff_t part_depth = 128;  // 16 KB of a panel of two vectors

  std::ptrdiff_t rows, depth, columns;
  const T* a;          // see Factors
  const T* b;          // row by row
  bool b_transposed;   // or column by column
  const T* start;      // (columns), or null for zeros
  T* out;
  bool relu;

  // The part of one of `size` threads.
  void compute(int rank, int size) const {
    const Panels<T> panels = channel_panels<T>(columns, false);
    const Range own = part_of(panels.count(), rank, size);
    for (std::ptrdiff_t q = own.begin; q < own.end; ++q) panel(panels, q);
  }

 private:
  void panel(const Panels<T>& panels, std::ptrdiff_t q) const {
    const std::ptrdiff_t first = panels.first(q);
    const int vectors = panels.vectors_of(q), width = panels.columns_of(q);
    alignas(64) T packed[part_depth * 2 * L];
    alignas(64) T begin[2 * L] = {};
    if (start != nullptr) std::memcpy(begin, start + first, sizeof(T) * static_cast<std::size_t>(width));
    Tile<T> tile{};
    tile.lda = F == Factors::rows ? depth : rows;
    tile.ldp = vectors * L;
    tile.panel = packed;
    tile.offset = first;
    tile.columns = width;
    tile.start = begin;
    for (std::ptrdiff_t k = 0; k < depth; k += part_depth) {
      tile.depth = depth - k < part_depth ? depth - k : part_depth;
      tile.a = a + (F == Factors::rows ? k : k * rows);
      pack(first, k, vectors, width, tile, packed);
      multiply(tile, vectors, relu && k + tile.depth == depth);
      tile.start = nullptr;
    }
  }

  void pack(std::ptrdiff_t first, std::ptrdiff_t k, int vectors, int width, const Tile<T>& tile, T* to) const {
    if (!b_transposed) return pack_rows(b + k * columns + first, columns, width, tile.depth, to, tile.ldp);
    for (int v = 0; v < vectors; ++v) {
      const int left = width - v * L;
      pack_transposed(b + (first + v * L) * depth + k, depth, left < L ? left : L, tile.depth, to + v * L, tile.ldp);
    }
  }

  void multiply(Tile<T>& tile, int vectors, bool rectify) const {
    const Run whole{0, 0, tile.depth};
    each_tile<T, F>(
        rows, vectors, tile, [this](std::ptrdiff_t row) { return out + row * columns; },
        [&](int count) { multiply_runs<T, F>(count, vectors, tile, &whole, 1, rectify); },
        [](std::ptrdiff_t, std::ptrdiff_t) {});
  }
};

// Shares a product out to threads; `more(rank, size)` is computed beside it.
template <class T, Factors F, class More>
void compute_few(const FewProduct<T, F>& product, int threads, const More& more) {
  auto share = [&](int rank, int size) {
    product.compute(rank, size);
    more(rank, size);
  };
  parallel(threads, share);
}

template <class T, Factors F>
void compute_few(const FewProduct<T, F>& product, int threads) {
  compute_few(product, threads, [](int, int) {});
}

template <class T>
void few_rows_forward(const ConvForward& call) {
  compute_few(FewProduct<T, Factors::rows>{call.batch.out_offsets[call.batch.sequences], call.shape.channels,
                                           call.shape.outputs, static_cast<const T*>(call.x),
                                           static_cast<const T*>(call.weight), true,
                                           static_cast<const T*>(call.bias), static_cast<T*>(call.y), call.relu},
              call.threads);
}

template <class T>
void few_rows_input_gradient(const ConvInputGradient& call) {
  compute_few(FewProduct<T, Factors::rows>{call.batch.out_offsets[call.batch.sequences], call.shape.outputs,
                                           call.shape.channels, static_cast<const T*>(call.dy),
                                           static_cast<const T*>(call.weight), false,
                                           static_cast<const T*>(call.start), static_cast<T*>(call.dx), false},
              call.threads);
}

template <class T>
void few_rows_weight_gradient(const ConvWeightGradient& call) {
  const std::int64_t rows = call.batch.out_offsets[call.batch.sequences], outputs = call.shape.outputs;
  const T* const dy = static_cast<const T*>(call.dy);
  T* const db = static_cast<T*>(call.db);
  compute_few(FewProduct<T, Factors::columns>{outputs, rows, call.shape.channels, dy, static_cast<const T*>(call.x),
                                              false, nullptr, static_cast<T*>(call.dw), false},
              call.threads, [&](int rank, int size) {
                if (db == nullptr) return;
                const Range own = part_of(outputs, rank, size);
                for (std::ptrdiff_t o = own.begin; o < own.end; ++o) db[o] = dy[o];
                for (std::int64_t t = 1; t < rows; ++t) {
                  for (std::ptrdiff_t o = own.begin; o < own.end; ++o) db[o] += dy[t * outputs + o];
                }
              });
}

}  // namespace throughtime::TT_ISA
