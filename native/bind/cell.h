// A cell and its options, constructed by Python once for each kind of cell in use.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>

#include "kernels/recurrent/recurrent.h"

namespace throughtime {

struct NativeCell {
  Cell cell;
  Options options;
  int gates;
  std::int64_t saved;
  bool has_c;
  int least_own, most_own;  // rows of its own parameters in all
};

void bind_cell(nanobind::module_& m);

}  // namespace throughtime
