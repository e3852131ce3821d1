// The loops over rows and columns of all operators but products.
#pragma once

#include "kernels/program/pointwise.h"
#include "kernels/program/step.h"

namespace throughtime::TT_ISA::program {

template <class T>
inline const T* row_of(const Operand<T>& operand, const RowIndex* index, std::ptrdiff_t row) {
  return operand.base + index[operand.list][row] * operand.ld;
}

// The same of a row that is read next, whose memory and that of a later row is asked for.
template <class T>
inline const T* read_row(const Operand<T>& operand, const RowIndex* index, std::ptrdiff_t row, std::ptrdiff_t columns) {
  if (operand.in_memory) prefetch(row_of(operand, index, row + rows_ahead_of<T>(columns)), columns);
  return row_of(operand, index, row);
}

// Where a row is written; memory of a later one that is not in the caches is asked for.
template <class T>
inline T* row_to_write(const Operand<T>& out, const RowIndex* index, std::ptrdiff_t row, std::ptrdiff_t columns) {
  const auto at = [&](std::ptrdiff_t r) { return out.base + index[out.list][r] * out.ld; };
  if (out.in_memory && !out.streams) prefetch_to_write(at(row + rows_ahead_of<T>(columns)), columns);
  return at(row);
}

template <class T>
inline void put(T* p, Vec<T> x, bool streams) {
  if (streams) {
    stream(p, x);
  } else {
    store(p, x);
  }
}

template <class T, class Op>
inline void run_line(const Op& op, T* out, const T* a, const T* b, const T* c, std::ptrdiff_t columns, bool streams) {
  constexpr int L = lanes<T>;
  std::ptrdiff_t i = 0;
#pragma GCC unroll 2
  for (; i + L <= columns; i += L) {
    if constexpr (Op::operands == 1) put<T>(out + i, op(load(a + i)), streams);
    if constexpr (Op::operands == 2) put<T>(out + i, op(load(a + i), load(b + i)), streams);
    if constexpr (Op::operands == 3) put<T>(out + i, op(load(a + i), load(b + i), load(c + i)), streams);
  }
  if (i == columns) return;
  const int rest = static_cast<int>(columns - i);
  if constexpr (Op::operands == 1) store_part<T>(out + i, op(load_part(a + i, rest)), rest);
  if constexpr (Op::operands == 2) store_part<T>(out + i, op(load_part(a + i, rest), load_part(b + i, rest)), rest);
  if constexpr (Op::operands == 3) {
    store_part<T>(out + i, op(load_part(a + i, rest), load_part(b + i, rest), load_part(c + i, rest)), rest);
  }
}

template <class T, template <class> class Operator>
void run_pointwise(const Step<T>& s, const RowIndex* index, std::ptrdiff_t rows) {
  const Operator<T> op(s.numbers);
  constexpr int operands = Operator<T>::operands;
  const std::ptrdiff_t lines = s.is_flat ? 1 : rows, columns = s.is_flat ? rows * s.columns : s.columns;
  for (std::ptrdiff_t row = 0; row < lines; ++row) {
    const T* const a = read_row(s.in[0], index, row, s.columns);
    const T* const b = operands > 1 ? read_row(s.in[1], index, row, s.columns) : nullptr;
    const T* const c = operands > 2 ? read_row(s.in[2], index, row, s.columns) : nullptr;
    T* const out = row_to_write(s.out, index, row, s.columns);
    run_line<T>(op, out, a, b, c, columns, s.out.streams);
    if (s.copy.base == nullptr) continue;
    run_line<T>(operators::copy<T>(nullptr), row_to_write(s.copy, index, row, s.columns), out,
                static_cast<const T*>(nullptr), static_cast<const T*>(nullptr), columns, s.copy.streams);
  }
}

// Of an operator that reads and writes rows of different widths: row(s, out, a).
template <class T, void (*row_operator)(const Step<T>& s, T* out, const T* a)>
void run_rows(const Step<T>& s, const RowIndex* index, std::ptrdiff_t rows) {
  for (std::ptrdiff_t row = 0; row < rows; ++row) {
    const T* const a = read_row(s.in[0], index, row, s.reads);
    row_operator(s, s.out.base + index[s.out.list][row] * s.out.ld, a);
  }
}

template <class T>
inline T sum_of(const T* a, std::ptrdiff_t count) {
  constexpr int L = lanes<T>;
  if (count < L) {
    T sum = a[0];
    for (std::ptrdiff_t i = 1; i < count; ++i) sum += a[i];
    return sum;
  }
  Vec<T> sums[4] = {};
  std::ptrdiff_t i = 0;
  for (; i + 4 * L <= count; i += 4 * L) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) sums[v] += load(a + i + v * L);
  }
  for (; i + L <= count; i += L) sums[0] += load(a + i);
  if (i < count) sums[1] += load_part(a + i, static_cast<int>(count - i));
  return total<T>((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

template <class T>
inline T max_of(const T* a, std::ptrdiff_t count) {
  constexpr int L = lanes<T>;
  const auto larger = [](auto x, auto y) { return (x > y) | (x != x) ? x : y; };
  T most = a[0];
  std::ptrdiff_t i = 1;
  if (count >= L) {
    Vec<T> all = load(a);
    for (i = L; i + L <= count; i += L) all = larger(load(a + i), all);
    T lane[L];
    store(lane, all);
    most = lane[0];
    for (int l = 1; l < L; ++l) most = larger(lane[l], most);
  }
  for (; i < count; ++i) most = larger(a[i], most);
  return most;
}

template <class T>
void sum_row(const Step<T>& s, T* out, const T* a) {
  const std::ptrdiff_t count = s.reads / s.columns;
  for (std::ptrdiff_t i = 0; i < s.columns; ++i) out[i] = sum_of(a + i * count, count);
}

template <class T>
void max_row(const Step<T>& s, T* out, const T* a) {
  const std::ptrdiff_t count = s.reads / s.columns;
  for (std::ptrdiff_t i = 0; i < s.columns; ++i) out[i] = max_of(a + i * count, count);
}

template <class T>
void sum_strided_row(const Step<T>& s, T* out, const T* a) {
  constexpr int L = lanes<T>;
  for (std::ptrdiff_t i = 0; i < s.columns; i += L) {
    const int count = static_cast<int>(s.columns - i < L ? s.columns - i : L);
    Vec<T> sum = load_part(a + i, count);
    for (std::ptrdiff_t at = i + s.columns; at < s.reads; at += s.columns) sum += load_part(a + at, count);
    store_part<T>(out + i, sum, count);
  }
}

template <class T>
void repeat_row(const Step<T>& s, T* out, const T* a) {
  constexpr int L = lanes<T>;
  const std::ptrdiff_t count = s.columns / s.reads;
  for (std::ptrdiff_t i = 0; i < s.reads; ++i, out += count) {
    const Vec<T> x = broadcast(a[i]);
    std::ptrdiff_t k = 0;
    for (; k + L <= count; k += L) store(out + k, x);
    if (k < count) store_part<T>(out + k, x, static_cast<int>(count - k));
  }
}

template <class T>
void tile_row(const Step<T>& s, T* out, const T* a) {
  for (std::ptrdiff_t i = 0; i < s.columns; i += s.reads) {
    std::memcpy(out + i, a, sizeof(T) * static_cast<std::size_t>(s.reads));
  }
}

// The loop of an operator; null of a product.
template <class T>
RunStep<T> loop_of(Operator kind) {
  switch (kind) {
#define THROUGHTIME_LOOP(name, ...) \
  case Operator::name: return &run_pointwise<T, operators::name>;
    THROUGHTIME_POINTWISE(THROUGHTIME_LOOP)
#undef THROUGHTIME_LOOP
#define THROUGHTIME_LOOP(name, ...) \
  case Operator::name: return &run_rows<T, &name##_row<T>>;
    THROUGHTIME_LAYOUTS(THROUGHTIME_LOOP)
#undef THROUGHTIME_LOOP
    case Operator::product: break;
  }
  return nullptr;
}

}  // namespace throughtime::TT_ISA::program
