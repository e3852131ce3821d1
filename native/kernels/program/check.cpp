#include "kernels/program/check.h"

#include <algorithm>
#include <stdexcept>

namespace throughtime {
namespace {

// Widths and numbers of registers below these keep all products of them in range.
constexpr std::int64_t most_width = std::int64_t{1} << 26;
constexpr std::int32_t most_index = 1 << 16;

const char* name_of(PlaceKind kind) {
  static const char* const names[] = {"token", "previous", "sequence", "state", "vector",
                                      "row",   "local",    "next",     "output"};
  return names[static_cast<int>(kind)];
}

std::string shown(const Place& place) {
  return std::string(name_of(place.kind)) + " " + std::to_string(place.index);
}

// Whether a result may lie where an operand does.
bool is_pointwise(Operator kind) {
  switch (kind) {
#define THROUGHTIME_CASE(name, ...) case Operator::name:
    THROUGHTIME_POINTWISE(THROUGHTIME_CASE)
    THROUGHTIME_ROWS(THROUGHTIME_CASE)
#undef THROUGHTIME_CASE
    return true;
    default: return false;
  }
}

bool narrows(Operator kind) {
  return kind == Operator::sum || kind == Operator::max || kind == Operator::sum_strided ||
         kind == Operator::inverse_deviation;
}

// Whether an operand has one column, whatever the width of the result.
bool is_number(Operator kind, int operand) {
  return (kind == Operator::standardize && operand == 1) || (kind == Operator::standardize_gradient && operand == 2);
}

// Which columns of each register have a value.
class Written {
 public:
  explicit Written(const std::vector<std::int64_t>& widths) {
    for (const std::int64_t width : widths) columns_.emplace_back(static_cast<std::size_t>(width), 0);
  }
  void write(const Place& place, std::int64_t width) {
    const auto begin = columns_[static_cast<std::size_t>(place.index)].begin() + place.offset;
    std::fill(begin, begin + width, 1);
  }
  // How many from a place on.
  std::int64_t from(const Place& place) const {
    const std::vector<char>& all = columns_[static_cast<std::size_t>(place.index)];
    const auto begin = all.begin() + place.offset;
    return std::find(begin, all.end(), 0) - begin;
  }
  void forget() {
    for (std::vector<char>& all : columns_) std::fill(all.begin(), all.end(), 0);
  }

 private:
  std::vector<std::vector<char>> columns_;
};

// Reads of a state and writes of its next value.
struct Update {
  int last_read = -1;
  int first_write = -1;
  bool aligned = true;  // all reads by the first write are of the very columns that it writes
};

}  // namespace

const std::vector<OperatorInfo>& program_operators() {
#define THROUGHTIME_INFO(name, operands, numbers) {#name, operands, numbers},
  static const std::vector<OperatorInfo> all{THROUGHTIME_OPERATORS(THROUGHTIME_INFO)};
#undef THROUGHTIME_INFO
  return all;
}

struct CheckedProgram::Checker {
  CheckedProgram& program;
  Written rows{program.source_.rows}, locals{program.source_.locals}, nexts{program.source_.states},
      outputs{program.source_.outputs};
  std::vector<Update> updates{program.source_.states.size()};
  std::vector<std::int64_t> slot_widths = std::vector<std::int64_t>(program.source_.slots.size(), 0);
  int number = 0;  // of the instruction

  [[noreturn]] void fail(const std::string& what) const {
    const Operator kind = program.source_.instructions[static_cast<std::size_t>(number)].kind;
    throw std::invalid_argument("instruction " + std::to_string(number) + " (" +
                                program_operators()[static_cast<std::size_t>(kind)].name + "): " + what);
  }

  void check() {
    const std::vector<Instruction>& all = program.source_.instructions;
    for (; number < static_cast<int>(all.size()); ++number) {
      const Instruction& instruction = all[static_cast<std::size_t>(number)];
      instruction_is_right(instruction);
      if (instruction.kind == Operator::product) locals.forget();
    }
    everything_is_written("next", nexts, program.source_.states);
    everything_is_written("output", outputs, program.source_.outputs);
  }

