#include <algorithm>

#include "kernels/chosen.h"
#include "kernels/parallel.h"
#include "kernels/rocket/kernels.h"

namespace throughtime {

THROUGHTIME_DECLARE_TABLES(RocketKernels, rocket_table)

namespace {

THROUGHTIME_CHOSEN_TABLE(RocketKernels, rocket_table)

// A comparison, and counting; of all statistics also sums and runs.
double operations_of_an_output(bool all_statistics) { return all_statistics ? 20 : 2; }

RocketMost most_of(const Rocket& call) {
  RocketMost most{0, 0, 0};
  for (std::int64_t b = 0; b < call.sequences; ++b) {
    most.steps = std::max(most.steps, call.offsets[b + 1] - call.offsets[b]);
  }
  for (std::int64_t g = 0; g < call.dilations; ++g) {
    most.dilation = std::max(most.dilation, call.dilation[g]);
    most.biases = std::max(most.biases, call.first[g + 1] - call.first[g]);
  }
  return most;
}

}  // namespace

void rocket(const Rocket& call) {
  const double outputs = static_cast<double>(call.offsets[call.sequences]) * rocket_kernels *
                         static_cast<double>(call.first[call.dilations]);
  Rocket mine = call;
  mine.threads = worthwhile_threads(operations_of_an_output(call.all_statistics) * outputs, call.threads);
  chosen().rocket(mine, most_of(call));
}

}  // namespace throughtime
