// The dropout kernel of one instruction set; dispatch.cpp chooses the instruction set.
#pragma once

#include "kernels/dropout/dropout.h"

namespace throughtime {

struct DropoutKernels {
  void (*dropout)(const Dropout&);
};

}  // namespace throughtime
