// The loop over time that runs a program.
//
// Sequences are sorted by length, so those that have not ended come first. Each group of threads has its own sequences
// (kernels/recurrent/grid.h). A step is divided at its products: instructions between two of them run for a block of
// rows, one instruction after the other, then for the next block. Threads of one group divide the rows of such parts,
// and the panels of products, and meet in between.
#pragma once

#include "kernels/program/loops.h"
#include "kernels/program/products.h"

namespace throughtime::TT_ISA::program {

template <class T>
class Machine {
 public:
  using Plan = ProgramPlan<T>;
  static constexpr int L = lanes<T>;

  static void run(const Plan& plan, int number, int team) {
    pack_matrices(plan, number, team);
    if (number == 0) copy_vectors(plan);
    plan.barrier[0].wait(number, team);
    const Grid grid = make_grid(team, plan.sequences, plan.weight_bytes, plan.most_panels);
    if (number / grid.units >= grid.groups) return;
    Machine machine(plan, grid, number);
    machine.loop();
    finish_streams();
  }

 private:
  Machine(const Plan& plan, const Grid& grid, int number)
      : plan_(plan),
        program_(*plan.program),
        call_(*plan.call),
        share_(share_of(plan.sequences, number / grid.units, grid.groups)),
        number_(number),
        unit_(number % grid.units),
        units_(grid.units),
        group_rows_((plan.sequences.count + grid.groups - 1) / grid.groups),
        first_row_(number / grid.units * group_rows_),
        barrier_(plan.barrier + 1 + number / grid.units),
        index_(plan.index + std::ptrdiff_t{number} * plan.list_count()) {
    for (int parity = 0; parity < 2; ++parity) write_steps(parity);
    const std::int64_t rows = group_rows_ + most_rows_ahead;
    for (std::int64_t row = 0; row < rows; ++row) {
      list(group_rows)[row] = row;
      list(sequence_rows)[row] = row < share_.count() ? share_.id(row) : 0;
      list(token_rows)[row] = 0;
      for (int k = 0; k < program_.previous_count; ++k) list(previous_rows + k)[row] = 0;
    }
    index_[local_rows] = list(group_rows);
  }

  static void copy_vectors(const Plan& plan) {
    for (int i = 0; i < plan.program->vector_count; ++i) {
      const Register<T>& vector = plan.vectors[i];
      std::memset(vector.data, 0, sizeof(T) * static_cast<std::size_t>(vector.ld + L));
      std::memcpy(vector.data, plan.call->vectors[i].data, sizeof(T) * static_cast<std::size_t>(vector.width));
    }
    std::memset(plan.zeros, 0, sizeof(T) * static_cast<std::size_t>(max_vectors * L));
  }

  // The instructions as steps: a copy of a result to an output is written with it.
  void write_steps(int parity) {
    Step<T>* const steps = steps_of(parity);
    steps_ = 0;
    for (int i = 0; i < program_.count; ++i) {
      const Instruction& instruction = program_.instructions[i];
      if (i > 0 && is_copy_of(instruction, program_.instructions[i - 1]) && steps[steps_ - 1].copy.base == nullptr &&
          steps[steps_ - 1].columns == instruction.width) {
        steps[steps_ - 1].copy = operand_of(instruction.out, parity);
        steps[steps_ - 1].is_flat = false;
      } else {
        steps[steps_++] = step_of(instruction, parity);
      }
    }
  }

  static bool is_copy_of(const Instruction& instruction, const Instruction& before) {
    const Place &read = instruction.operand[0], &out = before.out;
    return instruction.kind == Operator::copy && instruction.out.kind == PlaceKind::output &&
           before.kind != Operator::product && read.kind == out.kind && read.index == out.index &&
           read.offset == out.offset && instruction.width == before.width;
  }

  Step<T>* steps_of(std::int64_t parity) const { return plan_.steps + (2 * number_ + parity) * program_.count; }

  std::int64_t* list(int which) const {
    return plan_.lists + which * plan_.index_rows + number_ * (group_rows_ + most_rows_ahead);
  }

  // Where the state is at even or odd steps, and where the next one goes.
  T* state_at(int k, std::int64_t parity) const {
    const Register<T>& state = plan_.states[k];
    return (parity % 2 == 0 ? state.data : state.other) + first_row_ * state.ld;
  }

  static Operand<T> of_caller(const Matrix& matrix, int list) {
    return {const_cast<T*>(static_cast<const T*>(matrix.data)), matrix.columns, list, false, true, false};
  }

