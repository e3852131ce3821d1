// The functions of linear recurrences of the Python module.
#pragma once

#include <nanobind/nanobind.h>

namespace throughtime {

void bind_scan(nanobind::module_& m);

}  // namespace throughtime
