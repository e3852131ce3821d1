#include "kernels/chosen.h"
#include "kernels/norm/kernels.h"
#include "kernels/parallel.h"

namespace throughtime {

THROUGHTIME_DECLARE_TABLES(NormKernels, norm_table)

namespace {

THROUGHTIME_CHOSEN_TABLE(NormKernels, norm_table)

// Of one value: three passes of some loads and sums.
constexpr double operations_of_a_value = 8;

template <class Call>
Call with_useful_threads(const Call& call) {
  const double values = static_cast<double>(call.segments.offsets[call.segments.count]) *
                        static_cast<double>(call.shape.features);
  Call mine = call;
  mine.threads = worthwhile_threads(operations_of_a_value * values, call.threads);
  return mine;
}

}  // namespace

void norm_forward(const NormForward& call) { chosen().forward(with_useful_threads(call)); }
void norm_backward(const NormBackward& call) { chosen().backward(with_useful_threads(call)); }

}  // namespace throughtime
