// Which taps of a window lie in a sequence, which windows see a step, and tasks over the rows of a result.
#pragma once

#include "kernels/parallel.h"
#include "kernels/pool/index.h"
#include "kernels/pool/kernels.h"

namespace throughtime::TT_ISA {

// Adjacent features that lie in registers together: N whole vectors, or the first `count` lanes of one.
template <class T, int N, bool whole>
struct Tile {
  static constexpr int vectors = N;
  int count;

  Vec<T> load(const T* p, int i) const {
    if constexpr (whole) return TT_ISA::load(p + i * lanes<T>);
    return load_part(p, count);
  }
  void store(T* p, int i, Vec<T> x) const {
    if constexpr (whole) {
      TT_ISA::store(p + i * lanes<T>, x);
    } else {
      store_part(p, x, count);
    }
  }

  template <class I>
  IntVec<T> load_index(const I* p, int i) const {
    if constexpr (whole) return TT_ISA::load_index<T>(p + i * lanes<T>);
    I all[lanes<T>] = {};
    std::memcpy(all, p, sizeof(I) * static_cast<std::size_t>(count));
    return TT_ISA::load_index<T>(all);
  }
  template <class I>
  void store_index(I* p, int i, IntVec<T> x) const {
    if constexpr (whole) return TT_ISA::store_index<T>(p + i * lanes<T>, x);
    I all[lanes<T>];
    TT_ISA::store_index<T>(all, x);
    std::memcpy(p, all, sizeof(I) * static_cast<std::size_t>(count));
  }
};

// Calls body(first feature, tile) for all of begin … end.
template <class T, class Body>
inline void each_tile(std::ptrdiff_t begin, std::ptrdiff_t end, const Body& body) {
  constexpr std::ptrdiff_t L = lanes<T>;
  std::ptrdiff_t c = begin;
  if constexpr (many_registers) {
    for (; end - c >= 8 * L; c += 8 * L) body(c, Tile<T, 8, true>{});
  }
  for (; end - c >= 4 * L; c += 4 * L) body(c, Tile<T, 4, true>{});
  for (; end - c >= 2 * L; c += 2 * L) body(c, Tile<T, 2, true>{});
  for (; end - c >= L; c += L) body(c, Tile<T, 1, true>{});
  if (c < end) body(c, Tile<T, 1, false>{static_cast<int>(end - c)});
}

inline std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

struct Range {
  std::int64_t begin, end;
  std::int64_t count() const { return end - begin; }
};

// The taps of a window that begins at step `first`: those of which low ≤ first + k·dilation < high.
inline Range taps_within(const PoolShape& shape, std::int64_t first, std::int64_t low, std::int64_t high) {
  const auto up_to = [&](std::int64_t step) {  // the first tap from this step on
    return step <= first ? 0 : (step - first + shape.dilation - 1) / shape.dilation;
  };
  const std::int64_t begin = up_to(low);
  const std::int64_t end = first + (shape.size - 1) * shape.dilation < high ? shape.size : up_to(high);
  return {begin, end < begin ? begin : end};
}

// The windows that may see a step, which walks over a sequence.
class Seeing {
 public:
  Seeing(const PoolShape& shape, std::int64_t windows, std::int64_t step)
      : shape_(shape), windows_(windows), reach_((shape.size - 1) * shape.dilation), at_(step + shape.left) {
    low_ = at_ <= reach_ ? 0 : (at_ - reach_ + shape.stride - 1) / shape.stride;
    high_ = at_ < 0 ? -1 : smaller(at_ / shape.stride, windows - 1);
  }

  void next() {
    ++at_;
    if (low_ * shape_.stride + reach_ < at_) ++low_;
    if (high_ + 1 < windows_ && (high_ + 1) * shape_.stride <= at_) ++high_;
  }

  // Calls body(window, tap) for each that does, in their order.
  template <class Body>
  void each(const Body& body) const {
    for (std::int64_t t = low_; t <= high_; ++t) {
      const std::int64_t past = at_ - t * shape_.stride;
      if (shape_.dilation == 1) {
        body(t, past);
      } else if (past % shape_.dilation == 0) {
        body(t, past / shape_.dilation);
      }
    }
  }

 private:
  // A copy: what a store of a vector cannot reach stays in registers.
  PoolShape shape_;
  std::int64_t windows_, reach_, at_, low_, high_;
};

// Whether a sequence of this length has one window, which is all of it.
inline bool is_whole(const PoolShape& shape, std::int64_t length, std::int64_t windows) {
  return windows == 1 && shape.left == 0 && shape.dilation == 1 && shape.size >= length;
}

// The rows of sequence `number` that a task has, counted within the sequence, and its features.
struct Part {
  std::int64_t number;
  Range rows, features;
};

// The sequence of a row.
inline std::int64_t sequence_of(const std::int64_t* offsets, std::int64_t sequences, std::int64_t row) {
  std::int64_t low = 0, high = sequences;  // offsets[low] ≤ row < offsets[high]
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (offsets[middle] <= row ? low : high) = middle;
  }
  return low;
}

// Calls body(part) for all rows that the offsets delimit, by the threads as they become free.
template <class Body>
void each_part(int threads, PoolTask task, std::int64_t sequences, const std::int64_t* offsets,
               std::int64_t features, const Body& body) {
  const std::int64_t rows = offsets[sequences];
  const std::int64_t across = (features + task.features - 1) / task.features;
  const std::int64_t count = (rows + task.rows - 1) / task.rows * across;
  std::int64_t next = 0;
  auto run = [&] {
    for (;;) {
      const std::int64_t i = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);
      if (i >= count) return;
      const std::int64_t first = i % across * task.features, end = smaller((i / across + 1) * task.rows, rows);
      const Range wide{first, smaller(first + task.features, features)};
      std::int64_t row = i / across * task.rows;
      for (std::int64_t b = sequence_of(offsets, sequences, row); row < end; ++b) {
        const std::int64_t stop = smaller(end, offsets[b + 1]);
        if (row < stop) body(Part{b, {row - offsets[b], stop - offsets[b]}, wide});
        row = stop;
      }
    }
  };
  using Run = decltype(run);
  parallel(threads, [](void* context, int, int) { (*static_cast<Run*>(context))(); }, &run);
}

}  // namespace throughtime::TT_ISA
