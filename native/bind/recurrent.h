// The recurrent functions of the Python module.
#pragma once

#include <nanobind/nanobind.h>

#include "kernels/recurrent/recurrent.h"

namespace throughtime {

class Reader;

// The options of a general cell: what follows its number.
void read_options(Reader& in, Options& options);

void bind_recurrent(nanobind::module_& m);

}  // namespace throughtime
