// The dropout function of the Python module.
#pragma once

#include <nanobind/nanobind.h>

namespace throughtime {

void bind_dropout(nanobind::module_& m);

}  // namespace throughtime
