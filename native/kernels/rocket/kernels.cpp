// The MiniRocket kernel for one instruction set; compiled once for each, like kernels/recurrent/kernels.cpp.
#include "kernels/rocket/kernels.h"

#include "kernels/rocket/features.h"

namespace throughtime::TT_ISA {

const RocketKernels& rocket_table() {
  static const RocketKernels kernels{[](const Rocket& call, const RocketMost& most) {
    call.all_statistics ? rocket_of<AllStatistics>(call, most) : rocket_of<Proportion>(call, most);
  }};
  return kernels;
}

}  // namespace throughtime::TT_ISA
