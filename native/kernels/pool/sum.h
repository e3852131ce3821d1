// The sum or mean of each window, and its gradient.
#pragma once

#include "kernels/pool/windows.h"

namespace throughtime::TT_ISA {

// Taps that are summed by themselves, in runs and in groups of runs, before they join the others: otherwise the
// rounding errors of a long sequence would grow with its steps.
inline constexpr std::int64_t taps_of_a_run = 64;
inline constexpr std::int64_t taps_of_a_group = 64 * taps_of_a_run;

// n_t of the windows of one sequence.
struct Divisors {
  PoolShape shape;
  PoolDivisor kind;
  std::int64_t length, right;

  std::int64_t of(std::int64_t t) const {
    if (kind == PoolDivisor::one) return 1;
    const std::int64_t first = t * shape.stride - shape.left;
    const bool border = kind == PoolDivisor::border;
    const std::int64_t count =
        taps_within(shape, first, border ? -shape.left : 0, length + (border ? right : 0)).count();
    return count < 1 ? 1 : count;
  }
};

// x / n; by a power of two a product is as exact, and much faster.
template <class T>
inline Vec<T> divided(Vec<T> x, std::int64_t n) {
  return (n & (n - 1)) == 0 ? x * (T(1) / static_cast<T>(n)) : x / static_cast<T>(n);
}

template <class T>
void sum_of(const PoolSum& call, bool by_features) {
  const PoolBatch& batch = call.batch;
  const std::ptrdiff_t features = call.shape.features, step = call.shape.dilation * features;
  each_part<T>(call.threads, by_features, batch, batch.out_offsets, features, [&](const Part& part) {
    const PoolShape shape = call.shape;  // a copy: what a store of a vector cannot reach stays in registers
    const std::int64_t begin = batch.offsets[part.number], length = batch.offsets[part.number + 1] - begin;
    const Divisors divisors{shape, call.divisor, length, call.right};
    for (std::int64_t t = part.rows.begin; t < part.rows.end; ++t) {
      const std::int64_t first = t * shape.stride - shape.left, divisor = divisors.of(t);
      const Range taps = taps_within(shape, first, 0, length);
      const std::int64_t row = taps.count() == 0 ? 0 : begin + first + taps.begin * shape.dilation;
      const T* const seen = static_cast<const T*>(call.x) + row * features;
      T* const y = static_cast<T*>(call.y) + (batch.out_offsets[part.number] + t) * features;
      each_tile<T>(part.features.begin, part.features.end, [&](std::ptrdiff_t c, auto tile) {
        constexpr int N = decltype(tile)::vectors;
        Vec<T> sum[N] = {};
        const T* at = seen + c;
        for (std::int64_t k = taps.begin; k < taps.end;) {
          Vec<T> group[N] = {};
          for (const std::int64_t last = smaller(k + taps_of_a_group, taps.end); k < last;) {
            Vec<T> run[N] = {};
            for (const std::int64_t end = smaller(k + taps_of_a_run, last); k < end; ++k, at += step) {
              for (int i = 0; i < N; ++i) run[i] += tile.load(at, i);
            }
            for (int i = 0; i < N; ++i) group[i] += run[i];
          }
          for (int i = 0; i < N; ++i) sum[i] += group[i];
        }
        for (int i = 0; i < N; ++i) tile.store(y + c, i, divided<T>(sum[i], divisor));
      });
    }
  });
}

// Every row of dx is gathered from the windows that see it, and written once.
template <class T>
void sum_gradient_of(const PoolSumGradient& call) {
  const PoolShape& shape = call.shape;
  const PoolBatch& batch = call.batch;
  const std::ptrdiff_t features = shape.features;
  each_part<T>(call.threads, false, batch, batch.offsets, features, [&](const Part& part) {
    const std::int64_t begin = batch.offsets[part.number], length = batch.offsets[part.number + 1] - begin;
    const std::int64_t out = batch.out_offsets[part.number], windows = batch.out_offsets[part.number + 1] - out;
    const Divisors divisors{shape, call.divisor, length, call.right};
    Seeing seeing(shape, windows, part.rows.begin);
    std::int64_t known = 1;
    T share = 1;
    const T* const dy = static_cast<const T*>(call.dy) + out * features;
    T* dx = static_cast<T*>(call.dx) + (begin + part.rows.begin) * features;
    if (is_whole(shape, length, windows)) {
      const T part_of_each = T(1) / static_cast<T>(divisors.of(0));
      each_tile<T>(part.features.begin, part.features.end, [&](std::ptrdiff_t c, auto tile) {
        constexpr int N = decltype(tile)::vectors;
        Vec<T> given[N];
        for (int i = 0; i < N; ++i) given[i] = tile.load(dy + c, i) * part_of_each;
        T* to = dx + c;
        for (std::int64_t s = part.rows.begin; s < part.rows.end; ++s, to += features) {
          for (int i = 0; i < N; ++i) tile.store(to, i, given[i]);
        }
      });
      return;
    }
    for (std::int64_t s = part.rows.begin; s < part.rows.end; ++s, seeing.next(), dx += features) {
      each_tile<T>(part.features.begin, part.features.end, [&](std::ptrdiff_t c, auto tile) {
        constexpr int N = decltype(tile)::vectors;
        Vec<T> sum[N] = {};
        seeing.each([&](std::int64_t t, std::int64_t) {
          if (const std::int64_t divisor = divisors.of(t); divisor != known) {
            known = divisor;
            share = T(1) / static_cast<T>(divisor);
          }
          const T* const given = dy + t * features + c;
          for (int i = 0; i < N; ++i) sum[i] += tile.load(given, i) * share;
        });
        for (int i = 0; i < N; ++i) tile.store(dx + c, i, sum[i]);
      });
    }
  });
}

}  // namespace throughtime::TT_ISA
