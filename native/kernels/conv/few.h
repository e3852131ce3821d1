// The gradients of the convolution for a dy that is mostly zero, as behind a maximum over time, whose gradient
// has one value for each sequence and channel. Only non-zero values are multiplied.
//
// Sums have the order of the dense kernels, without the zeros, so a row of dx has the same bits whichever kernel
// the batch uses. Zero times infinity is NaN, so all factors of zeros must be finite.
#pragma once

#include "kernels/conv/kernels.h"
#include "kernels/feature_tile.h"
#include "kernels/pack.h"
#include "kernels/parallel.h"
#include "kernels/pieces.h"

namespace throughtime::TT_ISA {

// One value of each so many may be other than zero.
inline constexpr std::ptrdiff_t zeros_of_a_value = 8;

// Whether this part of a buffer is finite.
template <class T>
bool is_finite(const void* buffer, Range part) {
  const T* const from = static_cast<const T*>(buffer);
  Vec<T> sum[4] = {};
  each_tile<T>(part.begin, part.end, [&](std::ptrdiff_t i, auto tile) {
    for (int v = 0; v < decltype(tile)::vectors; ++v) sum[v % 4] += tile.load(from + i, v) * T(0);
  });
  return nonzero_lanes<T>((sum[0] + sum[1]) + (sum[2] + sum[3])) == 0;
}

template <class T>
struct FewValue {
  std::int64_t row, column, sequence;
  T value;
};

// The values of dy (rows, columns) that are not zero, row by row: those of row r are first[r] … first[r + 1].
template <class T>
class FewValues {
 public:
  FewValues(const ConvBatch& batch, const void* dy, std::int64_t columns)
      : batch_(batch), dy_(static_cast<const T*>(dy)), rows_(batch.out_offsets[batch.sequences]), columns_(columns) {}

  std::int64_t count() const { return first_[rows_]; }
  std::int64_t rows() const { return rows_; }

  // Calls body(value) for those of a row.
  template <class Body>
  void each_of_row(std::int64_t row, const Body& body) const {
    for (std::int64_t n = first_[row]; n < first_[row + 1]; ++n) body(list_[n]);
  }
  const FewValue<T>* begin() const { return list_; }

  // A look at some rows: whether it is worth it to count all.
  bool may_be_few() const {
    constexpr std::int64_t looks = 32;
    const std::int64_t seen = rows_ < looks ? rows_ : looks;
    std::int64_t found = 0;
    for (std::int64_t i = 0; i < seen; ++i) found += count_row(i * rows_ / seen);
    return rows_ * columns_ > 0 && found * zeros_of_a_value / 2 <= seen * columns_;
  }

  void divide(Pieces& pieces) {
    first_ = pieces.take<std::int64_t>(rows_ + 1);
    list_ = pieces.take<FewValue<T>>(rows_ * columns_ / zeros_of_a_value);
  }

  // Tells whether few values are to be multiplied; `factors` are what with, so many.
  bool are_few(const void* factors, std::int64_t count, int threads) {
    bool finite = true;
    auto run = [&](int rank, int size) {
      each_own_row(rank, size, [&](std::int64_t r) { first_[r + 1] = count_row(r); });
      if (!is_finite<T>(factors, {count * rank / size, count * (rank + 1) / size})) {
        __atomic_store_n(&finite, false, __ATOMIC_RELAXED);
      }
    };
    parallel(threads, run);
    first_[0] = 0;
    for (std::int64_t r = 0; r < rows_; ++r) first_[r + 1] += first_[r];
    return finite && first_[rows_] * zeros_of_a_value <= rows_ * columns_;
  }

  // Lists a thread's part of the rows.
  void fill(int rank, int size) {
    std::int64_t sequence = 0;
    each_own_row(rank, size, [&](std::int64_t r) {
      if (first_[r + 1] == first_[r]) return;
      while (batch_.out_offsets[sequence + 1] <= r) ++sequence;
      FewValue<T>* next = list_ + first_[r];
      const T* const from = dy_ + r * columns_;
      each_tile<T>(0, columns_, [&](std::ptrdiff_t c, auto tile) {
        for (int i = 0; i < decltype(tile)::vectors; ++i) {
          for (unsigned bits = nonzero_lanes<T>(tile.load(from + c, i)); bits != 0; bits &= bits - 1) {
            const std::ptrdiff_t column = c + i * lanes<T> + __builtin_ctz(bits);
            *next++ = {r, column, sequence, from[column]};
          }
        }
      });
    });
  }

 private:
  std::int64_t count_row(std::int64_t row) const {
    const T* const from = dy_ + row * columns_;
    int count = 0;
    each_tile<T>(0, columns_, [&](std::ptrdiff_t c, auto tile) {
      for (int i = 0; i < decltype(tile)::vectors; ++i) {
        count += __builtin_popcount(nonzero_lanes<T>(tile.load(from + c, i)));
      }
    });
    return count;
  }

