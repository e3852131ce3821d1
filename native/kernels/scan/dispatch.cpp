#include "kernels/chosen.h"
#include "kernels/parallel.h"
#include "kernels/scan/kernels.h"

namespace throughtime {

THROUGHTIME_DECLARE_TABLES(ScanKernels, scan_table)

namespace {

THROUGHTIME_CHOSEN_TABLE(ScanKernels, scan_table)

// Of one value: two passes of some loads, a product and a sum, or of some activations.
constexpr double operations_of_a_value = 8, operations_of_a_gated_value = 40, operations_of_an_output = 20;

template <class Call>
Call with_useful_threads(const Call& call) {
  const double values = static_cast<double>(call.batch.offsets[call.batch.sequences]) *
                        static_cast<double>(call.shape.features);
  const bool gated = call.shape.gates != ScanGates::given;
  Call mine = call;
  mine.threads =
      worthwhile_threads((gated ? operations_of_a_gated_value : operations_of_a_value) * values, call.threads);
  return mine;
}

template <class Call>
Call of_output(const Call& call) {
  const double values = static_cast<double>(call.shape.tokens) * static_cast<double>(call.shape.features);
  Call mine = call;
  mine.shape.threads = worthwhile_threads(operations_of_an_output * values, call.shape.threads);
  return mine;
}

}  // namespace

void scan_forward(const ScanForward& call) { chosen().forward(with_useful_threads(call)); }
void scan_backward(const ScanBackward& call) { chosen().backward(with_useful_threads(call)); }
void gated_output(const GatedOutput& call) { chosen().output(of_output(call)); }
void gated_output_backward(const GatedOutputBackward& call) { chosen().output_backward(of_output(call)); }

}  // namespace throughtime
