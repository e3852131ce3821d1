// Checks a program before it ever runs, so that the machine need not.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/program/program.h"

namespace throughtime {

struct OperatorInfo {
  const char* name;
  int operands, numbers;
};

// All operators, in the order of their enumeration.
const std::vector<OperatorInfo>& program_operators();

// What a product can only check when its matrix is there: the columns of its operand.
struct ProductReads {
  int instruction;
  std::int64_t most;        // of the operand from its offset on, as many have values
  std::int64_t until_out;   // as many lie before those that the product writes; negative: no limit
};

struct ProgramSource {
  std::vector<Instruction> instructions;
  std::vector<std::int64_t> rows, locals, states, outputs;
  std::vector<MatrixSlot> slots;
};

// A program whose registers, widths and order of reads and writes are right.
class CheckedProgram {
 public:
  // Throws std::invalid_argument, which names the instruction.
  explicit CheckedProgram(ProgramSource source);

  Program view() const;

  // Columns that instructions read of each token matrix and so on: at least so many are there.
  const std::vector<std::int64_t>& tokens() const { return tokens_; }
  const std::vector<std::int64_t>& previous() const { return previous_; }
  const std::vector<std::int64_t>& sequences() const { return sequences_; }
  const std::vector<std::int64_t>& vectors() const { return vectors_; }
  const std::vector<std::int64_t>& states() const { return source_.states; }
  const std::vector<std::int64_t>& outputs() const { return source_.outputs; }
  int matrices() const;

  // Empty if these matrices suit all products, else what does not.
  std::string fault_of(const Matrix* matrices) const;

 private:
  struct Checker;

  ProgramSource source_;
  std::vector<std::int64_t> tokens_, previous_, sequences_, vectors_;
  std::vector<ProductReads> products_;
  std::unique_ptr<bool[]> in_place_;
};

}  // namespace throughtime
