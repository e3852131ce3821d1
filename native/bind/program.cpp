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

// A tensor of a call in errors, such as tokens[1].
struct Item {
  const char* name;
  std::size_t number;

  std::string text() const { return std::string(name) + "[" + std::to_string(number) + "]"; }
};

// Reads the tensors of a call, all of one dtype. Where they may come as they are, one that is unusual is not read.
class Reader {
 public:
  explicit Reader(bool in_order) : in_order_(in_order) {}

  // Any number of rows where `rows` is negative; `least` columns.
  Matrix matrix(nb::handle object, const Item& item, std::int64_t rows, std::int64_t least) {
    Plain tensor{};
    if (!reads(look_at(in_order_)(object, tensor), tensor, item)) return {nullptr, 0, 0};
    check(tensor, item, rows, least);
    return {tensor.data, tensor.size[0], tensor.size[1]};
  }

  // Rows of `width` columns; None for zeros. Rows lie as many numbers apart as the result has columns: 0 if all are one.
  Matrix rows_of(nb::handle object, const Item& item, std::int64_t rows, std::int64_t width) {
    if (object.is_none()) return {nullptr, rows, width};
    Plain tensor{};
    std::int64_t stride = 0;
    if (!reads(are_rows(in_order_, object, tensor, stride), tensor, item)) return {nullptr, 0, 0};
    check(tensor, item, rows, width);
    if (tensor.size[1] != width) {
      fail(item.text() + " must have " + std::to_string(width) + " columns, got " + std::to_string(tensor.size[1]));
    }
    return {tensor.data, rows, stride};
  }

  Matrix vector(nb::handle object, const Item& item, std::int64_t least) {
    Plain tensor{};
    if (!reads(look_at(in_order_)(object, tensor), tensor, item)) return {nullptr, 0, 0};
    if (tensor.sizes != 1 || tensor.size[0] < least) {
      fail(item.text() + " must have shape (" + std::to_string(least) + " or more,), got " + shown(tensor));
    }
    return {tensor.data, 1, tensor.size[0]};
  }

  bool is_double() const { return is_double_; }

  // Whether all tensors have been read, and their dtype is known.
  bool has_all() const { return in_order_ || !(has_unusual_ || is_first_); }

 private:
  bool reads(bool is_plain, const Plain& tensor, const Item& item) {
    if (!is_plain || tensor.is_integer) {
      if (in_order_) fail(item.text() + " must be a contiguous tensor of float32 or float64 on the CPU");
      has_unusual_ = true;
      return false;
    }
    if (is_first_) is_double_ = tensor.is_double;
    is_first_ = false;
    if (tensor.is_double != is_double_) fail(item.text() + " has another dtype than the tensors before it");
    return true;
  }

  static void check(const Plain& tensor, const Item& item, std::int64_t rows, std::int64_t least) {
    if (tensor.sizes == 2 && (rows < 0 || tensor.size[0] == rows) && tensor.size[1] >= least) return;
    fail(item.text() + " must have shape (" + (rows < 0 ? "any" : std::to_string(rows)) + ", " +
         std::to_string(least) + " or more), got " + shown(tensor));
  }

  const bool in_order_;
  bool is_first_ = true, is_double_ = false, has_unusual_ = false;
};

void has_items(std::size_t count, std::size_t least, const char* name) {
  if (count >= least) return;
  fail("this program reads " + std::to_string(least) + " " + name + ", got " + std::to_string(count));
}

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

// The tensors of a call by what reads them, in the order of the arguments of `run`.
enum Group { of_tokens, of_previous, of_previous_initial, of_sequences, of_vectors, of_matrices, of_states, groups };
constexpr const char* group_names[] = {"tokens",  "previous", "previous_initial", "sequences",
                                       "vectors", "matrices", "states"};
using Tensors = std::vector<nb::handle>;

// The fields of `Steps` in ops/recurrent/steps.py.
struct Steps {
  int order;
  std::int64_t batch, length;
  nb::handle index;
};

