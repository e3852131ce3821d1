// The recurrent kernels of one instruction set; dispatch.cpp chooses the instruction set when the process starts.
#pragma once

#include "kernels/recurrent/sequences.h"

namespace throughtime {

struct Kernels {
  const char* name;
  void (*forward)(const ForwardCall&, const Sequences&);
  void (*backward)(const BackwardCall&, const Sequences&);
  // Multiply-adds on registers alone, `rounds` times as many vectors of float as keep them busy; returns the operations done.
  double (*multiply_adds)(std::int64_t rounds);
};

// The kernels of the named or, for null, of the best instruction set that this processor has. Names: those
// of `instruction_sets`. Null if there is none of that name here.
const Kernels* find_kernels(const char* name);

// Instruction sets that this build has and this processor runs, best first, null at the end.
const char* const* instruction_sets();

// The kernels in use: those that THROUGHTIME_ISA names, else the best. Null if it names none of them.
const Kernels* kernels();

}  // namespace throughtime