  Operand<T> start_of(const Place& place, int parity) const {
    const int k = place.index;
    switch (place.kind) {
      case PlaceKind::token: return of_caller(call_.tokens[k], token_rows);
      case PlaceKind::sequence: return of_caller(call_.sequences[k], sequence_rows);
      case PlaceKind::previous: {
        Operand<T> rows = of_caller(call_.previous[k], previous_rows + k);
        rows.ld = 1;
        return rows;
      }
      case PlaceKind::vector: return {plan_.vectors[k].data, 0, local_rows, false, false, false};
      case PlaceKind::state: return {state_at(k, parity), plan_.states[k].ld, group_rows, true, false, false};
      case PlaceKind::next: return {state_at(k, parity + 1), plan_.states[k].ld, group_rows, true, false, false};
      case PlaceKind::row:
        return {plan_.rows[k].data + first_row_ * plan_.rows[k].ld, plan_.rows[k].ld, group_rows, true, false, false};
      case PlaceKind::local:
        return {plan_.locals[k].data + number_ * plan_.local_size, plan_.locals[k].ld, local_rows, true, false, false};
      case PlaceKind::output:
        return {static_cast<T*>(call_.outputs[k]), program_.outputs[k], token_rows, false, true, plan_.streams};
    }
    return {};
  }

  Operand<T> operand_of(const Place& place, int parity) const {
    Operand<T> operand = start_of(place, parity);
    if (operand.base != nullptr) operand.base += place.offset;
    return operand;
  }

  // Whether whole vectors of a place may be read: scratch memory, which has room behind each row.
  bool has_whole_vectors(const Place& place, std::ptrdiff_t columns) const {
    std::ptrdiff_t room = 0;
    switch (place.kind) {
      case PlaceKind::vector: room = plan_.vectors[place.index].ld; break;
      case PlaceKind::row: room = plan_.rows[place.index].ld; break;
      case PlaceKind::local: room = plan_.locals[place.index].ld; break;
      case PlaceKind::state:
      case PlaceKind::next: room = plan_.states[place.index].ld; break;
      default: break;
    }
    return place.offset + columns <= room;
  }

  // The same of one that may be written: nothing else lies behind it.
  bool ends_its_row(const Place& place, std::ptrdiff_t width) const {
    switch (place.kind) {
      case PlaceKind::row: return place.offset + width == program_.rows[place.index];
      case PlaceKind::local: return place.offset + width == program_.locals[place.index];
      case PlaceKind::next: return place.offset + width == program_.states[place.index];
      default: return false;
    }
  }

  std::ptrdiff_t columns_of(const Instruction& instruction) const {
    const std::ptrdiff_t whole = round_up(instruction.width, L);
    bool rounds = ends_its_row(instruction.out, instruction.width) && has_whole_vectors(instruction.out, whole);
    if (instruction.kind == Operator::product) return rounds ? whole : instruction.width;
    for (int i = 0; i < instruction.operands; ++i) {
      rounds = rounds && has_whole_vectors(instruction.operand[i], whole);
    }
    return rounds ? whole : instruction.width;
  }

  Step<T> step_of(const Instruction& instruction, int parity) const {
    Step<T> step{};
    step.run = loop_of<T>(instruction.kind);
    step.operands = instruction.operands;
    step.out = operand_of(instruction.out, parity);
    step.columns = has_layout(instruction.kind) ? instruction.width : columns_of(instruction);
    step.reads = instruction.index;
    step.slot = static_cast<int>(instruction.index);
    step.is_flat = step.run != nullptr && step.out.dense && step.out.ld == step.columns;
    for (int i = 0; i < instruction.operands; ++i) {
      step.in[i] = operand_of(instruction.operand[i], parity);
      step.is_flat = step.is_flat && step.in[i].dense && step.in[i].ld == step.columns;
    }
    for (int i = 0; i < most_numbers; ++i) step.numbers[i] = static_cast<T>(instruction.numbers[i]);
    return step;
  }

  // Copies a row of a state; from nowhere zeros.
  static void copy_state(const T* from, std::ptrdiff_t width, T* to) {
    const Range columns{0, width};
    TT_ISA::copy_columns(from, columns, to);
  }

  // The initial states: of an empty sequence, its final ones.
  void begin() const {
    for (int k = 0; k < program_.state_count; ++k) {
      const std::ptrdiff_t width = program_.states[k], ld = plan_.states[k].ld;
      const T* const from = static_cast<const T*>(call_.states[k].data);
      T* const last = static_cast<T*>(call_.final_states[k]);
      for (std::int64_t row = unit_; row < share_.count(); row += units_) {
        const std::int64_t id = share_.id(row);
        T* const to = share_.length(row) == 0 ? last + id * width : state_at(k, 0) + row * ld;
        copy_state(from == nullptr ? nullptr : from + id * call_.states[k].columns, width, to);
      }
    }
  }

