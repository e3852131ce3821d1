// The order of a scan: a carry r that step t maps to a[t] ⊙ r + b[t], over chunks of the steps of each sequence.
//
// A chunk's map of the carry is summarised by its product of a and by what it gives for a carry of zero. From the
// summaries follow the carries into all chunks, from those the steps of each chunk, so that chunks can be divided
// among threads. The carry into a chunk is always computed in this way, also on one thread and where sequences are
// divided: so bits depend on the steps of a sequence alone, and on their positions.
//
// A pass is an object with
//   summary(t, c, tile, i)               the coefficients of step t
//   next(t, c, tile, i, carry)           the carry after step t
//   step(t, c, tile, i, carry, before)   the same, which also stores the results of step t; `before` points to what
//                                        the forward pass had before it, null for zeros
//   before(t, sequence)                  that pointer, of feature 0
#pragma once

#include "kernels/chunks.h"
#include "kernels/parallel.h"
#include "kernels/pieces.h"
#include "kernels/scan/coefficients.h"

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace throughtime::TT_ISA {

// Numbers below the smallest normal one become zero: a product of gates passes through that range, where arithmetic
// is slow, and what comes of it is far below the rounding error.
class WithoutSubnormals {
 public:
#if defined(__SSE2__)
  WithoutSubnormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040u); }
  ~WithoutSubnormals() { _mm_setcsr(before_); }

 private:
  unsigned before_;
#else
  WithoutSubnormals() {}
  ~WithoutSubnormals() {}
#endif
};

// Calls body(t) for rows in the order of the scan.
template <class Body>
inline void each_step(Range rows, bool from_end, const Body& body) {
  if (from_end) {
    for (std::int64_t t = rows.end - 1; t >= rows.begin; --t) body(t);
  } else {
    for (std::int64_t t = rows.begin; t < rows.end; ++t) body(t);
  }
}

// Not inlined, so that no operation of it leaves the scope of WithoutSubnormals.
template <class T, class Pass, class Tile>
__attribute__((noinline)) void summarize(const Pass& pass, Range rows, bool from_end, std::ptrdiff_t c,
                                         const Tile& tile, T* product, T* sum) {
  constexpr int N = Tile::vectors;
  Vec<T> all[N], added[N] = {};
  for (int i = 0; i < N; ++i) all[i] = broadcast(T(1));
  each_step(rows, from_end, [&](std::int64_t t) {
    for (int i = 0; i < N; ++i) {
      const Coefficients<T> step = pass.summary(t, c, tile, i);
      added[i] = fma<T>(step.a, added[i], step.b);
      all[i] = all[i] * step.a;
    }
  });
  for (int i = 0; i < N; ++i) {
    tile.store(product, i, all[i]);
    tile.store(sum, i, added[i]);
  }
}

template <class T, class Pass>
class Scan {
 public:
  Scan(const Pass& pass, const ScanBatch& batch, std::int64_t features, bool from_end, int threads, const T* start,
       T* end)
      : pass_(pass), features_(features), from_end_(from_end), threads_(threads), start_(start), end_(end) {
    chunks_ = {batch.offsets, batch.sequences, nullptr};
  }

  void run() {
    const std::int64_t B = chunks_.segments;
    const std::int64_t most = threads_ > 1 ? most_chunks(B, chunks_.offsets[B]) : 0;
    const auto divide = [&](Pieces& pieces) {
      chunks_.first = pieces.take<std::int64_t>(B + 1);
      product_ = pieces.take<T>(most * features_);
      sum_ = pieces.take<T>(most * features_);
      rows_ = pieces.take<T>(threads_ * width_);
    };
    const DividedScratch scratch(divide);
    chunks_.count();
    Barrier barrier;
    auto body = [&](int rank, int size) {
      if (chunks_.divide_evenly(size)) {
        const Range sequences = chunks_.segments_of(rank, size);
        for (std::int64_t s = sequences.begin; s < sequences.end; ++s) whole(s, rows_ + rank * width_);
        finish_streams();
        return;
      }
      chunks_.each(rank, size, [&](std::int64_t s, std::int64_t n, Range rows) { summarize_chunk(s, n, rows); });
      barrier.wait(rank, size);
      carry(rank, size);
      barrier.wait(rank, size);
      chunks_.each(rank, size, [&](std::int64_t s, std::int64_t n, Range rows) { finish_chunk(s, n, rows); });
      finish_streams();
    };
    parallel(threads_, body);
  }

