// One step of a stream, from Python objects to the kernels without a Python statement between.
#pragma once

#include <nanobind/nanobind.h>

namespace throughtime {

void bind_step(nanobind::module_& m);

}  // namespace throughtime
