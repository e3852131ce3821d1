// The taps of a window that are in its sequence, the windows that contain a step, and the division among threads.
#pragma once

#include "kernels/feature_tile.h"
#include "kernels/parallel.h"
#include "kernels/pool/kernels.h"
#include "kernels/range.h"

namespace throughtime::TT_ISA {

inline std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

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

// The rows of sequence `number` that a thread has, counted within the sequence, and its features.
struct Part {
  std::int64_t number;
  Range rows, features;
};

// The first row of a thread: rows are those of a result, `to` their offsets. Each thread has as many tokens.
inline std::int64_t first_row(const PoolBatch& batch, const std::int64_t* to, int rank, int size) {
  if (rank == 0) return 0;
  if (rank == size) return to[batch.sequences];
  const std::int64_t token = batch.offsets[batch.sequences] * rank / size;
  const std::int64_t b = range_with(batch.offsets, batch.sequences, token), begin = batch.offsets[b];
  return to[b] + (token - begin) * (to[b + 1] - to[b]) / (batch.offsets[b + 1] - begin);
}

// Calls body(part) for all rows of a result with these offsets. A thread has adjacent ones, the same in every call: what
// one call leaves in its cache, the next one finds there (first come, first served took up to twice as long). Or, for
// `by_features`, it has adjacent features of all rows, in whole cache lines.
template <class T, class Body>
void each_part(int threads, bool by_features, const PoolBatch& batch, const std::int64_t* to, std::int64_t features,
               const Body& body) {
  auto run = [&](int rank, int size) {
    Range rows{0, to[batch.sequences]}, wide{0, features};
    if (by_features) {
      constexpr std::int64_t line = 64 / sizeof(T);
      const std::int64_t share = ((features + line - 1) / line + size - 1) / size * line;
      wide = {smaller(rank * share, features), smaller((rank + 1) * share, features)};
    } else {
      rows = {first_row(batch, to, rank, size), first_row(batch, to, rank + 1, size)};
    }
    if (rows.count() == 0 || wide.count() == 0) return;
    std::int64_t row = rows.begin;
    for (std::int64_t b = range_with(to, batch.sequences, row); row < rows.end; ++b) {
      const std::int64_t stop = smaller(rows.end, to[b + 1]);
      if (row < stop) body(Part{b, {row - to[b], stop - to[b]}, wide});
      row = stop;
    }
  };
  parallel(threads, run);
}

}  // namespace throughtime::TT_ISA
