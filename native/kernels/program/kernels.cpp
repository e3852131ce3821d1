// The program kernels for one instruction set; compiled once for each, like kernels/recurrent/kernels.cpp.
#include "kernels/program/kernels.h"

#include "kernels/program/machine.h"

namespace throughtime::TT_ISA {

const ProgramKernels& program_table() {
  static const ProgramKernels kernels{[](const ProgramCall& call, const Sequences& sequences) {
    call.is_double ? program::run_program_of<double>(call, sequences)
                   : program::run_program_of<float>(call, sequences);
  }};
  return kernels;
}

}  // namespace throughtime::TT_ISA
