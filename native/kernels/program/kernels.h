// The program kernels of one instruction set; dispatch.cpp chooses the instruction set.
#pragma once

#include "kernels/program/program.h"
#include "kernels/recurrent/sequences.h"

namespace throughtime {

struct ProgramKernels {
  void (*run)(const ProgramCall&, const Sequences&);
};

}  // namespace throughtime
