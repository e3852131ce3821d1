// One recurrent layer under autograd: what a node computes forward and backward, on tensors.
#pragma once

#include <nanobind/nanobind.h>

namespace throughtime {

void bind_layer(nanobind::module_& m);

}  // namespace throughtime
