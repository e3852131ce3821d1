// The pooling kernels for one instruction set; compiled once for each, like kernels/recurrent/kernels.cpp.
#include "kernels/pool/kernels.h"

#include "kernels/pool/max.h"
#include "kernels/pool/sum.h"

namespace throughtime::TT_ISA {

const PoolKernels& pool_table() {
  static const PoolKernels kernels{
      [](const PoolMax& call, bool by_features) {
        if (call.index_bytes == 1) {
          call.shape.is_double ? max_of<double, std::int8_t>(call, by_features) : max_of<float, std::int8_t>(call, by_features);
        } else {
          call.shape.is_double ? max_of<double, std::int32_t>(call, by_features) : max_of<float, std::int32_t>(call, by_features);
        }
      },
      [](const PoolMaxGradient& call) {
        if (call.index_bytes == 1) {
          call.shape.is_double ? max_gradient_of<double, std::int8_t>(call)
                               : max_gradient_of<float, std::int8_t>(call);
        } else {
          call.shape.is_double ? max_gradient_of<double, std::int32_t>(call)
                               : max_gradient_of<float, std::int32_t>(call);
        }
      },
      [](const PoolSum& call, bool by_features) {
        call.shape.is_double ? sum_of<double>(call, by_features) : sum_of<float>(call, by_features);
      },
      [](const PoolSumGradient& call) {
        call.shape.is_double ? sum_gradient_of<double>(call) : sum_gradient_of<float>(call);
      }};
  return kernels;
}

}  // namespace throughtime::TT_ISA