 private:
  template <class Body>
  void each_tile_of(std::ptrdiff_t begin, std::ptrdiff_t end, const Body& body) const {
    each_tile<T, 4>(begin, end, body);
  }

  std::int64_t first_chunk(std::int64_t s) const { return from_end_ ? chunks_.first[s + 1] - 1 : chunks_.first[s]; }
  std::int64_t last_chunk(std::int64_t s) const { return from_end_ ? chunks_.first[s] : chunks_.first[s + 1] - 1; }

  Range rows_of(std::int64_t s, std::int64_t number) const {
    const std::int64_t begin = chunks_.offsets[s] + (number - chunks_.first[s]) * rows_of_a_chunk;
    return {begin, begin + chunks_.rows(s, number)};
  }

  template <class Tile>
  void begin(std::int64_t s, std::ptrdiff_t c, const Tile& tile, Vec<T>* carry) const {
    for (int i = 0; i < Tile::vectors; ++i) {
      carry[i] = start_ == nullptr ? Vec<T>{} : tile.load(start_ + s * features_ + c, i);
    }
  }
  template <class Tile>
  void end(std::int64_t s, std::ptrdiff_t c, const Tile& tile, const Vec<T>* carry) const {
    if (end_ == nullptr) return;
    for (int i = 0; i < Tile::vectors; ++i) tile.store(end_ + s * features_ + c, i, carry[i]);
  }

  // The carry after a chunk by its summary; where that is not finite, as a product may be whose factors all are, by
  // its steps.
  static Vec<T> after(Vec<T> product, Vec<T> sum, Vec<T> carry, Vec<T> by_steps) {
    const Vec<T> next = fma<T>(product, carry, sum);
    return next - next == T(0) ? next : by_steps;
  }

  template <class Tile>
  void steps(std::int64_t s, Range rows, std::ptrdiff_t c, const Tile& tile, Vec<T>* carry) const {
    each_step(rows, from_end_, [&](std::int64_t t) {
      const T* const before = pass_.before(t, s);
      for (int i = 0; i < Tile::vectors; ++i) {
        carry[i] = pass_.step(t, c, tile, i, carry[i], before == nullptr ? nullptr : before + c);
      }
    });
  }

  // A sequence by one thread, chunk by chunk; `row` has place for the carry of all features.
  void whole(std::int64_t s, T* row) const {
    const std::int64_t last = last_chunk(s), count = chunks_.first[s + 1] - chunks_.first[s];
    each_tile_of(0, features_, [&](std::ptrdiff_t c, auto tile) {
      Vec<T> carry[decltype(tile)::vectors];
      begin(s, c, tile, carry);
      if (count == 0) end(s, c, tile, carry);
      for (int i = 0; i < tile.vectors; ++i) tile.store(row + c, i, carry[i]);
    });
    for (std::int64_t k = 0; k < count; ++k) {
      const std::int64_t number = from_end_ ? first_chunk(s) - k : first_chunk(s) + k;
      const Range rows = rows_of(s, number);
      each_tile_of(0, features_, [&](std::ptrdiff_t c, auto tile) { chunk_of(s, rows, number == last, c, tile, row + c); });
    }
  }

