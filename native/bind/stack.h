// A stack of recurrent layers without gradients, called natively from Python objects to kernels.
#pragma once

#include <nanobind/nanobind.h>

namespace throughtime {

void bind_stack(nanobind::module_& m);

}  // namespace throughtime
