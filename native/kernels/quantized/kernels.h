// The kernels with int8 weights of one set of instructions; dispatch.cpp chooses it.
#pragma once

#include "kernels/quantized/quantized.h"
#include "kernels/recurrent/sequences.h"

namespace throughtime {

struct QuantizedKernels {
  void (*correlate)(const QuantizedCorrelate&);
  void (*recurrent)(const QuantizedRecurrent&, const Sequences&);
  void (*sums)(const std::int8_t* rows, std::int64_t count, const PackedWeights&, std::int32_t* sums);
};

}  // namespace throughtime
