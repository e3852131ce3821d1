// The pooling kernels of one instruction set; dispatch.cpp chooses the instruction set.
#pragma once

#include "kernels/pool/pool.h"

namespace throughtime {

struct PoolKernels {
  // `by_features`: threads share the features, not the rows.
  void (*max)(const PoolMax&, bool by_features);
  void (*max_gradient)(const PoolMaxGradient&);
  void (*sum)(const PoolSum&, bool by_features);
  void (*sum_gradient)(const PoolSumGradient&);
};

}  // namespace throughtime
