// Arguments that calls of a layer and of a stack of layers share.
#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>
#include <cstdint>

#include "kernels/recurrent/recurrent.h"

namespace throughtime {

struct Plain;

// Looks at a tensor; false where it is none, or unusual.
using Look = bool (*)(nanobind::handle object, Plain& found);

// The tokens of a ragged batch whose offsets these are; false where they are not those of so many.
bool find_offsets(Look look, nanobind::handle offsets, std::int64_t total, Tokens& tokens);

// A part of an array, null of none.
template <class Void>
Void* behind(Void* place, std::size_t bytes) {
  if (place == nullptr) return nullptr;
  return reinterpret_cast<Void*>(reinterpret_cast<std::uintptr_t>(place) + bytes);
}

}  // namespace throughtime
