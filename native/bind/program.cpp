#include "bind/program.h"

#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "bind/tensors.h"
#include "kernels/offsets.h"
#include "kernels/program/check.h"

namespace nb = nanobind;

namespace throughtime {
namespace {

using Widths = std::vector<std::int64_t>;
using GivenPlace = std::tuple<std::string, std::int64_t, std::int64_t>;
using GivenInstruction =
    std::tuple<std::string, GivenPlace, std::vector<GivenPlace>, std::int64_t, std::int64_t, std::vector<double>>;

constexpr const char* place_names[] = {"token", "previous", "sequence", "state", "vector",
                                       "row",   "local",    "next",     "output"};

[[noreturn]] void fail(const std::string& message) { throw std::invalid_argument(message); }

Place place_of(const GivenPlace& place, const std::string& who) {
  const auto& [kind, index, offset] = place;
  for (int i = 0; i < 9; ++i) {
    if (kind != place_names[i]) continue;
    if (index < 0 || index > INT32_MAX) fail(who + kind + " " + std::to_string(index) + " does not exist");
    return {static_cast<PlaceKind>(i), static_cast<std::int32_t>(index), offset};
  }
  fail(who + "a place is a token, previous, sequence, state, vector, row, local, next or output, got '" + kind + "'");
}

Instruction instruction_of(const GivenInstruction& instruction, std::size_t number) {
  const auto& [name, out, operands, width, index, numbers] = instruction;
  const std::string who = "instruction " + std::to_string(number) + " (" + name + "): ";
  const std::vector<OperatorInfo>& all = program_operators();
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (name != all[i].name) continue;
    if (operands.size() > most_operands) fail(who + "takes at most 3 operands");
    if (numbers.size() != static_cast<std::size_t>(all[i].numbers)) {
      fail(who + "takes " + std::to_string(all[i].numbers) + " numbers, got " + std::to_string(numbers.size()));
    }
    Instruction made{};
    made.kind = static_cast<Operator>(i);
    made.out = place_of(out, who);
    made.operands = static_cast<int>(operands.size());
    for (std::size_t k = 0; k < operands.size(); ++k) made.operand[k] = place_of(operands[k], who);
    made.width = width;
    made.index = index;
    for (std::size_t k = 0; k < numbers.size(); ++k) made.numbers[k] = numbers[k];
    return made;
  }
  fail(who + "no such operator; program_operators() names those that there are");
}

// Tensors of a call, all of one dtype.
class Reader {
 public:
  // Any number of rows where `rows` is negative; `least` columns; None where zeros are allowed.
  Matrix matrix(nb::handle object, const std::string& name, std::int64_t rows, std::int64_t least, bool may_be_none) {
    if (may_be_none && object.is_none()) return {nullptr, rows, least};
    const Plain tensor = tensor_of(object, name);
    if (tensor.sizes != 2 || (rows >= 0 && tensor.size[0] != rows) || tensor.size[1] < least) {
      fail(name + " must have shape (" + (rows < 0 ? "any" : std::to_string(rows)) + ", " + std::to_string(least) +
           " or more), got " + shown(tensor));
    }
    return {tensor.data, tensor.size[0], tensor.size[1]};
  }
  Matrix vector(nb::handle object, const std::string& name, std::int64_t least) {
    const Plain tensor = tensor_of(object, name);
    if (tensor.sizes != 1 || tensor.size[0] < least) {
      fail(name + " must have shape (" + std::to_string(least) + " or more,), got " + shown(tensor));
    }
    return {tensor.data, 1, tensor.size[0]};
  }
  bool is_double() const { return is_double_; }

 private:
  Plain tensor_of(nb::handle object, const std::string& name) {
    Plain tensor{};
    if (!is_in_order(object, tensor) || tensor.is_integer) {
      fail(name + " must be a contiguous tensor of float32 or float64 on the CPU");
    }
    if (is_first_) is_double_ = tensor.is_double;
    is_first_ = false;
    if (tensor.is_double != is_double_) fail(name + " has another dtype than the tensors before it");
    return tensor;
  }

