// The plan of a run, computed before the loop over time, and its scratch memory.
#pragma once

#include "kernels/parallel.h"
#include "kernels/pieces.h"
#include "kernels/program/step.h"
#include "kernels/recurrent/grid.h"

namespace throughtime::TT_ISA::program {

// A matrix in panels of columns.
template <class T>
struct Packed {
  Panels<T> panels;
  std::ptrdiff_t depth;
  T* data;

  std::ptrdiff_t count() const { return panels.padded() * depth; }
};

// Rows of a register or of a state: those of group g begin at row g · (rows of a group).
template <class T>
struct Register {
  std::ptrdiff_t width;
  std::ptrdiff_t ld;
  T* data;
  T* other;  // of a state: where the next one goes; the two change places after each step
};

template <class T>
struct ProgramPlan {
  const ProgramCall* call;
  const Program* program;
  Sequences sequences;
  std::ptrdiff_t weight_bytes, most_panels;
  std::int64_t block_rows;  // of instructions between two products
  std::int64_t batch_rows;  // of registers: groups round theirs up
  std::int64_t index_rows;  // of all lists of one kind
  std::ptrdiff_t local_size;  // of the local registers of one thread
  bool streams;
  Barrier* barrier;         // [0] of the whole team, [1 + g] of a group
  // Scratch.
  Packed<T>* slots;
  Register<T>*rows, *states, *vectors;
  Register<T>* locals;         // of the first thread
  Step<T>* steps;              // (threads, 2, instructions): of even and of odd steps
  std::int64_t* lists;         // (lists, index_rows)
  RowIndex* index;             // (threads, lists)
  T* zeros;

