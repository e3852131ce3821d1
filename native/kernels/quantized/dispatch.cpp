// Chooses the set of instructions. Products of bytes are extensions of their own, which processors with the same vectors
// have or have not, so there are more sets than of the other kernels: (name, vectors, whether this processor has it).
#include <cstdlib>
#include <cstring>

#include "kernels/parallel.h"
#include "kernels/processor.h"
#include "kernels/quantized/kernels.h"
#include "kernels/recurrent/kernels.h"

#if defined(THROUGHTIME_X86) && defined(THROUGHTIME_VNNI)
#define THROUGHTIME_EACH_INT8_SET(F)                \
  F(avx512_vnni, "avx512", processor().avx512_vnni) \
  F(avx512, "avx512", true)                         \
  F(avx2_vnni, "avx2", processor().avx2_vnni)       \
  F(avx2, "avx2", true)                             \
  F(baseline, "baseline", true)
#elif defined(THROUGHTIME_X86)
#define THROUGHTIME_EACH_INT8_SET(F) \
  F(avx512, "avx512", true) F(avx2, "avx2", true) F(baseline, "baseline", true)
#elif defined(THROUGHTIME_NEON_DOT)
#define THROUGHTIME_EACH_INT8_SET(F) F(neon_dot, "neon", processor().neon_dot) F(neon, "neon", true)
#elif defined(THROUGHTIME_NEON)
#define THROUGHTIME_EACH_INT8_SET(F) F(neon, "neon", true)
#else
#define THROUGHTIME_EACH_INT8_SET(F) F(baseline, "baseline", true)
#endif

namespace throughtime {

#define THROUGHTIME_DECLARE(name, vectors, available) \
  namespace name {                                    \
  const QuantizedKernels& quantized_table();          \
  }
THROUGHTIME_EACH_INT8_SET(THROUGHTIME_DECLARE)
#undef THROUGHTIME_DECLARE

namespace {

struct Sets {
  const char* names[8] = {};
  const char* vectors[8] = {};
  const QuantizedKernels* kernels[8] = {};
  int count = 0;

  Sets() {
#define THROUGHTIME_ADD(name, vectors, available) \
  if (find_kernels(vectors) != nullptr && (available)) add(#name, vectors, name::quantized_table());
    THROUGHTIME_EACH_INT8_SET(THROUGHTIME_ADD)
#undef THROUGHTIME_ADD
  }

  void add(const char* name, const char* of_vectors, const QuantizedKernels& table) {
    names[count] = name;
    vectors[count] = of_vectors;
    kernels[count++] = &table;
  }

  // The first whose name, or whose vectors, are these; −1 if there is none.
  static int find(const char* const* all, int count, const char* name) {
    for (int i = 0; i < count; ++i) {
      if (std::strcmp(all[i], name) == 0) return i;
    }
    return -1;
  }
  int named(const char* name) const { return find(names, count, name); }

  int chosen() const {
    const char* const wanted = std::getenv("THROUGHTIME_INT8");
    return wanted == nullptr ? find(vectors, count, throughtime::kernels()->name) : named(wanted);
  }
};

const Sets& sets() {
  static const Sets all;
  return all;
}

int chosen_number() {
  static const int number = sets().chosen();
  return number;
}

// Products of bytes take a quarter of the time of those of floats.
constexpr double operations_of_a_product = 0.5;

int useful_threads(int threads, double products) {
  return worthwhile_threads(operations_of_a_product * products, threads);
}

double products_of(const PackedWeights& weights) {
  return static_cast<double>(weights.panels * weights.groups) * weights.vectors * packed_columns * packed_factors;
}

}  // namespace

void quantized_correlate(const QuantizedCorrelate& call) {
  QuantizedCorrelate mine = call;
  mine.threads = useful_threads(call.threads, products_of(call.weights) * static_cast<double>(call.out_offsets[call.sequences]));
  sets().kernels[chosen_number()]->correlate(mine);
}

void quantized_recurrent(const QuantizedRecurrent& call) {
  const SortedSequences sequences(call.tokens);
  QuantizedRecurrent mine = call;
  const double products = products_of(call.direction[0].ih) + products_of(call.direction[0].hh);
  mine.threads = useful_threads(call.threads, products * static_cast<double>(sequences.view().total) * call.directions);
  sets().kernels[chosen_number()]->recurrent(mine, sequences.view());
}

bool quantized_sums(const char* name, const std::int8_t* rows, std::int64_t count, const PackedWeights& weights,
                    std::int32_t* sums) {
  const int number = sets().named(name);
  if (number < 0) return false;
  sets().kernels[number]->sums(rows, count, weights, sums);
  return true;
}

const char* const* quantized_sets() { return sets().names; }
const char* quantized_set() { return chosen_number() < 0 ? nullptr : sets().names[chosen_number()]; }

}  // namespace throughtime
