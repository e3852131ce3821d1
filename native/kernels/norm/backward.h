// The gradient of a normalisation. With g = γ dy and n the values of a group,
//
//   dx = r (g − Σ g / n − (x − μ) r² Σ g (x − μ) / n),   dγ = Σ r dy (x − μ),   dβ = Σ dy
//
// (S. Ioffe and C. Szegedy, "Batch normalization", ICML (2015), section 3). With given μ and σ² only the first
// term remains.
#pragma once

#include "kernels/feature_tile.h"
#include "kernels/norm/groups.h"
#include "kernels/parallel.h"
#include "kernels/pieces.h"

namespace throughtime::TT_ISA {

template <class T>
struct NormBackwardPlan {
  Chunks chunks;
  T *sum, *product;           // (chunks, C): Σ dy and Σ dy (x − μ) of each chunk
  T *mean, *factor, *addend;  // (S, C): μ, and y as factor · x + addend
  T *own_sum, *own_product;   // (S, C): Σ dy and r Σ dy (x − μ) of each segment
  T *slope, *start;           // (S, C): dx = factor · dy + (slope · (x − μ) + start)
};

// The rows of a chunk, and what their segment knows of each feature.
template <class T>
struct GradientRows {
  const T *x, *dy;
  std::int64_t rows, features;
  const T *mean, *factor, *addend;
};

// The gradient that passes the ReLU: where the output is not 0; NaN passes as in torch.
template <class T, bool relu>
inline Vec<T> passed(Vec<T> dy, Vec<T> x, Vec<T> factor, Vec<T> addend) {
  if constexpr (!relu) return dy;
  return fma<T>(x, factor, addend) <= Vec<T>{} ? Vec<T>{} : dy;
}

template <class T, bool relu>
void gradient_sums_of(const GradientRows<T>& in, T* sums, T* products) {
  each_tile<T, 4>(0, in.features, [&](std::ptrdiff_t c, auto tile) {
    constexpr int N = decltype(tile)::vectors;
    Vec<T> sum[N] = {}, product[N] = {}, mean[N], factor[N], addend[N];
    for (int i = 0; i < N; ++i) {
      mean[i] = tile.load(in.mean + c, i);
      factor[i] = tile.load(in.factor + c, i);
      addend[i] = tile.load(in.addend + c, i);
    }
    const T *x = in.x + c, *dy = in.dy + c;
    for (std::int64_t r = in.rows; r > 0; --r, x += in.features, dy += in.features) {
      for (int i = 0; i < N; ++i) {
        const Vec<T> value = tile.load(x, i);
        const Vec<T> gradient = passed<T, relu>(tile.load(dy, i), value, factor[i], addend[i]);
        sum[i] += gradient;
        product[i] = fma<T>(gradient, value - mean[i], product[i]);
      }
    }
    for (int i = 0; i < N; ++i) {
      tile.store(sums + c, i, sum[i]);
      tile.store(products + c, i, product[i]);
    }
  });
}

template <class T, bool relu>
void gradient_rows(const GradientRows<T>& given, const T* slopes, const T* starts, T* dx) {
  const GradientRows<T> in = given;  // a copy: what a store of a vector cannot reach stays in registers
  each_tile<T, 4>(0, in.features, [&](std::ptrdiff_t c, auto tile) {
    constexpr int N = decltype(tile)::vectors;
    Vec<T> mean[N], factor[N], addend[N], slope[N], start[N];
    for (int i = 0; i < N; ++i) {
      mean[i] = tile.load(in.mean + c, i);
      factor[i] = tile.load(in.factor + c, i);
      addend[i] = tile.load(in.addend + c, i);
      slope[i] = tile.load(slopes + c, i);
      start[i] = tile.load(starts + c, i);
    }
    const T *x = in.x + c, *dy = in.dy + c;
    T* to = dx + c;
    for (std::int64_t r = in.rows; r > 0; --r, x += in.features, dy += in.features, to += in.features) {
      for (int i = 0; i < N; ++i) {
        const Vec<T> value = tile.load(x, i);
        const Vec<T> gradient = passed<T, relu>(tile.load(dy, i), value, factor[i], addend[i]);
        tile.store(to, i, fma<T>(factor[i], gradient, fma<T>(slope[i], value - mean[i], start[i])));
      }
    }
  });
}

// What statistics do to the gradient, for the groups of a block.
template <class T>
void combine_gradients(const NormBackward& call, const NormBackwardPlan<T>& plan, const GroupBlocks& blocks,
                       std::int64_t segment, Range block) {
  const std::int64_t C = call.shape.features, width = blocks.features_of_a_group;
  const T* const gamma = static_cast<const T*>(call.gamma);
  const T* const scale = static_cast<const T*>(call.scale) + segment * call.shape.groups;
  const auto weighted = [&](std::int64_t c, double sum) {
    return gamma == nullptr ? sum : sum * static_cast<double>(gamma[c]);
  };
  double sums[columns_at_once] = {}, products[columns_at_once] = {};
  blocks.sums(
      plan.chunks, segment, block, C,
      [&](std::int64_t at, std::int64_t, double) { return static_cast<double>(plan.sum[at]); },
      [&](std::int64_t c, std::int64_t g, double sum) {
        sums[g] += weighted(c, sum);
        plan.own_sum[segment * C + c] = static_cast<T>(sum);
      });
  blocks.sums(
      plan.chunks, segment, block, C,
      [&](std::int64_t at, std::int64_t, double) { return static_cast<double>(plan.product[at]); },
      [&](std::int64_t c, std::int64_t g, double sum) {
        products[g] += weighted(c, sum);
        plan.own_product[segment * C + c] = static_cast<T>(sum * static_cast<double>(scale[c / width]));
      });
  const double n = static_cast<double>(plan.chunks.rows(segment)) * static_cast<double>(width);
  for (std::int64_t g = block.begin; g < block.end; ++g) {
    const double r = static_cast<double>(scale[g]);
    const bool moves = !call.fixed && n > 0;
    const T slope = static_cast<T>(moves ? -r * r * r * products[g - block.begin] / n : 0.0);
    const T start = static_cast<T>(moves ? -r * sums[g - block.begin] / n : 0.0);
    for (std::int64_t c = g * width; c < (g + 1) * width; ++c) {
      plan.slope[segment * C + c] = slope;
      plan.start[segment * C + c] = start;
    }
  }
}

// The gradient of γ or β over all segments, for the features of a thread.
template <class T>
void sum_over_segments(const T* own, std::int64_t segments, std::int64_t features, int rank, int size, void* to) {
  if (to == nullptr) return;
  for (std::int64_t c = features * rank / size; c < features * (rank + 1) / size; ++c) {
    double sum = 0;
    for (std::int64_t s = 0; s < segments; ++s) sum += static_cast<double>(own[s * features + c]);
    static_cast<T*>(to)[c] = static_cast<T>(sum);
  }
}

template <class T, bool relu>
void norm_backward_through(const NormBackward& call) {
  const std::int64_t C = call.shape.features, S = call.segments.count;
  const GroupBlocks blocks(call.shape);
  NormBackwardPlan<T> plan{};
  const auto divide = [&](Pieces& pieces) {
    plan.chunks = {call.segments.offsets, S, pieces.take<std::int64_t>(S + 1)};
    const std::int64_t most = most_chunks(S, call.segments.offsets[S]);
    plan.sum = pieces.take<T>(most * C);
    plan.product = pieces.take<T>(most * C);
    plan.mean = pieces.take<T>(S * C);
    plan.factor = pieces.take<T>(S * C);
    plan.addend = pieces.take<T>(S * C);
    plan.own_sum = pieces.take<T>(S * C);
    plan.own_product = pieces.take<T>(S * C);
    plan.slope = pieces.take<T>(S * C);
    plan.start = pieces.take<T>(S * C);
  };
  const DividedScratch scratch(divide);
  plan.chunks.count();

  Barrier barrier;
  const auto rows_of = [&](std::int64_t segment, Range rows) {
    const std::int64_t own = segment * C, first = rows.begin * C;
    return GradientRows<T>{static_cast<const T*>(call.x) + first,
                           static_cast<const T*>(call.dy) + first,
                           rows.count(),
                           C,
                           plan.mean + own,
                           plan.factor + own,
                           plan.addend + own};
  };
  auto run = [&](int rank, int size) {
    blocks.each(S, rank, size, [&](std::int64_t segment, Range block) {
      lay_out_factors(call, blocks, segment, block, plan.factor, plan.addend);
      const std::int64_t width = blocks.features_of_a_group;
      for (std::int64_t c = block.begin * width; c < block.end * width; ++c) {
        plan.mean[segment * C + c] = static_cast<const T*>(call.mean)[segment * call.shape.groups + c / width];
      }
    });
    barrier.wait(rank, size);
    plan.chunks.each(rank, size, [&](std::int64_t segment, std::int64_t number, Range rows) {
      gradient_sums_of<T, relu>(rows_of(segment, rows), plan.sum + number * C, plan.product + number * C);
    });
    barrier.wait(rank, size);
    blocks.each(S, rank, size, [&](std::int64_t segment, Range block) {
      combine_gradients<T>(call, plan, blocks, segment, block);
    });
    barrier.wait(rank, size);
    sum_over_segments<T>(plan.own_product, S, C, rank, size, call.dgamma);
    sum_over_segments<T>(plan.own_sum, S, C, rank, size, call.dbeta);
    if (call.dx == nullptr) return;
    plan.chunks.each(rank, size, [&](std::int64_t segment, std::int64_t, Range rows) {
      gradient_rows<T, relu>(rows_of(segment, rows), plan.slope + segment * C, plan.start + segment * C,
                             static_cast<T*>(call.dx) + rows.begin * C);
    });
  };
  parallel(call.threads, run);
}

template <class T>
void norm_backward_of(const NormBackward& call) {
  call.shape.relu ? norm_backward_through<T, true>(call) : norm_backward_through<T, false>(call);
}

}  // namespace throughtime::TT_ISA
