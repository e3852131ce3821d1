// The MiniRocket kernel of one instruction set; dispatch.cpp chooses the instruction set.
#pragma once

#include "kernels/rocket/rocket.h"

namespace throughtime {

// What the series and dilations of a call have at most.
struct RocketMost {
  std::int64_t steps, dilation, biases;
};

struct RocketKernels {
  void (*rocket)(const Rocket&, const RocketMost&);
};

}  // namespace throughtime