  template <class Body>
  void each_own_row(int rank, int size, const Body& body) const {
    for (std::int64_t r = rows_ * rank / size; r < rows_ * (rank + 1) / size; ++r) body(r);
  }

  ConvBatch batch_;
  const T* dy_;
  std::int64_t rows_, columns_;
  std::int64_t* first_ = nullptr;
  FewValue<T>* list_ = nullptr;
};

// ------------------------------------------------------------------------------------------ gradient of the input

// Rows `rows` of dx: each the sum over taps, from the earliest row of dy on, and over outputs.
template <class T>
void few_rows_of(const ConvInputGradient& call, Range rows, const FewValues<T>& values, const T* packed,
                 const T* start) {
  const ConvShape& s = call.shape;
  const std::ptrdiff_t C = s.channels;
  std::int64_t row = rows.begin;
  for (std::int64_t b = range_with(call.batch.offsets, call.batch.sequences, row); row < rows.end; ++b) {
    const std::int64_t begin = call.batch.offsets[b], out = call.batch.out_offsets[b];
    const std::int64_t windows = call.batch.out_offsets[b + 1] - out;
    const std::int64_t end = call.batch.offsets[b + 1] < rows.end ? call.batch.offsets[b + 1] : rows.end;
    for (; row < end; ++row) {
      each_tile<T>(0, C, [&](std::ptrdiff_t c, auto tile) {
        constexpr int N = decltype(tile)::vectors;
        Vec<T> sum[N];
        for (int i = 0; i < N; ++i) sum[i] = tile.load(start + c, i);
        for (std::ptrdiff_t k = s.width - 1; k >= 0; --k) {
          const std::int64_t t = row - begin + s.left - k * s.dilation;
          if (t < 0 || t >= windows) continue;
          values.each_of_row(out + t, [&](const FewValue<T>& one) {
            const Vec<T> value = broadcast(one.value);
            const T* const weights = packed + (k * s.outputs + one.column) * C + c;
            for (int i = 0; i < N; ++i) sum[i] = fma<T>(value, tile.load(weights, i), sum[i]);
          });
        }
        T* const to = static_cast<T*>(call.dx) + row * C + c;
        for (int i = 0; i < N; ++i) tile.store(to, i, sum[i]);
      });
    }
  }
}

// Returns false, and has done nothing, where the dense kernel is to run.
template <class T>
bool few_input_gradient(const ConvInputGradient& call) {
  const ConvShape& s = call.shape;
  if (s.groups != 1 || s.stride != 1 || s.replicate) return false;
  const std::ptrdiff_t C = s.channels, O = s.outputs;
  FewValues<T> values(call.batch, call.dy, O);
  if (!values.may_be_few()) return false;
  T *packed = nullptr, *start = nullptr;
  const auto divide = [&](Pieces& pieces) {
    values.divide(pieces);
    packed = pieces.take<T>(s.width * O * C);
    start = pieces.take<T>(C);
  };
  const DividedScratch scratch(divide);
  if (!values.are_few(call.weight, O * C * s.width, call.threads)) return false;
  copy_columns(static_cast<const T*>(call.start), {0, C}, start);
  Barrier barrier;
  auto run = [&](int rank, int size) {
    values.fill(rank, size);
    // Weights (O, C, K) as (K, O, C).
    for (std::ptrdiff_t o = O * rank / size; o < O * (rank + 1) / size; ++o) {
      const T* const from = static_cast<const T*>(call.weight) + o * C * s.width;
      for (std::ptrdiff_t k = 0; k < s.width; ++k) {
        T* const to = packed + (k * O + o) * C;
        for (std::ptrdiff_t c = 0; c < C; ++c) to[c] = from[c * s.width + k];
      }
    }
    barrier.wait(rank, size);
    const std::int64_t all = call.batch.offsets[call.batch.sequences];
    const Range own{all * rank / size, all * (rank + 1) / size};
    if (own.count() > 0) few_rows_of<T>(call, own, values, packed, start);
  };
  parallel(call.threads, run);
  return true;
}

// ---------------------------------------------------------------------------------------- gradient of the weights

// The values of a block of rows stay in the second cache.
inline constexpr std::int64_t bytes_of_a_block = 1 << 18;

// Adds to dw (K, C) of one output what these values of its column of dy make of it.
template <class T>
void add_few_weights(const ConvWeightGradient& call, const FewValue<T>* begin, const FewValue<T>* end, T* dw) {
  const ConvShape& s = call.shape;
  const std::ptrdiff_t C = s.channels;
  for (std::ptrdiff_t k = 0; k < s.width; ++k) {
    each_tile<T>(0, C, [&](std::ptrdiff_t c, auto tile) {
      constexpr int N = decltype(tile)::vectors;
      T* const to = dw + k * C + c;
      Vec<T> sum[N];
      for (int i = 0; i < N; ++i) sum[i] = tile.load(to, i);
      for (const FewValue<T>* one = begin; one < end; ++one) {
        const std::int64_t* const at = call.batch.offsets + one->sequence;
        const std::int64_t position =
            (one->row - call.batch.out_offsets[one->sequence]) * s.stride + k * s.dilation - s.left;
        if (position < 0 || position >= at[1] - at[0]) continue;
        const T* const x = static_cast<const T*>(call.x) + (at[0] + position) * C + c;
        const Vec<T> value = broadcast(one->value);
        for (int i = 0; i < N; ++i) sum[i] = fma<T>(tile.load(x, i), value, sum[i]);
      }
      for (int i = 0; i < N; ++i) tile.store(to, i, sum[i]);
    });
  }
}

// The list in another order: those of column o are first[o] … first[o + 1], by rows; `next` (O) is scratch.
template <class T>
void list_by_columns(const FewValues<T>& values, std::ptrdiff_t columns, std::int64_t* first, std::int64_t* next,
                     FewValue<T>* list) {
  const FewValue<T>* const end = values.begin() + values.count();
  for (std::ptrdiff_t o = 0; o <= columns; ++o) first[o] = 0;
  for (const FewValue<T>* one = values.begin(); one < end; ++one) ++first[one->column + 1];
  for (std::ptrdiff_t o = 0; o < columns; ++o) first[o + 1] += next[o] = first[o];
  for (const FewValue<T>* one = values.begin(); one < end; ++one) list[next[one->column]++] = *one;
}

// dw and db of the outputs `own`; `sums` (O, K, C) and `next` (O) are scratch.
template <class T>
void few_weights_of(const ConvWeightGradient& call, Range own, std::int64_t rows, const std::int64_t* first,
                    const FewValue<T>* list, T* sums, std::int64_t* next) {
  const ConvShape& s = call.shape;
  const std::ptrdiff_t C = s.channels, size = s.width * C;
  const std::int64_t fitting = bytes_of_a_block / static_cast<std::int64_t>(sizeof(T) * static_cast<std::size_t>(C)) + 1;
  std::memset(sums + own.begin * size, 0, sizeof(T) * static_cast<std::size_t>(own.count() * size));
  for (std::ptrdiff_t o = own.begin; o < own.end; ++o) next[o] = first[o];
  for (std::int64_t row = 0; row < rows; row += fitting) {
    for (std::ptrdiff_t o = own.begin; o < own.end; ++o) {
      const FewValue<T>*const begin = list + next[o], *end = begin, *const last = list + first[o + 1];
      while (end < last && end->row < row + fitting) ++end;
      if (end > begin) add_few_weights(call, begin, end, sums + o * size);
      next[o] = end - list;
    }
  }
  for (std::ptrdiff_t o = own.begin; o < own.end; ++o) {
    T* const dw = static_cast<T*>(call.dw) + o * size;
    for (std::ptrdiff_t k = 0; k < s.width; ++k) {
      for (std::ptrdiff_t c = 0; c < C; ++c) dw[c * s.width + k] = sums[o * size + k * C + c];
    }
    if (call.db == nullptr) continue;
    T sum(0);
    for (std::int64_t n = first[o]; n < first[o + 1]; ++n) sum += list[n].value;
    static_cast<T*>(call.db)[o] = sum;
  }
}

// Returns false, and has done nothing, where the dense kernel is to run.
template <class T>
bool few_weight_gradient(const ConvWeightGradient& call) {
  const ConvShape& s = call.shape;
  if (s.groups != 1 || s.replicate) return false;
  const std::ptrdiff_t C = s.channels, O = s.outputs;
  FewValues<T> values(call.batch, call.dy, O);
  if (!values.may_be_few()) return false;
  std::int64_t *first = nullptr, *next = nullptr;
  FewValue<T>* list = nullptr;
  T* sums = nullptr;
  const auto divide = [&](Pieces& pieces) {
    values.divide(pieces);
    first = pieces.take<std::int64_t>(O + 1);
    next = pieces.take<std::int64_t>(O);
    list = pieces.take<FewValue<T>>(values.rows() * O / zeros_of_a_value);
    sums = pieces.take<T>(O * s.width * C);
  };
  const DividedScratch scratch(divide);
  if (!values.are_few(call.x, call.batch.offsets[call.batch.sequences] * C, call.threads)) return false;
  Barrier barrier;
  auto run = [&](int rank, int size) {
    values.fill(rank, size);
    barrier.wait(rank, size);
    if (rank == 0) list_by_columns(values, O, first, next, list);
    barrier.wait(rank, size);
    few_weights_of(call, {O * rank / size, O * (rank + 1) / size}, values.rows(), first, list, sums, next);
  };
  parallel(call.threads, run);
  return true;
}

}  // namespace throughtime::TT_ISA