  // The final states of the sequences that end with step t: rows left … rows.
  void end(std::int64_t t, std::int64_t left, std::int64_t rows) const {
    for (int k = 0; k < program_.state_count; ++k) {
      const std::ptrdiff_t width = program_.states[k], ld = plan_.states[k].ld;
      for (std::int64_t row = left + unit_; row < rows; row += units_) {
        T* const to = static_cast<T*>(call_.final_states[k]) + share_.id(row) * width;
        copy_state(state_at(k, t + 1) + row * ld, width, to);
      }
    }
  }

  void loop() {
    begin();
    std::int64_t alive = share_.count();
    while (alive > 0 && share_.length(alive - 1) == 0) --alive;
    meet();
    for (std::int64_t t = 0; alive > 0; ++t) {
      find_rows(t, alive);
      step(t, alive);
      std::int64_t left = alive;
      while (left > 0 && share_.length(left - 1) == t + 1) --left;
      end(t, left, alive);
      alive = left;
    }
  }

  void meet() const { barrier_->wait(unit_, units_); }

  // The rows of this step's tokens and, behind them, of some that are read next.
  void find_rows(std::int64_t t, std::int64_t alive) const {
    const bool reverse = call_.from_end;
    std::int64_t* const tokens = list(token_rows);
    for (std::int64_t row = 0; row < alive; ++row) tokens[row] = share_.token(row, t, reverse);
    for (std::int64_t i = 0; i < most_rows_ahead; ++i) {
      const bool goes_on = i < alive && t + 1 < share_.length(i);
      tokens[alive + i] = goes_on ? share_.token(i, t + 1, reverse) : tokens[alive - 1];
    }
    for (int k = 0; k < program_.previous_count; ++k) find_previous_rows(k, t, alive);
  }

  void find_previous_rows(int k, std::int64_t t, std::int64_t alive) const {
    const Matrix &matrix = call_.previous[k], &initial = call_.previous_initial[k];
    std::int64_t* const places = list(previous_rows + k);
    for (std::int64_t row = 0; row < alive; ++row) {
      places[row] = t + 1 < share_.length(row) ? share_.token(row, t + 1, call_.from_end) * matrix.columns
                                               : distance(matrix, initial) + share_.id(row) * initial.columns;
    }
    for (std::int64_t i = 0; i < most_rows_ahead; ++i) places[alive + i] = places[alive - 1];
  }

  // In elements.
  static std::int64_t distance(const Matrix& from, const Matrix& to) {
    const auto begin = reinterpret_cast<std::intptr_t>(from.data), end = reinterpret_cast<std::intptr_t>(to.data);
    return (end - begin) / static_cast<std::intptr_t>(sizeof(T));
  }

  void look_from(std::int64_t first) const {
    for (int i = group_rows; i < plan_.list_count(); ++i) index_[i] = list(i) + first;
  }

  void step(std::int64_t t, std::int64_t rows) const {
    const Step<T>* const steps = steps_of(t % 2);
    const Step<T>* const end = steps + steps_;
    for (const Step<T>* at = steps; at < end;) {
      if (at->run == nullptr) {
        product(*at, rows);
        ++at;
      } else {
        const Step<T>* last = at;
        while (last < end && last->run != nullptr) ++last;
        part(at, last, rows);
        at = last;
      }
      meet();
    }
  }

  void product(const Step<T>& s, std::int64_t rows) const {
    look_from(0);
    const Packed<T>& packed = plan_.slots[s.slot];
    run_product(packed, s, index_, rows, part_of(packed.panels.count(), unit_, units_), plan_.zeros);
  }

  void part(const Step<T>* begin, const Step<T>* end, std::int64_t rows) const {
    const Range own = part_of(rows, unit_, units_);
    for (std::int64_t first = own.begin; first < own.end; first += plan_.block_rows) {
      const std::int64_t count = own.end - first < plan_.block_rows ? own.end - first : plan_.block_rows;
      look_from(first);
      for (const Step<T>* s = begin; s < end; ++s) s->run(*s, index_, count);
    }
  }

  const Plan& plan_;
  const Program& program_;
  const ProgramCall& call_;
  Share share_;
  int number_, unit_, units_;  // this thread of all, and of how many of its group
  std::int64_t group_rows_, first_row_;
  Barrier* barrier_;  // of the group
  RowIndex* index_;
  int steps_ = 0;  // how many there are
};

template <class T>
void run_program_of(const ProgramCall& call, const Sequences& sequences) {
  ProgramPlan<T> plan = plan_program<T>(call, sequences);
  const Barriers barriers(1 + call.threads);
  plan.barrier = barriers.first();
  bool is_measure = true;
  const DividedScratch scratch([&](Pieces& pieces) {
    divide(plan, pieces, is_measure);
    is_measure = false;
  });
  auto run = [&](int rank, int size) { Machine<T>::run(plan, rank, size); };
  parallel(call.threads, run);
}

}  // namespace throughtime::TT_ISA::program
