// Layers with int8 weights, on tensors.
#pragma once

#include <nanobind/nanobind.h>

namespace throughtime {

void bind_quantized(nanobind::module_& m);

}  // namespace throughtime
