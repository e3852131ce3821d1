// The scan kernels for one instruction set; compiled once for each, like kernels/recurrent/kernels.cpp.
#include "kernels/scan/kernels.h"

#include "kernels/scan/gated_output.h"
#include "kernels/scan/passes.h"

namespace throughtime::TT_ISA {

const ScanKernels& scan_table() {
  static const ScanKernels kernels{
      [](const ScanForward& call) {
        call.shape.is_double ? scan_forward_of<double>(call) : scan_forward_of<float>(call);
      },
      [](const ScanBackward& call) {
        call.shape.is_double ? scan_backward_of<double>(call) : scan_backward_of<float>(call);
      },
      [](const GatedOutput& call) {
        call.shape.is_double ? gated_output_of<double>(call) : gated_output_of<float>(call);
      },
      [](const GatedOutputBackward& call) {
        call.shape.is_double ? gated_output_backward_of<double>(call) : gated_output_backward_of<float>(call);
      }};
  return kernels;
}

}  // namespace throughtime::TT_ISA
