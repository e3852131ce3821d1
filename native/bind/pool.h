// The pooling functions of the Python module.
#pragma once

#include <nanobind/nanobind.h>

namespace throughtime {

void bind_pool(nanobind::module_& m);

}  // namespace throughtime
