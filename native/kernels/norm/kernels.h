// What one compilation of the normalisation's kernels offers; dispatch.cpp chooses among them.
#pragma once

#include "kernels/norm/norm.h"

namespace throughtime {

struct NormKernels {
  void (*forward)(const NormForward&);
  void (*backward)(const NormBackward&);
};

}  // namespace throughtime