// One more vector, of numbers that the program has.
class Constants {
 public:
  explicit Constants(std::vector<double> numbers)
      : doubles_(std::move(numbers)), floats_(doubles_.begin(), doubles_.end()) {}

  bool empty() const { return doubles_.empty(); }

  Matrix vector(bool is_double) const {
    const void* const data = is_double ? static_cast<const void*>(doubles_.data()) : floats_.data();
    return {data, 1, static_cast<std::int64_t>(doubles_.size())};
  }

 private:
  std::vector<double> doubles_;
  std::vector<float> floats_;
};

class NativeProgram {
 public:
  NativeProgram(const std::vector<GivenInstruction>& instructions, Widths rows, Widths locals, Widths states,
                Widths outputs, const std::vector<std::pair<std::int64_t, bool>>& matrices,
                std::vector<std::vector<std::int64_t>> places, std::vector<double> constants)
      : program_(source_of(instructions, std::move(rows), std::move(locals), std::move(states), std::move(outputs),
                           matrices)),
        view_(program_.view()),
        places_(std::move(places)),
        constants_(std::move(constants)) {}

  nb::object run(const nb::list& tokens, const nb::list& previous, const nb::list& previous_initial,
                 const nb::list& sequences, const nb::list& vectors, const nb::list& matrices, const nb::list& states,
                 int order, std::int64_t batch, std::int64_t length, nb::handle index, bool from_end,
                 int threads) const {
    const nb::list* const lists[] = {&tokens, &previous, &previous_initial, &sequences, &vectors, &matrices, &states};
    Tensors tensors[groups];
    for (int group = 0; group < groups; ++group) {
      for (std::size_t k = 0; k < lists[group]->size(); ++k) tensors[group].push_back((*lists[group])[k]);
    }
    nb::list outputs, final_states;
    compute(tensors, Reader(true), {order, batch, length, index}, from_end, threads, outputs, final_states);
    return nb::make_tuple(final_states, outputs);
  }

  // The outputs and then the final states; None where a tensor is unusual.
  nb::object call(nb::tuple all, nb::tuple steps, bool from_end, int threads) const {
    if (places_.size() != groups) fail("this program has no places of tensors");
    Tensors tensors[groups];
    for (int group = 0; group < groups; ++group) {
      for (const std::int64_t place : places_[static_cast<std::size_t>(group)]) {
        if (place >= static_cast<std::int64_t>(all.size())) fail("this call has too few tensors");
        tensors[group].push_back(place < 0 ? nb::handle(Py_None) : nb::handle(PyTuple_GET_ITEM(all.ptr(), place)));
      }
    }
    const auto number = [&](std::size_t field) { return nb::cast<std::int64_t>(nb::handle(steps[field])); };
    const Steps of_batch{static_cast<int>(number(0)), number(1), number(2), PyTuple_GetItem(steps.ptr(), 3)};
    Plain index{};
    if (!of_batch.index.is_none() && !is_usual(of_batch.index, index)) return nb::none();
    nb::list outputs, final_states;
    if (!compute(tensors, Reader(false), of_batch, from_end, threads, outputs, final_states)) return nb::none();
    outputs.extend(final_states);
    return nb::tuple(outputs);
  }

