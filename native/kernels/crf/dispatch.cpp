#include "kernels/chosen.h"
#include "kernels/crf/kernels.h"
#include "kernels/parallel.h"

namespace throughtime {

THROUGHTIME_DECLARE_TABLES(CrfKernels, crf_table)

namespace {

THROUGHTIME_CHOSEN_TABLE(CrfKernels, crf_table)

// Of one transition: a product and a sum, or a sum and a comparison; and of one tag: exp and log.
constexpr double operations_of_a_transition = 3, operations_of_a_tag = 60;

int useful_threads(const CrfChain& chain) {
  const double tags = static_cast<double>(chain.tags), tokens = static_cast<double>(chain.offsets[chain.sequences]);
  return worthwhile_threads(tokens * tags * (operations_of_a_transition * tags + operations_of_a_tag), chain.threads);
}

}  // namespace

void crf_forward(const CrfForward& call) {
  CrfForward mine = call;
  mine.chain.threads = useful_threads(call.chain);
  chosen().forward(mine);
}

void crf_best(const CrfBest& call) {
  CrfBest mine = call;
  mine.chain.threads = useful_threads(call.chain);
  chosen().best(mine);
}

}  // namespace throughtime
