// A recurrence whose step is a program: a list of instructions on rows of numbers, run for every step of every sequence
// of a batch. The backward pass of such a recurrence is a program, too.
//
// Letters: B sequences, T tokens. All matrices are row-major; every buffer is the caller's, and the callee keeps no
// address. No two overlap. Results have the same bits for a sequence alone and in any batch, and on any number of
// threads.
//
// An instruction reads its operands and writes one result, for all sequences that have not ended. Both are places:
// columns from `offset` on of the row that belongs to the sequence, or to its token at this step, in
//
//   token k     the k-th token matrix (T, ·)
//   previous k  the k-th previous matrix (T, ·), at the token that this run reads next (a backward run reads next what
//               the forward run read before); at the last step of a sequence its row of the k-th initial matrix (B, ·)
//   sequence k  the k-th sequence matrix (B, ·)
//   state k     the k-th state, as the step before left it
//   vector k    the k-th vector, the same in all rows
//   row k       the k-th row register: lasts for the rest of the step
//   local k     the k-th local register: lasts until the next product
//   next k      the k-th state, as this step leaves it; may be read once it is written
//   output k    the k-th output (T, ·); written only
//
// Instructions between two products run for a few rows at a time, so that local registers stay in the first cache.
#pragma once

#include <cstdint>

#include "kernels/program/operators.h"
#include "kernels/recurrent/recurrent.h"

namespace throughtime {

#define THROUGHTIME_NAME_OF(name, ...) name,
enum class Operator : std::int32_t { THROUGHTIME_OPERATORS(THROUGHTIME_NAME_OF) };
#undef THROUGHTIME_NAME_OF

enum class PlaceKind : std::int32_t { token, previous, sequence, state, vector, row, local, next, output };

struct Place {
  PlaceKind kind;
  std::int32_t index;   // k
  std::int64_t offset;  // first column
};

inline constexpr int most_operands = 3;
inline constexpr int most_numbers = 2;

struct Instruction {
  Operator kind;
  Place out;
  int operands;
  Place operand[most_operands];
  std::int64_t width;  // columns of the result, and of the operands unless the operator says otherwise
  std::int64_t index;  // product: the matrix slot; an operator of THROUGHTIME_LAYOUTS: columns of the operand
  double numbers[most_numbers];
};

// A matrix as products read it; packed once for each run.
struct MatrixSlot {
  std::int32_t matrix;  // number of the caller's matrix
  bool transposed;      // false: a Wᵀ for W (width, width of a); true: a W for W (width of a, width)
};

// A view of a checked program (check.h).
struct Program {
  const Instruction* instructions;
  int count;
  const std::int64_t *rows, *locals, *states, *outputs;  // widths
  int row_count, local_count, state_count, output_count;
  const bool* in_place;  // of each state: whether `next` may lie where `state` does
  const MatrixSlot* slots;
  int slot_count;
  int token_count, previous_count, sequence_count, vector_count;  // of matrices and vectors that are read
};

struct Matrix {
  const void* data;  // null: zeros, where that is allowed
  std::int64_t rows, columns;
};

struct ProgramCall {
  const Program* program;
  bool is_double;  // else float
  bool from_end;   // each sequence is read from its last token to its first
  Tokens batch;
  int threads;                     // at most so many
  const Matrix* tokens;            // (T, ·) each
  const Matrix* previous;          // (T, ·) each
  const Matrix* previous_initial;  // (B, ·) each, as wide as `previous`; rows lie `columns` apart
  const Matrix* sequences;         // (B, ·) each
  const Matrix* vectors;           // (1, ·) each
  const Matrix* matrices;          // see MatrixSlot
  const Matrix* states;            // (B, width) each, rows `columns` apart; data may be null
  void* const* final_states;       // (B, width) each: after each sequence's last step, the initial state of an empty one
  void* const* outputs;            // (T, width) each
};

void run_program(const ProgramCall& call);

}  // namespace throughtime
