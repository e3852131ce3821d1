// Arguments that convolution, pooling and normalisation share: windows in time, and the offsets of a batch.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>

#include "bind/tensors.h"

namespace throughtime {

// See `Windows` in ops/windows.py.
struct Windows {
  std::int64_t size, stride, dilation, left, right;
  bool replicate;
};

// Offsets (B + 1,) of the tokens that go in and of the windows that come out; the caller's.
struct Batch {
  std::int64_t sequences;
  const std::int64_t *offsets, *out_offsets;
};

// Offsets that are checked to describe so many tokens, any number if it is negative. False where the tensor is unusual;
// a ShapeError where they describe others.
bool read_offsets(bool in_order, nanobind::handle object, std::int64_t total, Plain& found);

// Both offsets of a batch. False and ShapeError as of either, and a ShapeError where they are of different batches.
bool read_batch(bool in_order, nanobind::handle offsets, std::int64_t total, nanobind::handle out_offsets,
                std::int64_t out_total, Batch& batch);

void bind_batch(nanobind::module_& m);

}  // namespace throughtime
