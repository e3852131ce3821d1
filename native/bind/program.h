// The class of programs of the Python module.
#pragma once

#include <nanobind/nanobind.h>

namespace throughtime {

void bind_program(nanobind::module_& m);

}  // namespace throughtime
