// What one compilation of the pooling kernels offers; dispatch.cpp chooses among them.
#pragma once

#include "kernels/pool/pool.h"

namespace throughtime {

// How much of its result a thread makes at a time. No result depends on it.
struct PoolTask {
  std::int64_t rows, features;
};

struct PoolKernels {
  void (*max)(const PoolMax&, PoolTask);
  void (*max_gradient)(const PoolMaxGradient&, PoolTask);
  void (*sum)(const PoolSum&, PoolTask);
  void (*sum_gradient)(const PoolSumGradient&, PoolTask);
};

}  // namespace throughtime
