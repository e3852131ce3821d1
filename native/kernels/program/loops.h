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

// Writes a row of the result once more if there is a copy of it.
template <class T>
inline void write_copy(const Step<T>& s, const RowIndex* index, std::ptrdiff_t row, const T* out) {
  if (s.copy.base == nullptr) return;
  const T* const none = nullptr;
  T* const copy = row_to_write(s.copy, index, row, s.columns);
  run_line<T>(operators::copy<T>(nullptr), copy, out, none, none, s.columns, s.copy.streams);
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
    write_copy(s, index, row, out);
  }
}

// Of an operator that reads and writes rows of different widths: row(s, out, a).
template <class T, void (*row_operator)(const Step<T>& s, T* out, const T* a)>
void run_rows(const Step<T>& s, const RowIndex* index, std::ptrdiff_t rows) {
  for (std::ptrdiff_t row = 0; row < rows; ++row) {
    const T* const a = read_row(s.in[0], index, row, s.reads);
    T* const out = row_to_write(s.out, index, row, s.columns);
    row_operator(s, out, a);
    write_copy(s, index, row, out);
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

// The sum of f(k) for the vectors that begin with column k; f(k, count) of a last one, of which so many columns count.
template <class T, class Whole, class Part>
inline T total_of(std::ptrdiff_t columns, const Whole& whole, const Part& part) {
  constexpr int L = lanes<T>;
  Vec<T> sums[4] = {};
  std::ptrdiff_t i = 0;
  for (; i + 4 * L <= columns; i += 4 * L) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) sums[v] += whole(i + v * L);
  }
  for (; i + L <= columns; i += L) sums[0] += whole(i);
  if (i < columns) {
    const int count = static_cast<int>(columns - i);
    T lane[L];
    store(lane, part(i, count));
    sums[1] += load_part(lane, count);
  }
  return total<T>((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

template <class T>
inline T mean_of(const T* a, std::ptrdiff_t count) {
  return sum_of(a, count) / static_cast<T>(count);
}

template <class T>
inline T variance_of(const T* a, std::ptrdiff_t count) {
  const Vec<T> mean = broadcast(mean_of(a, count));
  const auto square = [&](Vec<T> x) { return (x - mean) * (x - mean); };
  return total_of<T>(
             count, [&](std::ptrdiff_t i) { return square(load(a + i)); },
             [&](std::ptrdiff_t i, int rest) { return square(load_part(a + i, rest)); }) /
         static_cast<T>(count);
}

template <class T>
inline T mean_of_product(const T* a, const T* b, std::ptrdiff_t count) {
  return total_of<T>(
             count, [&](std::ptrdiff_t i) { return load(a + i) * load(b + i); },
             [&](std::ptrdiff_t i, int rest) { return load_part(a + i, rest) * load_part(b + i, rest); }) /
         static_cast<T>(count);
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

template <class T>
void inverse_deviation_row(const Step<T>& s, T* out, const T* a) {
  const std::ptrdiff_t count = s.reads / s.columns;
  for (std::ptrdiff_t i = 0; i < s.columns; ++i) {
    const T square = variance_of(a + i * count, count) + s.numbers[0];
    out[i] = T(1) / (sizeof(T) == 4 ? T(::sqrtf(float(square))) : T(::sqrt(double(square))));
  }
}

template <class T>
struct Standardized {
  static constexpr int operands = 1;
  Vec<T> mean, factor;
  Vec<T> operator()(Vec<T> a) const { return (a - mean) * factor; }
};

template <class T>
void run_standardize(const Step<T>& s, const RowIndex* index, std::ptrdiff_t rows) {
  const T* const none = nullptr;
  for (std::ptrdiff_t row = 0; row < rows; ++row) {
    const T *const a = read_row(s.in[0], index, row, s.columns), *const r = read_row(s.in[1], index, row, 1);
    T* const out = row_to_write(s.out, index, row, s.columns);
    const Standardized<T> op{broadcast(mean_of(a, s.columns)), broadcast(r[0])};
    run_line<T>(op, out, a, none, none, s.columns, s.out.streams);
    write_copy(s, index, row, out);
  }
}

template <class T>
struct StandardizedGradient {
  static constexpr int operands = 2;
  Vec<T> mean, mean_of_product, factor;
  Vec<T> operator()(Vec<T> a, Vec<T> b) const { return factor * ((a - mean) - b * mean_of_product); }
};

template <class T>
void run_standardize_gradient(const Step<T>& s, const RowIndex* index, std::ptrdiff_t rows) {
  const T* const none = nullptr;
  for (std::ptrdiff_t row = 0; row < rows; ++row) {
    const T *const a = read_row(s.in[0], index, row, s.columns), *const b = read_row(s.in[1], index, row, s.columns);
    const T* const r = read_row(s.in[2], index, row, 1);
    T* const out = row_to_write(s.out, index, row, s.columns);
    const StandardizedGradient<T> op{broadcast(mean_of(a, s.columns)), broadcast(mean_of_product(a, b, s.columns)),
                                     broadcast(r[0])};
    run_line<T>(op, out, a, b, none, s.columns, s.out.streams);
    write_copy(s, index, row, out);
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
#define THROUGHTIME_LOOP(name, ...) \
  case Operator::name: return &run_##name<T>;
    THROUGHTIME_ROWS(THROUGHTIME_LOOP)
#undef THROUGHTIME_LOOP
    case Operator::product: break;
  }
  return nullptr;
}

}  // namespace throughtime::TT_ISA::program
