// Statistics of every group, and the normalised values.
#pragma once

#include "kernels/feature_tile.h"
#include "kernels/norm/groups.h"
#include "kernels/parallel.h"
#include "kernels/pieces.h"

namespace throughtime::TT_ISA {

template <class T>
struct NormForwardPlan {
  Chunks chunks;
  T *mean, *squares;     // (chunks, C): of each chunk the mean, and the sum of squares of what differs from it
  T *factor, *addend;    // (S, C)
  std::int64_t repeats;  // of the one segment: so many rows are a whole number of vectors; 0 where one row is
  T* repeated;           // (threads, 2, repeats · C): factor and addend of so many rows
};

// Mean and squares of one chunk. The second look at its rows finds them in the first cache.
template <class T>
void moments_of(const T* x, std::int64_t rows, std::int64_t features, T* mean, T* squares) {
  const Vec<T> share = broadcast<T>(T(1) / static_cast<T>(rows));
  each_tile<T>(0, features, [&](std::ptrdiff_t c, auto tile) {
    constexpr int N = decltype(tile)::vectors;
    Vec<T> sum[N] = {}, square[N] = {};
    const T* at = x + c;
    for (std::int64_t r = 0; r < rows; ++r, at += features) {
      for (int i = 0; i < N; ++i) sum[i] += tile.load(at, i);
    }
    for (int i = 0; i < N; ++i) sum[i] *= share;
    at = x + c;
    for (std::int64_t r = 0; r < rows; ++r, at += features) {
      for (int i = 0; i < N; ++i) {
        const Vec<T> apart = tile.load(at, i) - sum[i];
        square[i] = fma<T>(apart, apart, square[i]);
      }
    }
    for (int i = 0; i < N; ++i) {
      tile.store(mean + c, i, sum[i]);
      tile.store(squares + c, i, square[i]);
    }
  });
}

template <class T>
void normalize_rows(const T* x, std::int64_t rows, std::int64_t features, const T* factor, const T* addend, bool relu,
                    T* y) {
  each_tile<T>(0, features, [&](std::ptrdiff_t c, auto tile) {
    constexpr int N = decltype(tile)::vectors;
    Vec<T> a[N], b[N];
    for (int i = 0; i < N; ++i) {
      a[i] = tile.load(factor + c, i);
      b[i] = tile.load(addend + c, i);
    }
    const T* from = x + c;
    T* to = y + c;
    for (std::int64_t r = 0; r < rows; ++r, from += features, to += features) {
      for (int i = 0; i < N; ++i) {
        const Vec<T> z = fma<T>(tile.load(from, i), a[i], b[i]);
        tile.store(to, i, relu ? at_least<T>(z, T(0)) : z);
      }
    }
  });
}

// The same for rows that end within a vector: `repeats` of them at once, given their factors one after the other.
template <class T>
void normalize_repeated(const T* x, std::int64_t rows, std::int64_t features, std::int64_t repeats, const T* factor,
                        const T* addend, bool relu, T* y) {
  const std::int64_t wide = repeats * features, whole = rows / repeats * repeats;
  for (std::int64_t r = 0; r < whole; r += repeats, x += wide, y += wide) {
    for (std::int64_t c = 0; c < wide; c += lanes<T>) {
      const Vec<T> z = fma<T>(load(x + c), load(factor + c), load(addend + c));
      store(y + c, relu ? at_least<T>(z, T(0)) : z);
    }
  }
  normalize_rows(x, rows - whole, features, factor, addend, relu, y);
}

template <class T>
void set_statistics(const NormForward& call, std::int64_t segment, std::int64_t group, double mean, double variance) {
  const std::int64_t at = segment * call.shape.groups + group;
  static_cast<T*>(call.mean)[at] = static_cast<T>(mean);
  static_cast<T*>(call.scale)[at] = static_cast<T>(1.0 / __builtin_sqrt(variance + call.shape.eps));
}

// μ and σ² of the groups of a block: combined as T. F. Chan, G. H. Golub and R. J. LeVeque, "Algorithms for computing
// the sample variance" (1983), section 2, for any number of chunks at once.
template <class T>
void combine(const NormForward& call, const NormForwardPlan<T>& plan, const GroupBlocks& blocks, std::int64_t segment,
             Range block) {
  const std::int64_t C = call.shape.features, rows = plan.chunks.rows(segment);
  const double n = static_cast<double>(rows) * static_cast<double>(blocks.features_of_a_group);
  double mean[columns_at_once] = {}, squares[columns_at_once] = {};
  if (rows > 0) {
    blocks.sums(
        plan.chunks, segment, block, C,
        [&](std::int64_t at, std::int64_t, double count) { return count * static_cast<double>(plan.mean[at]); },
        [&](std::int64_t, std::int64_t g, double sum) { mean[g] += sum / n; });
    const std::int64_t width = blocks.features_of_a_group;
    blocks.sums(
        plan.chunks, segment, block, C,
        [&](std::int64_t at, std::int64_t c, double count) {
          const double apart = static_cast<double>(plan.mean[at]) - mean[width == 1 ? c - block.begin : c / width - block.begin];
          return static_cast<double>(plan.squares[at]) + count * apart * apart;
        },
        [&](std::int64_t, std::int64_t g, double sum) { squares[g] += sum; });
  }
  for (std::int64_t g = block.begin; g < block.end; ++g) {
    const double variance = rows > 0 ? squares[g - block.begin] / n : 0.0;
    set_statistics<T>(call, segment, g, mean[g - block.begin], variance);
    if (call.running.mean == nullptr) continue;
    const double momentum = call.running.momentum;
    T& running_mean = static_cast<T*>(call.running.mean)[g];
    T& running_variance = static_cast<T*>(call.running.variance)[g];
    const double unbiased = squares[g - block.begin] / (n - 1);
    running_mean = static_cast<T>((1 - momentum) * static_cast<double>(running_mean) + momentum * mean[g - block.begin]);
    running_variance = static_cast<T>((1 - momentum) * static_cast<double>(running_variance) + momentum * unbiased);
  }
}

template <class T>
void take_given(const NormForward& call, std::int64_t segment, Range block) {
  for (std::int64_t g = block.begin; g < block.end; ++g) {
    const double mean = static_cast<double>(static_cast<const T*>(call.fixed_mean)[g]);
    set_statistics<T>(call, segment, g, mean, static_cast<double>(static_cast<const T*>(call.fixed_variance)[g]));
  }
}

template <class T>
void norm_forward_of(const NormForward& call) {
  const std::int64_t C = call.shape.features, S = call.segments.count;
  const bool fixed = call.fixed_mean != nullptr;
  const GroupBlocks blocks(call.shape);
  NormForwardPlan<T> plan{};
  const auto divide = [&](Pieces& pieces) {
    plan.chunks = {call.segments.offsets, S, pieces.take<std::int64_t>(S + 1)};
    const std::int64_t most = fixed ? 0 : most_chunks(S, call.segments.offsets[S]);
    plan.mean = pieces.take<T>(most * C);
    plan.squares = pieces.take<T>(most * C);
    plan.factor = pieces.take<T>(S * C);
    plan.addend = pieces.take<T>(S * C);
    plan.repeats = S == 1 && C % lanes<T> != 0 ? lanes<T> / (C & -C) : 0;  // C & −C: its largest power of two
    plan.repeated = pieces.take<T>(call.threads * 2 * plan.repeats * C);
  };
  const DividedScratch scratch(divide);
  plan.chunks.count();

  Barrier barrier;
  const T* const x = static_cast<const T*>(call.x);
  T* const y = static_cast<T*>(call.y);
  const auto moments = [&](std::int64_t number, Range rows) {
    moments_of(x + rows.begin * C, rows.count(), C, plan.mean + number * C, plan.squares + number * C);
  };
  const auto statistics = [&](std::int64_t segment, Range block) {
    if (fixed) {
      take_given<T>(call, segment, block);
    } else {
      combine<T>(call, plan, blocks, segment, block);
    }
    lay_out_factors(call, blocks, segment, block, plan.factor, plan.addend);
  };
  const auto normalize = [&](std::int64_t segment, Range rows) {
    normalize_rows(x + rows.begin * C, rows.count(), C, plan.factor + segment * C, plan.addend + segment * C,
                   call.shape.relu, y + rows.begin * C);
  };
  auto run = [&](int rank, int size) {
    if (!fixed && plan.chunks.divide_evenly(size)) {
      // Whole segments, which the second look at their rows finds in a cache.
      const Range own = plan.chunks.segments_of(rank, size);
      for (std::int64_t segment = own.begin; segment < own.end; ++segment) {
        plan.chunks.each_of(segment, moments);
        blocks.each(1, 0, 1, [&](std::int64_t, Range block) { statistics(segment, block); });
        normalize(segment, {call.segments.offsets[segment], call.segments.offsets[segment + 1]});
      }
      return;
    }
    if (!fixed) {
      plan.chunks.each(rank, size, [&](std::int64_t, std::int64_t number, Range rows) { moments(number, rows); });
      barrier.wait(rank, size);
    }
    blocks.each(S, rank, size, statistics);
    barrier.wait(rank, size);
    if (plan.repeats == 0) {
      plan.chunks.each(rank, size,
                       [&](std::int64_t segment, std::int64_t, Range rows) { normalize(segment, rows); });
      return;
    }
    const std::int64_t wide = plan.repeats * C;
    T *const factor = plan.repeated + rank * 2 * wide, *const addend = factor + wide;
    for (std::int64_t r = 0; r < plan.repeats; ++r) {
      for (std::int64_t c = 0; c < C; ++c) {
        factor[r * C + c] = plan.factor[c];
        addend[r * C + c] = plan.addend[c];
      }
    }
    plan.chunks.each(rank, size, [&](std::int64_t, std::int64_t, Range rows) {
      normalize_repeated(x + rows.begin * C, rows.count(), C, plan.repeats, factor, addend, call.shape.relu,
                         y + rows.begin * C);
    });
  };
  parallel(call.threads, run);
}

}  // namespace throughtime::TT_ISA
