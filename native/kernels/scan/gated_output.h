// The output of a linear recurrence through a gate, and its gradient: one pass over all tokens.
#pragma once

#include "kernels/parallel.h"
#include "kernels/range.h"
#include "kernels/scan/coefficients.h"

namespace throughtime::TT_ISA {

template <class T>
struct OutputRows {
  const T *u, *h, *skip;
  std::ptrdiff_t features, stride, skip_stride;  // of rows: of h, of u, of the other input

  explicit OutputRows(const OutputShape& shape, const void* given_u, const void* given_h, const void* given_skip)
      : u(static_cast<const T*>(given_u)),
        h(static_cast<const T*>(given_h)),
        skip(static_cast<const T*>(given_skip)),
        features(shape.features),
        stride(shape.blocks * shape.features),
        skip_stride(shape.features) {
    if (shape.blocks == 2) {
      skip = u + features;
      skip_stride = stride;
    }
  }
  bool highway() const { return skip != nullptr; }
};

template <class T, class Body>
void each_row_tile(const OutputShape& shape, const Body& body) {
  auto run = [&](int rank, int size) {
    const Range rows{shape.tokens * rank / size, shape.tokens * (rank + 1) / size};
    for (std::int64_t t = rows.begin; t < rows.end; ++t) {
      each_tile<T, 4>(0, shape.features, [&](std::ptrdiff_t c, auto tile) {
        for (int i = 0; i < decltype(tile)::vectors; ++i) body(t, c, tile, i);
      });
    }
  };
  parallel(shape.threads, run);
}

template <class T>
void gated_output_of(const GatedOutput& call) {
  const OutputRows<T> rows(call.shape, call.u, call.h, call.skip);
  T* const y = static_cast<T*>(call.y);
  each_row_tile<T>(call.shape, [&](std::int64_t t, std::ptrdiff_t c, const auto& tile, int i) {
    const Vec<T> gate = sigmoid<T>(tile.load(rows.u + t * rows.stride + c, i));
    const Vec<T> h = tile.load(rows.h + t * rows.features + c, i);
    if (!rows.highway()) return tile.store(y + t * rows.features + c, i, gate * h);
    const Vec<T> skip = tile.load(rows.skip + t * rows.skip_stride + c, i);
    tile.store(y + t * rows.features + c, i, skip + gate * (h - skip));
  });
}

template <class T>
void gated_output_backward_of(const GatedOutputBackward& call) {
  const OutputRows<T> rows(call.shape, call.u, call.h, call.skip);
  const T* const dy = static_cast<const T*>(call.dy);
  T *const du = static_cast<T*>(call.du), *const dh = static_cast<T*>(call.dh);
  T* const dskip = call.shape.blocks == 2 ? du + rows.features : static_cast<T*>(call.dskip);
  each_row_tile<T>(call.shape, [&](std::int64_t t, std::ptrdiff_t c, const auto& tile, int i) {
    const Vec<T> gate = sigmoid<T>(tile.load(rows.u + t * rows.stride + c, i));
    const Vec<T> g = tile.load(dy + t * rows.features + c, i), through = g * gate;
    Vec<T> h = tile.load(rows.h + t * rows.features + c, i);
    if (rows.highway()) {
      h = h - tile.load(rows.skip + t * rows.skip_stride + c, i);
      if (dskip != nullptr) tile.store(dskip + t * rows.skip_stride + c, i, g - through);
    }
    tile.store(du + t * rows.stride + c, i, through * (T(1) - gate) * h);
    tile.store(dh + t * rows.features + c, i, through);
  });
}

}  // namespace throughtime::TT_ISA
