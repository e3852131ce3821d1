// The scan kernels of one instruction set; dispatch.cpp chooses the instruction set.
#pragma once

#include "kernels/scan/scan.h"

namespace throughtime {

struct ScanKernels {
  void (*forward)(const ScanForward&);
  void (*backward)(const ScanBackward&);
  void (*output)(const GatedOutput&);
  void (*output_backward)(const GatedOutputBackward&);
};

}  // namespace throughtime