  template <class Tile>
  void chunk_of(std::int64_t s, Range rows, bool last, std::ptrdiff_t c, const Tile& tile, T* place) const {
    constexpr int N = Tile::vectors;
    Vec<T> carry[N];
    for (int i = 0; i < N; ++i) carry[i] = tile.load(place, i);
    if (last) {
      steps(s, rows, c, tile, carry);
      end(s, c, tile, carry);
      return;
    }
    alignas(64) T product[N * lanes<T>], sum[N * lanes<T>];
    {
      const WithoutSubnormals scope;
      summarize<T>(pass_, rows, from_end_, c, tile, product, sum);
    }
    steps(s, rows, c, tile, carry);
    for (int i = 0; i < N; ++i) {
      tile.store(place, i, after(tile.load(product, i), tile.load(sum, i), tile.load(place, i), carry[i]));
    }
  }

  void summarize_chunk(std::int64_t s, std::int64_t number, Range rows) const {
    if (number == last_chunk(s)) return;
    const WithoutSubnormals scope;
    each_tile_of(0, features_, [&](std::ptrdiff_t c, auto tile) {
      const std::int64_t at = number * features_ + c;
      summarize<T>(pass_, rows, from_end_, c, tile, product_ + at, sum_ + at);
    });
  }

  // Puts the carry into each chunk in the place of its product.
  void carry(int rank, int size) const {
    constexpr std::ptrdiff_t width = 4 * lanes<T>;
    const std::int64_t tiles = (features_ + width - 1) / width, all = chunks_.segments * tiles;
    for (std::int64_t item = all * rank / size; item < all * (rank + 1) / size; ++item) {
      const std::int64_t s = item / tiles, first = item % tiles * width;
      const std::int64_t stop = first + width < features_ ? first + width : features_;
      each_tile_of(first, stop, [&](std::ptrdiff_t c, auto tile) { carry_of(s, c, tile); });
    }
  }

  template <class Tile>
  void carry_of(std::int64_t s, std::ptrdiff_t c, const Tile& tile) const {
    constexpr int N = Tile::vectors;
    Vec<T> carry[N];
    begin(s, c, tile, carry);
    const std::int64_t count = chunks_.first[s + 1] - chunks_.first[s];
    if (count == 0) end(s, c, tile, carry);
    for (std::int64_t k = 0; k < count; ++k) {
      const std::int64_t number = from_end_ ? first_chunk(s) - k : first_chunk(s) + k;
      T *const product = product_ + number * features_ + c, *const sum = sum_ + number * features_ + c;
      for (int i = 0; i < N; ++i) {
        const Vec<T> before = carry[i];
        if (k + 1 < count) carry[i] = next_carry(s, number, c, tile, i, before, tile.load(product, i), tile.load(sum, i));
        tile.store(product, i, before);
      }
    }
  }

  template <class Tile>
  Vec<T> next_carry(std::int64_t s, std::int64_t number, std::ptrdiff_t c, const Tile& tile, int i, Vec<T> carry,
                    Vec<T> product, Vec<T> sum) const {
    const Vec<T> next = fma<T>(product, carry, sum);
    if (nonzero_lanes<T>(next - next) == 0) return next;
    Vec<T> by_steps = carry;
    each_step(rows_of(s, number), from_end_, [&](std::int64_t t) { by_steps = pass_.next(t, c, tile, i, by_steps); });
    return after(product, sum, carry, by_steps);
  }

  void finish_chunk(std::int64_t s, std::int64_t number, Range rows) const {
    each_tile_of(0, features_, [&](std::ptrdiff_t c, auto tile) {
      constexpr int N = decltype(tile)::vectors;
      Vec<T> carry[N];
      for (int i = 0; i < N; ++i) carry[i] = tile.load(product_ + number * features_ + c, i);
      steps(s, rows, c, tile, carry);
      if (number == last_chunk(s)) end(s, c, tile, carry);
    });
  }

  Pass pass_;
  Chunks chunks_{};
  std::int64_t features_;
  std::int64_t width_ = (features_ + line<T> - 1) / line<T> * line<T>;  // whole lines of a cache
  bool from_end_;
  int threads_;
  const T* start_;
  T* end_;
  T *product_ = nullptr, *sum_ = nullptr;  // by chunk and feature
  T* rows_ = nullptr;                      // by thread
};

}  // namespace throughtime::TT_ISA
