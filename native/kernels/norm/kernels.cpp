// The normalisation kernels for one instruction set; compiled once for each, like kernels/recurrent/kernels.cpp.
#include "kernels/norm/kernels.h"

#include "kernels/norm/backward.h"
#include "kernels/norm/forward.h"

namespace throughtime::TT_ISA {

const NormKernels& norm_table() {
  static const NormKernels kernels{
      [](const NormForward& call) {
        call.shape.is_double ? norm_forward_of<double>(call) : norm_forward_of<float>(call);
      },
      [](const NormBackward& call) {
        call.shape.is_double ? norm_backward_of<double>(call) : norm_backward_of<float>(call);
      }};
  return kernels;
}

}  // namespace throughtime::TT_ISA
