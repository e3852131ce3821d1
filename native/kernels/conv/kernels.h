// The convolution kernels of one instruction set; dispatch.cpp chooses the instruction set.
#pragma once

#include "kernels/conv/blocks.h"
#include "kernels/conv/conv.h"

namespace throughtime {

struct ConvKernels {
  // Blocks of the rows of y.
  void (*forward)(const ConvForward&, const Blocks&);
  // Blocks of the rows of dx; with replicated borders those beyond the ends, too.
  void (*input_gradient)(const ConvInputGradient&, const Blocks&, std::int64_t before, std::int64_t after);
  // Blocks of the rows of y.
  void (*weight_gradient)(const ConvWeightGradient&, const Blocks&);
};

}  // namespace throughtime
