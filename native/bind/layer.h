// The forward and backward pass of one recurrent layer as an autograd node, on tensors.
#pragma once

#include <nanobind/nanobind.h>

namespace throughtime {

void bind_layer(nanobind::module_& m);

}  // namespace throughtime
