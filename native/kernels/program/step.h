// An instruction as the machine runs it: addresses instead of places.
#pragma once

#include "kernels/pack.h"
#include "kernels/program/program.h"

namespace throughtime::TT_ISA::program {

// Which list of rows says where the row of a sequence lies: that of `first` is in the list's pointer.
enum RowList { local_rows, group_rows, sequence_rows, token_rows, previous_rows };  // previous k: previous_rows + k

// The lists of a thread: row r of a matrix begins at index[list][r] · ld.
using RowIndex = const std::int64_t*;

template <class T>
struct Operand {
  T* base;
  std::ptrdiff_t ld;
  int list;
  bool dense;     // rows lie one behind the other, ld apart
  bool in_memory; // written or read by the caller: addresses of the next rows are not foreseen by the hardware
  bool streams;   // written past the caches
};

template <class T>
struct Step;

template <class T>
using RunStep = void (*)(const Step<T>& step, const RowIndex* index, std::ptrdiff_t rows);

template <class T>
struct Step {
  RunStep<T> run;
  Operand<T> out, in[most_operands];
  std::ptrdiff_t columns;  // of the result; in whole vectors where what lies behind them is free
  std::ptrdiff_t reads;    // of the operand, where that is another number
  T numbers[most_numbers];
  bool is_flat;   // all rows are one
  Operand<T> copy;  // where the result is written once more; without a base nowhere
  int operands;
  int slot;       // of a product
};

// Whether an operand has another width than the result, or columns depend on each other.
inline bool has_layout(Operator kind) {
  switch (kind) {
#define THROUGHTIME_CASE(name, ...) case Operator::name:
    THROUGHTIME_LAYOUTS(THROUGHTIME_CASE)
    THROUGHTIME_ROWS(THROUGHTIME_CASE)
#undef THROUGHTIME_CASE
    return true;
    default: return false;
  }
}

// So many rows ahead of its turn a row of the caller's matrices is asked for, so many that it takes some time to read
// them.
template <class T>
inline std::ptrdiff_t rows_ahead_of(std::ptrdiff_t columns) {
  const std::ptrdiff_t rows = std::ptrdiff_t{2048} / (columns * static_cast<std::ptrdiff_t>(sizeof(T)));
  return rows < 1 ? 1 : rows > 8 ? 8 : rows;
}
inline constexpr std::ptrdiff_t most_rows_ahead = 8;

}  // namespace throughtime::TT_ISA::program
