// The embedding functions of the Python module.
#pragma once

#include <nanobind/nanobind.h>

namespace throughtime {

void bind_embedding(nanobind::module_& m);

}  // namespace throughtime
