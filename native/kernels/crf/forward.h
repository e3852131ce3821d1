// The forward algorithm of a CRF.
//
// log Σ_i exp(a_i + A[i, j]) is highest_j + log Σ_i exp(a_i) · exp(A[i, j] − highest_j), a matrix product, where
// highest_j = max_i A[i, j]: so a token takes C exponentials and not C². Terms below the smallest number are lost, which
// matters where no term is large. The few columns of which that is so are summed by their logarithms.
#pragma once

#include "kernels/activations.h"
#include "kernels/crf/chain.h"
#include "kernels/pieces.h"

namespace throughtime::TT_ISA {

inline float scalar_exp(float x) { return __builtin_expf(x); }
inline double scalar_exp(double x) { return __builtin_exp(x); }
inline float scalar_log(float x) { return __builtin_logf(x); }
inline double scalar_log(double x) { return __builtin_log(x); }

// Lost terms are below exp(−exp_bound): beside this sum a million of them are below half a unit in the last place.
template <class T>
inline constexpr T least_sum = sizeof(T) == 4 ? T(1e-24) : T(1e-280);

// exp(x) of x ≤ 0; 0 where it is no ordinary number.
template <class T>
inline Vec<T> exp_of_negative(Vec<T> x) {
  const ExpParts<T> e = exp_parts(at_least<T>(x, -exp_bound<T>));
  const Vec<T> value = fma<T>(e.scale, e.minus_one, e.scale);
  return x < broadcast<T>(-exp_bound<T>) ? Vec<T>{} : value;
}

// Transitions as all steps read them.
template <class T>
struct Transitions {
  std::ptrdiff_t tags;
  const T* scores;  // (C, C) A
  T* highest;       // (C,)
  T* ratios;        // (C, C) exp(A[i, j] − highest_j)

  void fill() const {
    each_tile<T>(0, tags, [&](std::ptrdiff_t j, auto tile) {
      for (int n = 0; n < decltype(tile)::vectors; ++n) {
        Vec<T> top = tile.load(scores + j, n);
        for (std::ptrdiff_t i = 1; i < tags; ++i) {
          const Vec<T> score = tile.load(scores + i * tags + j, n);
          top = score > top ? score : top;
        }
        tile.store(highest + j, n, top);
        for (std::ptrdiff_t i = 0; i < tags; ++i) {
          const std::ptrdiff_t at = i * tags + j;
          tile.store(ratios + at, n, exp_of_negative<T>(tile.load(scores + at, n) - top));
        }
      }
    });
  }

  // log Σ_i exp(a_i + A[i, j]) by logarithms.
  T exactly(const T* a, std::ptrdiff_t j) const {
    T top = a[0] + scores[j];
    for (std::ptrdiff_t i = 1; i < tags; ++i) {
      const T score = a[i] + scores[i * tags + j];
      top = score > top ? score : top;
    }
    T sum = 0;
    for (std::ptrdiff_t i = 0; i < tags; ++i) sum += scalar_exp(a[i] + scores[i * tags + j] - top);
    return top + scalar_log(sum);
  }
};

// A thread's own memory for one step.
template <class T>
struct StepScratch {
  T *a, *weights, *sums;  // (C,) each: a, exp(a), and the sums over i
};

template <class T>
inline void forward_step(const Transitions<T>& transitions, const StepScratch<T>& own, const T* before, const T* x, T* r) {
  const std::ptrdiff_t tags = transitions.tags;
  const Vec<T> top = broadcast<T>(largest(before, tags));
  each_tile<T>(0, tags, [&](std::ptrdiff_t j, auto tile) {
    for (int n = 0; n < decltype(tile)::vectors; ++n) {
      const Vec<T> a = tile.load(before + j, n) - top;
      tile.store(own.a + j, n, a);
      tile.store(own.weights + j, n, exp_of_negative<T>(a));
    }
  });
  each_tile<T>(0, tags, [&](std::ptrdiff_t j, auto tile) {
    constexpr int N = decltype(tile)::vectors;
    Vec<T> sum[N] = {};
    const T* ratios = transitions.ratios + j;
    for (std::ptrdiff_t i = 0; i < tags; ++i, ratios += tags) {
      const Vec<T> weight = broadcast<T>(own.weights[i]);
      for (int n = 0; n < N; ++n) sum[n] = fma<T>(weight, tile.load(ratios, n), sum[n]);
    }
    for (int n = 0; n < N; ++n) tile.store(own.sums + j, n, sum[n]);
  });
  for (std::ptrdiff_t j = 0; j < tags; ++j) {
    const T sum = own.sums[j];
    r[j] = x[j] + (sum < least_sum<T> ? transitions.exactly(own.a, j) : transitions.highest[j] + scalar_log(sum));
  }
}

template <class T>
void forward_of(const CrfForward& call) {
  const CrfChain& chain = call.chain;
  const std::ptrdiff_t tags = chain.tags;
  Transitions<T> transitions{tags, static_cast<const T*>(chain.transitions), nullptr, nullptr};
  const DividedScratch shared([&](Pieces& pieces) {
    transitions.highest = pieces.take<T>(tags);
    transitions.ratios = pieces.take<T>(tags * tags);
  });
  transitions.fill();
  auto run = [&](int rank, int size) {
    StepScratch<T> own{};
    const DividedScratch scratch([&](Pieces& pieces) {
      own = {pieces.take<T>(tags), pieces.take<T>(tags), pieces.take<T>(tags)};
    });
    each_sequence(chain, rank, size, [&](const Range& tokens) {
      const std::ptrdiff_t step = call.reverse ? -tags : tags;
      const std::ptrdiff_t first = (call.reverse ? tokens.end - 1 : tokens.begin) * tags;
      const T* x = static_cast<const T*>(chain.x) + first;
      T* r = static_cast<T*>(call.r) + first;
      add(x, static_cast<const T*>(chain.start), r, tags);
      for (std::ptrdiff_t t = 1; t < tokens.count(); ++t) {
        x += step;
        forward_step(transitions, own, r, x, r + step);
        r += step;
      }
    });
  };
  parallel(chain.threads, run);
}

}  // namespace throughtime::TT_ISA
