// The normalisation kernels of one instruction set; dispatch.cpp chooses the instruction set.
#pragma once

#include "kernels/norm/norm.h"

namespace throughtime {

struct NormKernels {
  void (*forward)(const NormForward&);
  void (*backward)(const NormBackward&);
};

}  // namespace throughtime
