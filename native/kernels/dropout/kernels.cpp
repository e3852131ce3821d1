// The dropout kernel for one instruction set; compiled once for each, like kernels/recurrent/kernels.cpp.
#include "kernels/dropout/kernels.h"

#include "kernels/dropout/masked.h"

namespace throughtime::TT_ISA {

const DropoutKernels& dropout_table() {
  static const DropoutKernels kernels{
      [](const Dropout& call) { call.is_double ? dropout_of<double>(call) : dropout_of<float>(call); }};
  return kernels;
}

}  // namespace throughtime::TT_ISA