  bool is_first_ = true, is_double_ = false;
};

void has_items(const nb::list& items, std::size_t least, const char* name) {
  if (items.size() >= least) return;
  fail("this program reads " + std::to_string(least) + " " + name + ", got " + std::to_string(items.size()));
}

std::string item_name(const char* name, std::size_t k) { return std::string(name) + "[" + std::to_string(k) + "]"; }

constexpr std::int64_t most_rows = std::int64_t{1} << 40;

// The batch, checked, and its number of tokens.
std::int64_t read_batch_of(int order, std::int64_t batch, std::int64_t length, nb::handle index, Tokens& tokens) {
  if (order < 0 || order > 3) fail("order must be 0 (ragged), 1 (time-major), 2 (batch first) or 3 (packed)");
  if (batch < 0 || length < 0 || batch > most_rows || length > most_rows) fail("batch and length must be at least 0");
  tokens = {static_cast<Order>(order), batch, length, nullptr};
  if (tokens.order == Order::time_major || tokens.order == Order::batch_first) {
    if (batch > 0 && length > most_rows / batch) fail("batch times length is too large");
    return batch * length;
  }
  Plain found{};
  if (!is_in_order(index, found) || !found.is_integer || found.sizes != 1) {
    fail("index must be a contiguous int64 tensor of one dimension");
  }
  tokens.index = static_cast<const std::int64_t*>(found.data);
  if (tokens.order == Order::ragged) {
    if (found.size[0] != batch + 1) fail("index must hold batch + 1 offsets, got " + std::to_string(found.size[0]));
    if (check_offsets(tokens.index, found.size[0], -1).fault != OffsetsFault::none) {
      fail("index must hold offsets that start at 0 and do not decrease");
    }
    return tokens.index[batch];
  }
  if (found.size[0] != length) fail("index must hold `length` batch sizes, got " + std::to_string(found.size[0]));
  std::int64_t total = 0, before = batch;
  for (std::int64_t t = 0; t < length; ++t) {
    if (tokens.index[t] > before || tokens.index[t] < 1 || total > most_rows) {
      fail("index must hold batch sizes from `batch` down to 1 that never increase");
    }
    before = tokens.index[t];
    total += before;
  }
  return total;
}

class NativeProgram {
 public:
  NativeProgram(const std::vector<GivenInstruction>& instructions, Widths rows, Widths locals, Widths states,
                Widths outputs, const std::vector<std::pair<std::int64_t, bool>>& matrices)
      : program_(source_of(instructions, std::move(rows), std::move(locals), std::move(states), std::move(outputs),
                           matrices)),
        view_(program_.view()) {}

  nb::object run(const nb::list& tokens, const nb::list& previous, const nb::list& previous_initial,
                 const nb::list& sequences, const nb::list& vectors, const nb::list& matrices, const nb::list& states,
                 int order, std::int64_t batch, std::int64_t length, nb::handle index, bool from_end,
                 int threads) const {
    ProgramCall call{};
    call.program = &view_;
    call.from_end = from_end;
    call.threads = threads < 1 ? 1 : threads;
    const std::int64_t total = read_batch_of(order, batch, length, index, call.batch);
    Reader reader;
    const auto read = [&](const nb::list& items, const char* name, const Widths& least, std::int64_t rows,
                          bool may_be_none) {
      has_items(items, least.size(), name);
      std::vector<Matrix> found;
      for (std::size_t k = 0; k < least.size(); ++k) {
        found.push_back(reader.matrix(items[k], item_name(name, k), rows, least[k], may_be_none));
      }
      return found;
    };
    const std::vector<Matrix> of_tokens = read(tokens, "tokens", program_.tokens(), total, false);
    const std::vector<Matrix> of_previous = read(previous, "previous", program_.previous(), total, false);
    const std::vector<Matrix> of_sequences = read(sequences, "sequences", program_.sequences(), batch, false);
    std::vector<Matrix> of_vectors, of_matrices;
    has_items(vectors, program_.vectors().size(), "vectors");
    for (std::size_t k = 0; k < program_.vectors().size(); ++k) {
      of_vectors.push_back(reader.vector(vectors[k], item_name("vectors", k), program_.vectors()[k]));
    }
    const std::size_t matrix_count = static_cast<std::size_t>(program_.matrices());
    has_items(matrices, matrix_count, "matrices");
    for (std::size_t k = 0; k < matrix_count; ++k) {
      of_matrices.push_back(reader.matrix(matrices[k], item_name("matrices", k), -1, 0, false));
    }
    const std::string fault = program_.fault_of(of_matrices.data());
    if (!fault.empty()) fail(fault);
    std::vector<Matrix> of_states = read(states, "states", program_.states(), batch, true);
    std::vector<Matrix> of_initial;
    has_items(previous_initial, program_.previous().size(), "previous_initial");
    for (std::size_t k = 0; k < of_previous.size(); ++k) {
      const std::int64_t columns = of_previous[k].columns;
      of_initial.push_back(reader.matrix(previous_initial[k], item_name("previous_initial", k), batch, columns, true));
      must_be_as_wide(of_initial.back(), columns, item_name("previous_initial", k));
    }
    for (std::size_t k = 0; k < of_states.size(); ++k) {
      must_be_as_wide(of_states[k], program_.states()[k], item_name("states", k));
    }
    call.is_double = reader.is_double();
    // Zeros for the initial rows that are not given.
    std::int64_t widest = 0;
    for (const Matrix& initial : of_initial) {
      if (initial.data == nullptr) widest = std::max(widest, initial.columns);
    }
    const std::vector<double> zeros(static_cast<std::size_t>(widest), 0.0);
    for (Matrix& initial : of_initial) {
      if (initial.data == nullptr) initial = {zeros.data(), 1, 0};
    }
    std::vector<void*> final_data, output_data;
    nb::list final_states, outputs;
    make(program_.states(), batch, reader.is_double(), final_states, final_data);
    make(program_.outputs(), total, reader.is_double(), outputs, output_data);
    call.tokens = of_tokens.data();
    call.previous = of_previous.data();
    call.previous_initial = of_initial.data();
    call.sequences = of_sequences.data();
    call.vectors = of_vectors.data();
    call.matrices = of_matrices.data();
    call.states = of_states.data();
    call.final_states = final_data.data();
    call.outputs = output_data.data();
    {
      const nb::gil_scoped_release released;
      run_program(call);
    }
    return nb::make_tuple(final_states, outputs);
  }

