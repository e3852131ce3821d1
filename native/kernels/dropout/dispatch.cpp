#include "kernels/chosen.h"
#include "kernels/dropout/kernels.h"
#include "kernels/parallel.h"

namespace throughtime {

THROUGHTIME_DECLARE_TABLES(DropoutKernels, dropout_table)

namespace {

THROUGHTIME_CHOSEN_TABLE(DropoutKernels, dropout_table)

// Ten rounds of six operations for four values of a vector's lanes, a comparison, a product.
constexpr double operations_of_a_value = 16;

}  // namespace

void dropout(const Dropout& call) {
  Dropout mine = call;
  mine.threads = worthwhile_threads(operations_of_a_value * static_cast<double>(call.count), call.threads);
  chosen().dropout(mine);
}

}  // namespace throughtime