  static void everything_is_written(const char* name, const Written& written, const std::vector<std::int64_t>& widths) {
    for (std::size_t k = 0; k < widths.size(); ++k) {
      const std::int64_t columns = written.from({PlaceKind::next, static_cast<std::int32_t>(k), 0});
      if (columns == widths[k]) continue;
      throw std::invalid_argument("a program must write all " + std::to_string(widths[k]) + " columns of " + name +
                                  " " + std::to_string(k) + ", but column " + std::to_string(columns) +
                                  " is not written");
    }
  }

  void instruction_is_right(const Instruction& instruction) {
    const OperatorInfo& info = program_operators()[static_cast<std::size_t>(instruction.kind)];
    const bool is_product = instruction.kind == Operator::product;
    const int most = is_product ? 2 : info.operands;
    if (instruction.operands < info.operands || instruction.operands > most) {
      fail("takes " + std::string(is_product ? "1 or 2" : std::to_string(info.operands)) + " operands, got " +
           std::to_string(instruction.operands));
    }
    if (instruction.width < 1 || instruction.width >= most_width) {
      fail("its width must be from 1 to 2^26 − 1, got " + std::to_string(instruction.width));
    }
    if (is_product) {
      product_is_right(instruction);
    } else {
      const std::int64_t width = width_of_operands(instruction);
      for (int i = 0; i < instruction.operands; ++i) {
        read(instruction, instruction.operand[i], is_number(instruction.kind, i) ? 1 : width);
      }
    }
    write(instruction);
  }

  std::int64_t width_of_operands(const Instruction& instruction) const {
    if (is_pointwise(instruction.kind)) return instruction.width;
    const bool narrow = narrows(instruction.kind);
    const std::int64_t wide = narrow ? instruction.index : instruction.width;
    const std::int64_t few = narrow ? instruction.width : instruction.index;
    if (few < 1 || wide >= most_width || wide % few != 0) {
      fail("its index must be the width of its operand, a " + std::string(narrow ? "multiple" : "divisor") +
           " of its width " + std::to_string(instruction.width) + ", got " + std::to_string(instruction.index));
    }
    return instruction.index;
  }

  void product_is_right(const Instruction& instruction) {
    if (instruction.index < 0 || instruction.index >= static_cast<std::int64_t>(slot_widths.size())) {
      fail("its index must be one of " + std::to_string(slot_widths.size()) + " matrices, got " +
           std::to_string(instruction.index));
    }
    std::int64_t& width = slot_widths[static_cast<std::size_t>(instruction.index)];
    if (width != 0 && width != instruction.width) {
      fail("its matrix has width " + std::to_string(width) + " in an earlier product, got " +
           std::to_string(instruction.width));
    }
    width = instruction.width;
    const Place& a = instruction.operand[0];
    if (a.kind != PlaceKind::row && a.kind != PlaceKind::state && a.kind != PlaceKind::next) {
      fail("its first operand must be a row, state or next, got " + shown(a) + "; copy it to a row register");
    }
    read(instruction, a, 1);
    ProductReads reads{number, columns_from(a), -1};
    const bool same = a.kind == instruction.out.kind && a.index == instruction.out.index;
    if (same && instruction.out.offset + instruction.width > a.offset) {
      reads.until_out = std::max<std::int64_t>(instruction.out.offset - a.offset, 0);
    }
    program.products_.push_back(reads);
    if (instruction.operands < 2) return;
    if (instruction.operand[1].kind == PlaceKind::local) {
      fail("its second operand must not be a local register, which products do not see; use a row register");
    }
    read(instruction, instruction.operand[1], instruction.width);
  }

  std::int64_t columns_from(const Place& place) const {
    if (place.kind == PlaceKind::row) return rows.from(place);
    if (place.kind == PlaceKind::next) return nexts.from(place);
    return program.source_.states[static_cast<std::size_t>(place.index)] - place.offset;
  }

