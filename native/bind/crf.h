// The functions of the Python module for conditional random fields.
#pragma once

#include <nanobind/nanobind.h>

namespace throughtime {

void bind_crf(nanobind::module_& m);

}  // namespace throughtime