  int list_count() const { return previous_rows + program->previous_count; }
};

inline constexpr std::ptrdiff_t local_bytes = std::ptrdiff_t{4} << 10;  // of a register
inline constexpr std::int64_t most_block_rows = 256;

// Outputs of so many bytes leave the caches before somebody reads them.
inline constexpr double streamed_bytes = 4e6;

template <class T>
std::int64_t block_rows_of(const Program& program) {
  std::int64_t widest = 1;
  for (int i = 0; i < program.local_count; ++i) widest = widest < program.locals[i] ? program.locals[i] : widest;
  for (int i = 0; program.local_count == 0 && i < program.count; ++i) {
    if (widest < program.instructions[i].width) widest = program.instructions[i].width;
  }
  const std::int64_t rows = local_bytes / (round_up(widest, lanes<T>) * static_cast<std::ptrdiff_t>(sizeof(T)));
  return rows < 1 ? 1 : rows > most_block_rows ? most_block_rows : rows;
}

inline std::ptrdiff_t depth_of(const ProgramCall& call, const MatrixSlot& slot) {
  const Matrix& matrix = call.matrices[slot.matrix];
  return slot.transposed ? matrix.rows : matrix.columns;
}

inline std::ptrdiff_t width_of(const ProgramCall& call, const MatrixSlot& slot) {
  const Matrix& matrix = call.matrices[slot.matrix];
  return slot.transposed ? matrix.columns : matrix.rows;
}

template <class T>
ProgramPlan<T> plan_program(const ProgramCall& call, const Sequences& sequences) {
  ProgramPlan<T> plan{};
  const Program& program = *call.program;
  plan.call = &call;
  plan.program = &program;
  plan.sequences = sequences;
  for (int i = 0; i < program.slot_count; ++i) {
    const std::ptrdiff_t padded = round_up(width_of(call, program.slots[i]), lanes<T>);
    plan.weight_bytes += padded * depth_of(call, program.slots[i]) * static_cast<std::ptrdiff_t>(sizeof(T));
    if (plan.most_panels < padded / lanes<T>) plan.most_panels = padded / lanes<T>;
  }
  plan.block_rows = block_rows_of<T>(program);
  plan.batch_rows = sequences.count + call.threads;
  const bool shares = may_share(call.threads, sequences, plan.weight_bytes);
  plan.index_rows = (shares ? call.threads * sequences.count : plan.batch_rows) + call.threads * most_rows_ahead;
  double columns = 0;
  for (int i = 0; i < program.output_count; ++i) columns += static_cast<double>(program.outputs[i]);
  plan.streams = columns * static_cast<double>(sequences.total) * sizeof(T) > streamed_bytes;
  return plan;
}

// One vector more than the row is read where a place begins within a vector.
template <class T>
T* take_rows(Pieces& pieces, std::int64_t rows, std::ptrdiff_t ld) {
  return pieces.take<T>(rows * ld + lanes<T>);
}

// Rows of local registers lie one behind the other, so that all are one line.
template <class T>
std::ptrdiff_t local_ld(std::ptrdiff_t width) {
  return round_up(width, lanes<T>);
}

// Those of one thread: a cache line apart, so that their rows do not all share the same few lines of the cache.
template <class T>
T* take_local(Pieces& pieces, std::int64_t rows, std::ptrdiff_t width) {
  return pieces.take<T>(rows * local_ld<T>(width) + line<T>);
}

// Registers and matrices have their addresses only once there is scratch memory to write them to.
template <class T>
void divide(ProgramPlan<T>& plan, Pieces& pieces, bool is_measure) {
  const Program& program = *plan.program;
  const ProgramCall& call = *plan.call;
  const int threads = call.threads;
  plan.slots = pieces.take<Packed<T>>(program.slot_count);
  plan.rows = pieces.take<Register<T>>(program.row_count);
  plan.states = pieces.take<Register<T>>(program.state_count);
  plan.vectors = pieces.take<Register<T>>(program.vector_count);
  plan.locals = pieces.take<Register<T>>(program.local_count);
  plan.steps = pieces.take<Step<T>>(std::ptrdiff_t{2} * threads * program.count);
  plan.lists = pieces.take<std::int64_t>(plan.list_count() * plan.index_rows);
  plan.index = pieces.take<RowIndex>(std::ptrdiff_t{threads} * plan.list_count());
  plan.zeros = pieces.take<T>(max_vectors * lanes<T>);
  for (int i = 0; i < program.slot_count; ++i) {
    const std::ptrdiff_t width = width_of(call, program.slots[i]), depth = depth_of(call, program.slots[i]);
    const int vectors = fair_vectors<T>(width, threads, plan.sequences, plan.weight_bytes);
    const Packed<T> packed{{width, vectors}, depth, pieces.take<T>(round_up(width, lanes<T>) * depth)};
    if (!is_measure) plan.slots[i] = packed;
  }
  for (int i = 0; i < program.row_count; ++i) {
    const std::ptrdiff_t ld = row_length<T>(program.rows[i]);
    T* const data = take_rows<T>(pieces, plan.batch_rows, ld);
    if (!is_measure) plan.rows[i] = {program.rows[i], ld, data, nullptr};
  }
  for (int i = 0; i < program.state_count; ++i) {
    const std::ptrdiff_t ld = row_length<T>(program.states[i]);
    T* const data = take_rows<T>(pieces, plan.batch_rows, ld);
    T* const other = program.in_place[i] ? data : take_rows<T>(pieces, plan.batch_rows, ld);
    if (!is_measure) plan.states[i] = {program.states[i], ld, data, other};
  }
  for (int i = 0; i < program.vector_count; ++i) {
    const std::ptrdiff_t width = call.vectors[i].columns, ld = row_length<T>(width);
    T* const data = take_rows<T>(pieces, 1, ld);
    if (!is_measure) plan.vectors[i] = {width, ld, data, nullptr};
  }
  Pieces measure(nullptr);
  for (int i = 0; i < program.local_count; ++i) take_local<T>(measure, plan.block_rows, program.locals[i]);
  plan.local_size = static_cast<std::ptrdiff_t>(measure.used() / sizeof(T));
  Pieces locals(pieces.take<T>(threads * plan.local_size));
  for (int i = 0; !is_measure && i < program.local_count; ++i) {
    const std::ptrdiff_t width = program.locals[i];
    plan.locals[i] = {width, local_ld<T>(width), take_local<T>(locals, plan.block_rows, width), nullptr};
  }
}

}  // namespace throughtime::TT_ISA::program
