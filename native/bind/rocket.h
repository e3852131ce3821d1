// The MiniRocket function of the Python module.
#pragma once

#include <nanobind/nanobind.h>

namespace throughtime {

void bind_rocket(nanobind::module_& m);

}  // namespace throughtime
