// The normalisation functions of the Python module.
#pragma once

#include <nanobind/nanobind.h>

namespace throughtime {

void bind_norm(nanobind::module_& m);

}  // namespace throughtime
