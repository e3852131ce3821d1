// The pooling kernels for one instruction set; compiled once for each, as kernels/recurrent/kernels.cpp.
#include "kernels/pool/kernels.h"

#include "kernels/pool/max.h"
#include "kernels/pool/sum.h"

namespace throughtime::TT_ISA {

const PoolKernels& pool_table() {
  static const PoolKernels kernels{
      [](const PoolMax& call, PoolTask task) {
        if (call.index_bytes == 1) {
          call.shape.is_double ? max_of<double, std::int8_t>(call, task) : max_of<float, std::int8_t>(call, task);
        } else {
          call.shape.is_double ? max_of<double, std::int32_t>(call, task) : max_of<float, std::int32_t>(call, task);
        }
      },
      [](const PoolMaxGradient& call, PoolTask task) {
        if (call.index_bytes == 1) {
          call.shape.is_double ? max_gradient_of<double, std::int8_t>(call, task)
                               : max_gradient_of<float, std::int8_t>(call, task);
        } else {
          call.shape.is_double ? max_gradient_of<double, std::int32_t>(call, task)
                               : max_gradient_of<float, std::int32_t>(call, task);
        }
      },
      [](const PoolSum& call, PoolTask task) {
        call.shape.is_double ? sum_of<double>(call, task) : sum_of<float>(call, task);
      },
      [](const PoolSumGradient& call, PoolTask task) {
        call.shape.is_double ? sum_gradient_of<double>(call, task) : sum_gradient_of<float>(call, task);
      }};
  return kernels;
}

}  // namespace throughtime::TT_ISA