 private:
  static ProgramSource source_of(const std::vector<GivenInstruction>& instructions, Widths rows, Widths locals,
                                 Widths states, Widths outputs,
                                 const std::vector<std::pair<std::int64_t, bool>>& matrices) {
    ProgramSource source{{}, std::move(rows), std::move(locals), std::move(states), std::move(outputs), {}};
    for (const auto& [matrix, transposed] : matrices) {
      if (matrix < 0 || matrix > INT32_MAX) fail("matrices: number of a matrix out of range");
      source.slots.push_back({static_cast<std::int32_t>(matrix), transposed});
    }
    for (std::size_t i = 0; i < instructions.size(); ++i) {
      source.instructions.push_back(instruction_of(instructions[i], i));
    }
    return source;
  }

  static void must_be_as_wide(const Matrix& matrix, std::int64_t columns, const std::string& name) {
    if (matrix.columns == columns) return;
    fail(name + " must have " + std::to_string(columns) + " columns, got " + std::to_string(matrix.columns));
  }

  static void make(const Widths& widths, std::int64_t rows, bool is_double, nb::list& tensors,
                   std::vector<void*>& data) {
    for (const std::int64_t width : widths) {
      void* place = nullptr;
      tensors.append(make_tensor(is_double, {rows, width}, place));
      data.push_back(place);
    }
  }

  CheckedProgram program_;
  Program view_;
};

std::vector<std::pair<std::string, int>> operators() {
  std::vector<std::pair<std::string, int>> all;
  for (const OperatorInfo& one : program_operators()) all.emplace_back(one.name, one.operands);
  return all;
}

}  // namespace

void bind_program(nb::module_& m) {
  nb::class_<NativeProgram>(m, "Program", "One step of a recurrence as instructions; see kernels/program/program.h.")
      .def(nb::init<const std::vector<GivenInstruction>&, Widths, Widths, Widths, Widths,
                    const std::vector<std::pair<std::int64_t, bool>>&>(),
           nb::arg("instructions"), nb::kw_only(), nb::arg("rows"), nb::arg("locals"), nb::arg("states"),
           nb::arg("outputs"), nb::arg("matrices"))
      .def("run", &NativeProgram::run, nb::arg("tokens"), nb::arg("previous"), nb::arg("previous_initial"),
           nb::arg("sequences"), nb::arg("vectors"), nb::arg("matrices"), nb::arg("states"), nb::kw_only(),
           nb::arg("order"), nb::arg("batch"), nb::arg("length"), nb::arg("index").none(), nb::arg("from_end"),
           nb::arg("threads"), "Run all steps of a batch; the final states (B, ·) and the outputs (T, ·).");
  m.def("program_operators", &operators, "Names of the operators of programs, and how many operands they take.");
}

}  // namespace throughtime
