#include <cstdlib>
#include <cstring>

#include "kernels/bfloat16/tiles.h"
#include "kernels/chosen.h"
#include "kernels/parallel.h"
#include "kernels/processor.h"
#include "kernels/recurrent/kernels.h"

namespace throughtime {

THROUGHTIME_DECLARE_TABLES(Kernels, table)

namespace {

struct Available {
  const Kernels* kernels[4] = {};
  const char* names[4] = {};
  int count = 0;

  Available() {
#if defined(THROUGHTIME_X86)
    if (processor().avx512) add(avx512::table());
    if (processor().avx2) add(avx2::table());
    add(baseline::table());
#elif defined(THROUGHTIME_NEON)
    add(neon::table());
#else
    add(baseline::table());
#endif
  }

  void add(const Kernels& found) {
    kernels[count] = &found;
    names[count] = found.name;
    ++count;
  }
};

const Available& available() {
  static const Available found;
  return found;
}

int gates_of(Cell cell) {
  switch (cell) {
#define THROUGHTIME_GATES(name, type, gates, ...) \
  case Cell::name: return gates;
    THROUGHTIME_CELLS(THROUGHTIME_GATES)
#undef THROUGHTIME_GATES
  }
  return 1;
}

int useful_threads(int threads, const Shape& shape, std::int64_t total) {
  const double gates = static_cast<double>(gates_of(shape.cell));
  const double operations = 2.0 * static_cast<double>(total) * shape.directions *
                            (static_cast<double>(shape.inputs) + shape.state) * gates * shape.hidden;
  return worthwhile_threads(operations, threads);
}

bool rounds(const Shape& shape) {
  static const bool possible = rounds_factors(std::strcmp(kernels()->name, "avx512") == 0);
  return shape.options.bfloat16 && !shape.is_double && possible;
}

}  // namespace

const Kernels* find_kernels(const char* name) {
  const Available& all = available();
  for (int i = 0; i < all.count; ++i) {
    if (name == nullptr || std::strcmp(all.names[i], name) == 0) return all.kernels[i];
  }
  return nullptr;
}

const char* const* instruction_sets() { return available().names; }

const Kernels* kernels() {
  static const Kernels* const chosen = find_kernels(std::getenv("THROUGHTIME_ISA"));
  return chosen;
}

void recurrent_forward(const ForwardCall& call) {
  const SortedSequences sequences(call.tokens);
  ForwardCall mine = call;
  mine.shape.options.bfloat16 = rounds(call.shape);
  mine.threads = useful_threads(call.threads, call.shape, sequences.view().total);
  kernels()->forward(mine, sequences.view());
}

void recurrent_backward(const BackwardCall& call) {
  const SortedSequences sequences(call.tokens);
  BackwardCall mine = call;
  mine.shape.options.bfloat16 = rounds(call.shape);
  mine.threads = useful_threads(call.threads, call.shape, sequences.view().total);
  kernels()->backward(mine, sequences.view());
}

}  // namespace throughtime
