// The convolution functions of the Python module.
#pragma once

#include <nanobind/nanobind.h>

namespace throughtime {

void bind_conv(nanobind::module_& m);

}  // namespace throughtime