  // The widths that a kind has, null of what the caller passes to each run.
  const std::vector<std::int64_t>* widths_of(PlaceKind kind) const {
    switch (kind) {
      case PlaceKind::row: return &program.source_.rows;
      case PlaceKind::local: return &program.source_.locals;
      case PlaceKind::state:
      case PlaceKind::next: return &program.source_.states;
      case PlaceKind::output: return &program.source_.outputs;
      default: return nullptr;
    }
  }

  void is_in_range(const Place& place, std::int64_t width) const {
    const std::vector<std::int64_t>* const widths = widths_of(place.kind);
    const std::int64_t count = widths == nullptr ? most_index : static_cast<std::int64_t>(widths->size());
    if (place.index < 0 || place.index >= count) {
      fail(shown(place) + " does not exist: there are " + std::to_string(count));
    }
    const std::int64_t columns = widths == nullptr ? most_width : (*widths)[static_cast<std::size_t>(place.index)];
    if (place.offset < 0 || place.offset > columns - width) {
      fail("columns " + std::to_string(place.offset) + " to " + std::to_string(place.offset + width) + " of " +
           shown(place) + " do not exist: it has " + std::to_string(columns));
    }
  }

  void needs(std::vector<std::int64_t>& all, const Place& place, std::int64_t width) const {
    const std::size_t k = static_cast<std::size_t>(place.index);
    if (all.size() <= k) all.resize(k + 1, 0);
    all[k] = std::max(all[k], place.offset + width);
  }

  void has_value(const Written& written, const Place& place, std::int64_t width) const {
    const std::int64_t columns = written.from(place);
    if (columns >= width) return;
    fail("reads column " + std::to_string(place.offset + columns) + " of " + shown(place) + " before it is written" +
         (place.kind == PlaceKind::local ? "; local registers last until the next product" : ""));
  }

  void read(const Instruction& instruction, const Place& place, std::int64_t width) {
    is_in_range(place, width);
    switch (place.kind) {
      case PlaceKind::token: return needs(program.tokens_, place, width);
      case PlaceKind::previous: return needs(program.previous_, place, width);
      case PlaceKind::sequence: return needs(program.sequences_, place, width);
      case PlaceKind::vector: return needs(program.vectors_, place, width);
      case PlaceKind::row: return has_value(rows, place, width);
      case PlaceKind::local: return has_value(locals, place, width);
      case PlaceKind::next: return has_value(nexts, place, width);
      case PlaceKind::state: return read_state(instruction, place);
      case PlaceKind::output: fail("reads " + shown(place) + "; outputs are written only");
    }
  }

  void read_state(const Instruction& instruction, const Place& place) {
    Update& update = updates[static_cast<std::size_t>(place.index)];
    update.last_read = number;
    const bool writes = instruction.out.kind == PlaceKind::next && instruction.out.index == place.index;
    const bool by_column =
        is_pointwise(instruction.kind) ||
        (instruction.kind == Operator::product && &place == &instruction.operand[1]);
    if (writes && !(by_column && place.offset == instruction.out.offset)) update.aligned = false;
  }

  void write(const Instruction& instruction) {
    const Place& out = instruction.out;
    is_in_range(out, instruction.width);
    switch (out.kind) {
      case PlaceKind::row: rows.write(out, instruction.width); break;
      case PlaceKind::local:
        if (instruction.kind == Operator::product) fail("a product cannot write a local register; use a row register");
        locals.write(out, instruction.width);
        break;
      case PlaceKind::next: {
        Update& update = updates[static_cast<std::size_t>(out.index)];
        if (update.first_write < 0) update.first_write = number;
        nexts.write(out, instruction.width);
        break;
      }
      case PlaceKind::output: outputs.write(out, instruction.width); break;
      default: fail("writes " + shown(out) + ", which is read only");
    }
    overlaps(instruction);
  }

  // An operand may be where the result is only column by column.
  void overlaps(const Instruction& instruction) const {
    if (instruction.kind == Operator::product) {
      if (instruction.operands == 2) does_not_overlap(instruction, instruction.operand[1], instruction.width, true);
      return;
    }
    const bool pointwise = is_pointwise(instruction.kind);
    const std::int64_t width = pointwise ? instruction.width : instruction.index;
    for (int i = 0; i < instruction.operands; ++i) {
      does_not_overlap(instruction, instruction.operand[i], is_number(instruction.kind, i) ? 1 : width, pointwise);
    }
  }

