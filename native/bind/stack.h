// A stack of recurrent layers without gradients, from Python objects to the kernels without a Python statement between.
#pragma once

#include <nanobind/nanobind.h>

namespace throughtime {

void bind_stack(nanobind::module_& m);

}  // namespace throughtime