 private:
  // False where a tensor is unusual.
  bool compute(const Tensors (&tensors)[groups], Reader reader, const Steps& steps, bool from_end, int threads,
               nb::list& outputs, nb::list& final_states) const {
    ProgramCall call{};
    call.program = &view_;
    call.from_end = from_end;
    call.threads = threads < 1 ? 1 : threads;
    const std::int64_t batch = steps.batch;
    const std::int64_t total = read_batch_of(steps.order, batch, steps.length, steps.index, call.batch);
    std::vector<Matrix> found[groups];
    const auto read = [&](Group group, const Widths& least, const auto& matrix) {
      const Tensors& all = tensors[group];
      const std::size_t count = least.size();
      has_items(all.size() + (group == of_vectors && !constants_.empty() ? 1 : 0), count, group_names[group]);
      for (std::size_t k = 0; k < count && k < all.size(); ++k) {
        found[group].push_back(matrix(all[k], Item{group_names[group], k}, least[k]));
      }
    };
    const auto of_rows = [&](std::int64_t rows) {
      return [&reader, rows](nb::handle object, const Item& item, std::int64_t least) {
        return reader.matrix(object, item, rows, least);
      };
    };
    const auto of_each = [&](nb::handle object, const Item& item, std::int64_t width) {
      return reader.rows_of(object, item, batch, width);
    };
    read(of_tokens, program_.tokens(), of_rows(total));
    read(of_previous, program_.previous(), of_rows(total));
    read(of_sequences, program_.sequences(), of_rows(batch));
    read(of_vectors, program_.vectors(), [&](nb::handle object, const Item& item, std::int64_t least) {
      return reader.vector(object, item, least);
    });
    read(of_matrices, Widths(static_cast<std::size_t>(program_.matrices()), 0), of_rows(-1));
    read(of_states, program_.states(), of_each);
    if (!reader.has_all()) return false;
    Widths initial_widths;
    for (const Matrix& matrix : found[of_previous]) initial_widths.push_back(matrix.columns);
    read(of_previous_initial, initial_widths, of_each);
    if (!reader.has_all()) return false;
    call.is_double = reader.is_double();
    if (found[of_vectors].size() < program_.vectors().size()) {
      found[of_vectors].push_back(constants_.vector(call.is_double));
    }
    const std::string fault = program_.fault_of(found[of_matrices].data());
    if (!fault.empty()) fail(fault);
    // Zeros for the initial rows that are not given.
    std::int64_t widest = 0;
    for (const Matrix& initial : found[of_previous_initial]) {
      if (initial.data == nullptr) widest = std::max(widest, initial.columns);
    }
    const std::vector<double> zeros(static_cast<std::size_t>(widest), 0.0);
    for (Matrix& initial : found[of_previous_initial]) {
      if (initial.data == nullptr) initial = {zeros.data(), 1, 0};
    }
    std::vector<void*> output_data, final_data;
    make(program_.outputs(), total, call.is_double, outputs, output_data);
    make(program_.states(), batch, call.is_double, final_states, final_data);
    call.tokens = found[of_tokens].data();
    call.previous = found[of_previous].data();
    call.previous_initial = found[of_previous_initial].data();
    call.sequences = found[of_sequences].data();
    call.vectors = found[of_vectors].data();
    call.matrices = found[of_matrices].data();
    call.states = found[of_states].data();
    call.final_states = final_data.data();
    call.outputs = output_data.data();
    {
      const nb::gil_scoped_release released;
      run_program(call);
    }
    return true;
  }

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
  std::vector<std::vector<std::int64_t>> places_;
  Constants constants_;
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
                    const std::vector<std::pair<std::int64_t, bool>>&, std::vector<std::vector<std::int64_t>>,
                    std::vector<double>>(),
           nb::arg("instructions"), nb::kw_only(), nb::arg("rows"), nb::arg("locals"), nb::arg("states"),
           nb::arg("outputs"), nb::arg("matrices"),
           nb::arg("places") = std::vector<std::vector<std::int64_t>>{}, nb::arg("constants") = std::vector<double>{})
      .def("run", &NativeProgram::run, nb::arg("tokens"), nb::arg("previous"), nb::arg("previous_initial"),
           nb::arg("sequences"), nb::arg("vectors"), nb::arg("matrices"), nb::arg("states"), nb::kw_only(),
           nb::arg("order"), nb::arg("batch"), nb::arg("length"), nb::arg("index").none(), nb::arg("from_end"),
           nb::arg("threads"), "Run all steps of a batch; the final states (B, ·) and the outputs (T, ·).")
      .def("call", &NativeProgram::call, nb::arg("tensors"), nb::arg("steps"), nb::arg("from_end"), nb::arg("threads"),
           "The outputs and the final states of tensors at the places of the program, or None where one is unusual.");
  m.def("program_operators", &operators, "Names of the operators of programs, and how many operands they take.");
}

}  // namespace throughtime
