// The CRF kernels for one instruction set; compiled once for each, like kernels/recurrent/kernels.cpp.
#include "kernels/crf/kernels.h"

#include "kernels/crf/forward.h"
#include "kernels/crf/viterbi.h"

namespace throughtime::TT_ISA {

const CrfKernels& crf_table() {
  static const CrfKernels kernels{
      [](const CrfForward& call) { call.chain.is_double ? forward_of<double>(call) : forward_of<float>(call); },
      [](const CrfBest& call) { call.chain.is_double ? best_of<double>(call) : best_of<float>(call); }};
  return kernels;
}

}  // namespace throughtime::TT_ISA
