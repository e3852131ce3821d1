// The convolution's kernels for one instruction set; compiled once for each, as kernels/recurrent/kernels.cpp.
#include "kernels/conv/kernels.h"

#include "kernels/conv/passes.h"
#include "kernels/conv/weight_gradient.h"

namespace throughtime::TT_ISA {

const ConvKernels& conv_table() {
  static const ConvKernels kernels{
      [](const ConvForward& call, const Blocks& blocks) {
        call.shape.is_double ? forward_of<double>(call, blocks) : forward_of<float>(call, blocks);
      },
      [](const ConvInputGradient& call, const Blocks& blocks, std::int64_t before, std::int64_t after) {
        call.shape.is_double ? input_gradient_of<double>(call, blocks, before, after)
                             : input_gradient_of<float>(call, blocks, before, after);
      },
      [](const ConvWeightGradient& call, const Blocks& blocks) {
        call.shape.is_double ? weight_gradient_of<double>(call, blocks) : weight_gradient_of<float>(call, blocks);
      }};
  return kernels;
}

}  // namespace throughtime::TT_ISA
