// The CRF kernels of one instruction set; dispatch.cpp chooses the instruction set.
#pragma once

#include "kernels/crf/crf.h"

namespace throughtime {

struct CrfKernels {
  void (*forward)(const CrfForward&);
  void (*best)(const CrfBest&);
};

}  // namespace throughtime
