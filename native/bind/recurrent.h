// The recurrent functions of the Python module.
#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>
#include <cstdint>

#include "kernels/recurrent/recurrent.h"

namespace throughtime {

class Reader;

// The options of a general cell: what follows its number.
void read_options(Reader& in, Options& options);

// The tokens of a ragged batch whose offsets these are; false where they are not those of so many.
bool find_offsets(nanobind::handle offsets, std::int64_t total, Tokens& tokens);

// A part of an array, null of none.
template <class Void>
Void* behind(Void* place, std::size_t bytes) {
  if (place == nullptr) return nullptr;
  return reinterpret_cast<Void*>(reinterpret_cast<std::uintptr_t>(place) + bytes);
}

void bind_recurrent(nanobind::module_& m);

}  // namespace throughtime