  void does_not_overlap(const Instruction& instruction, const Place& place, std::int64_t width, bool same) const {
    const Place& out = instruction.out;
    if (place.kind != out.kind || place.index != out.index || (same && place.offset == out.offset)) return;
    if (place.offset >= out.offset + instruction.width || out.offset >= place.offset + width) return;
    fail("reads and writes overlapping columns of " + shown(out));
  }

  bool is_in_place(std::size_t k) const {
    const Update& update = updates[k];
    return update.last_read < update.first_write || (update.last_read == update.first_write && update.aligned);
  }
};

CheckedProgram::CheckedProgram(ProgramSource source) : source_(std::move(source)) {
  const std::pair<const char*, const std::vector<std::int64_t>*> all[] = {
      {"rows", &source_.rows}, {"locals", &source_.locals}, {"states", &source_.states}, {"outputs", &source_.outputs}};
  for (const auto& [name, widths] : all) {
    for (const std::int64_t width : *widths) {
      if (width >= 1 && width < most_width) continue;
      throw std::invalid_argument(std::string(name) + ": widths must be from 1 to 2^26 − 1, got " +
                                  std::to_string(width));
    }
  }
  for (const MatrixSlot& slot : source_.slots) {
    if (slot.matrix < 0 || slot.matrix >= most_index) {
      throw std::invalid_argument("matrices: number of a matrix out of range, got " + std::to_string(slot.matrix));
    }
  }
  Checker checker{*this};
  checker.check();
  in_place_ = std::make_unique<bool[]>(source_.states.size());
  for (std::size_t k = 0; k < source_.states.size(); ++k) in_place_[k] = checker.is_in_place(k);
}

int CheckedProgram::matrices() const {
  std::int32_t count = 0;
  for (const MatrixSlot& slot : source_.slots) count = std::max(count, slot.matrix + 1);
  return count;
}

std::string CheckedProgram::fault_of(const Matrix* matrices) const {
  for (const ProductReads& reads : products_) {
    const Instruction& instruction = source_.instructions[static_cast<std::size_t>(reads.instruction)];
    const MatrixSlot& slot = source_.slots[static_cast<std::size_t>(instruction.index)];
    const Matrix& matrix = matrices[slot.matrix];
    const std::int64_t width = slot.transposed ? matrix.columns : matrix.rows;
    const std::int64_t depth = slot.transposed ? matrix.rows : matrix.columns;
    if (width == instruction.width && depth >= 1 && depth <= reads.most &&
        (reads.until_out < 0 || depth <= reads.until_out)) {
      continue;
    }
    const std::string who = "instruction " + std::to_string(reads.instruction) + " (product): matrix " +
                            std::to_string(slot.matrix) + " of shape (" + std::to_string(matrix.rows) + ", " +
                            std::to_string(matrix.columns) + ") ";
    if (width != instruction.width) return who + "does not give a width of " + std::to_string(instruction.width);
    if (depth < 1) return who + "is empty";
    if (depth > reads.most) {
      return who + "needs " + std::to_string(depth) + " columns of " + shown(instruction.operand[0]) + ", which has " +
             std::to_string(reads.most) + " from column " + std::to_string(instruction.operand[0].offset) + " on";
    }
    return who + "reads and writes overlapping columns of " + shown(instruction.out);
  }
  return "";
}

Program CheckedProgram::view() const {
  const auto size = [](const auto& all) { return static_cast<int>(all.size()); };
  return {source_.instructions.data(),
          size(source_.instructions),
          source_.rows.data(),
          source_.locals.data(),
          source_.states.data(),
          source_.outputs.data(),
          size(source_.rows),
          size(source_.locals),
          size(source_.states),
          size(source_.outputs),
          in_place_.get(),
          source_.slots.data(),
          size(source_.slots),
          size(tokens_),
          size(previous_),
          size(sequences_),
          size(vectors_)};
}

}  // namespace throughtime
