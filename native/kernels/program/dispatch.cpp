#include "kernels/chosen.h"
#include "kernels/parallel.h"
#include "kernels/program/kernels.h"

namespace throughtime {

THROUGHTIME_DECLARE_TABLES(ProgramKernels, program_table)

namespace {

THROUGHTIME_CHOSEN_TABLE(ProgramKernels, program_table)

// Of one value that is not a product's: some are sums, some activations.
constexpr double operations_of_a_value = 8;

int useful_threads(const ProgramCall& call, std::int64_t total) {
  double operations = 0;
  for (int i = 0; i < call.program->count; ++i) {
    const Instruction& instruction = call.program->instructions[i];
    double of_a_value = operations_of_a_value;
    if (instruction.kind == Operator::product) {
      const MatrixSlot& slot = call.program->slots[instruction.index];
      const Matrix& matrix = call.matrices[slot.matrix];
      of_a_value = 2 * static_cast<double>(slot.transposed ? matrix.rows : matrix.columns);
    }
    operations += of_a_value * static_cast<double>(instruction.width);
  }
  return worthwhile_threads(operations * static_cast<double>(total), call.threads);
}

}  // namespace

void run_program(const ProgramCall& call) {
  const SortedSequences sequences(call.batch);
  ProgramCall run = call;
  run.threads = useful_threads(call, sequences.view().total);
  chosen().run(run, sequences.view());
}

}  // namespace throughtime
