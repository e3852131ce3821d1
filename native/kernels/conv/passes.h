// The convolution and its input gradient as correlations: packed weights, passes, threads.
#pragma once

#include "kernels/conv/correlate.h"
#include "kernels/parallel.h"

namespace throughtime::TT_ISA {

// Weights (N, channels, taps) of `count` ≤ lanes outputs as one vector of a panel whose rows are (tap, channel).
template <class T>
void pack_taps(const T* from, std::ptrdiff_t ld, int count, std::ptrdiff_t channels, std::ptrdiff_t taps, T* to,
               std::ptrdiff_t ldp) {
  constexpr int L = lanes<T>;
  const std::ptrdiff_t depth = channels * taps;
  std::ptrdiff_t d = 0, channel = 0, tap = 0;
  const auto next = [&] {
    T* const row = to + (tap * channels + channel) * ldp;
    if (++tap == taps) tap = 0, ++channel;
    return row;
  };
  if (count == L) {
    for (; d + L <= depth; d += L) {
      Vec<T> columns[L];
      transposed_square(from + d, ld, columns);
      for (int i = 0; i < L; ++i) store<T>(next(), columns[i]);
    }
  }
  for (; d < depth; ++d) {
    T* const row = next();
    for (int l = 0; l < count; ++l) row[l] = from[l * ld + d];
    for (int l = count; l < L; ++l) row[l] = T(0);
  }
}

template <class T>
struct ConvPlan {
  ConvShape shape;
  Correlation<T> correlation;
  const T* weight;       // (O, C / G, K)
  const T* given_start;  // (channels out), or null
  T* packed;
  T* start;
  Pass<T>* passes;
  Blocks blocks;

  std::ptrdiff_t inputs() const { return shape.channels / shape.groups; }
  std::ptrdiff_t outputs() const { return shape.outputs / shape.groups; }
};

inline std::ptrdiff_t common_divisor(std::ptrdiff_t a, std::ptrdiff_t b) {
  while (b != 0) {
    const std::ptrdiff_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

template <class T>
struct ForwardPacking {
  static std::ptrdiff_t passes(const ConvShape&) { return 1; }

  static void plan(ConvPlan<T>& p) {
    const std::ptrdiff_t left = p.shape.left, width = p.shape.width;
    p.passes[0] = {0, -left, width, 0, 1, p.packed};
  }

  static void pack(const ConvPlan<T>& p, const Pass<T>&, std::ptrdiff_t g, std::ptrdiff_t q, T* to) {
    const Panels<T>& panels = p.correlation.panels;
    const std::ptrdiff_t ld = p.inputs() * p.shape.width, first = panels.first(q);
    const int vectors = panels.vectors_of(q), columns = panels.columns_of(q);
    for (int v = 0; v < vectors; ++v) {
      const int left = columns - v * lanes<T>;
      pack_taps(p.weight + (g * p.outputs() + first + v * lanes<T>) * ld, ld, left < lanes<T> ? left : lanes<T>,
                p.inputs(), p.shape.width, to + v * lanes<T>, vectors * lanes<T>);
    }
  }
};

// dx[s] sums dy[t] over t·stride + k·dilation = s + left. A pass is one remainder of s + left by the stride.
template <class T>
struct GradientPacking {
  static std::ptrdiff_t passes(const ConvShape& shape) { return shape.stride; }

  static std::ptrdiff_t step(const ConvShape& shape) {
    return shape.stride / common_divisor(shape.stride, shape.dilation);
  }
  static std::ptrdiff_t remainder(const ConvShape& shape, std::ptrdiff_t first) {
    const std::ptrdiff_t value = (first + shape.left) % shape.stride;
    return value < 0 ? value + shape.stride : value;
  }

  // The first tap of the pass, or K where it has none.
  static std::ptrdiff_t first_tap(const ConvShape& shape, std::ptrdiff_t first) {
    const std::ptrdiff_t wanted = remainder(shape, first);
    std::ptrdiff_t k = 0;
    while (k < shape.width && k * shape.dilation % shape.stride != wanted) ++k;
    return k;
  }

  static void plan(ConvPlan<T>& p) {
    const Correlation<T>& c = p.correlation;
    T* packed = p.packed;
    for (std::ptrdiff_t first = 0; first < p.shape.stride; ++first) {
      const std::ptrdiff_t k = first_tap(p.shape, first);
      const std::ptrdiff_t taps = k == p.shape.width ? 0 : (p.shape.width - 1 - k) / step(p.shape) + 1;
      const std::ptrdiff_t last = k + (taps - 1) * step(p.shape);
      const std::ptrdiff_t origin = taps == 0 ? 0 : (first + p.shape.left - last * p.shape.dilation) / p.shape.stride;
      p.passes[first] = {first, origin, taps, last, -step(p.shape), packed};
      packed += taps * c.depth * c.groups * c.panels.padded();
    }
  }

  static void pack(const ConvPlan<T>& p, const Pass<T>& pass, std::ptrdiff_t g, std::ptrdiff_t q, T* to) {
    const Panels<T>& panels = p.correlation.panels;
    const std::ptrdiff_t ldp = panels.vectors_of(q) * lanes<T>, width = p.shape.width, outputs = p.outputs();
    const int columns = panels.columns_of(q);
    for (std::ptrdiff_t o = 0; o < outputs; ++o) {
      const T* from = p.weight + ((g * outputs + o) * p.inputs() + panels.first(q)) * width;
      for (std::ptrdiff_t j = 0; j < pass.taps; ++j) {
        const std::ptrdiff_t k = pass.number + j * pass.number_step;
        T* const row = to + (j * outputs + o) * ldp;
        for (int n = 0; n < columns; ++n) row[n] = from[n * width + k];
        for (std::ptrdiff_t n = columns; n < ldp; ++n) row[n] = T(0);
      }
    }
  }
};

template <class T, class Packing>
void pack_weights(const ConvPlan<T>& p, int rank, int size) {
  const Correlation<T>& c = p.correlation;
  const std::ptrdiff_t padded = c.panels.padded();
  std::ptrdiff_t piece = 0;
  for (std::ptrdiff_t i = 0; i < c.passes; ++i) {
    const Pass<T>& pass = c.pass[i];
    for (std::ptrdiff_t g = 0; g < c.groups; ++g) {
      for (std::ptrdiff_t q = 0; q < c.panels.count(); ++q) {
        if (piece++ % size != rank) continue;
        const std::ptrdiff_t first = c.panels.first(q);
        if (!c.depthwise) {
          Packing::pack(p, pass, g, q, pass.packed + (g * padded + first) * pass.taps * c.depth);
          continue;
        }
        for (std::ptrdiff_t j = 0; j < pass.taps; ++j) {
          const std::ptrdiff_t k = pass.number + j * pass.number_step;
          T* const row = pass.packed + j * padded + first;
          for (int l = 0; l < lanes<T>; ++l) {
            row[l] = first + l < c.out_channels ? p.weight[(first + l) * p.shape.width + k] : T(0);
          }
        }
      }
    }
  }
  if (rank != 0) return;
  for (std::ptrdiff_t g = 0; g < c.groups; ++g) {
    for (std::ptrdiff_t n = 0; n < padded; ++n) {
      const bool there = p.given_start != nullptr && n < c.panels.columns;
      p.start[g * padded + n] = there ? p.given_start[g * c.panels.columns + n] : T(0);
    }
  }
}

// Gradients of copies of the first and last token come home.
template <class T>
void fold_outside(const Correlation<T>& c, std::int64_t sequences, int rank, int size) {
  const std::ptrdiff_t beyond = c.before + c.after, N = c.out_channels;
  for (std::int64_t b = rank; b < sequences; b += size) {
    if (c.out_offsets[b + 1] == c.out_offsets[b]) continue;
    for (std::ptrdiff_t r = 0; r < beyond; ++r) {
      const T* from = c.outside + (b * beyond + r) * N;
      T* const to = c.out + (r < c.before ? c.out_offsets[b] : c.out_offsets[b + 1] - 1) * N;
      for (std::ptrdiff_t n = 0; n < N; ++n) to[n] += from[n];
    }
  }
}

// Fills the plan's scratch memory and runs it. `p` has everything but packed, start and passes.
template <class T, class Packing>
void run_plan(ConvPlan<T>& p, std::int64_t sequences, int threads) {
  Correlation<T>& c = p.correlation;
  c.passes = Packing::passes(p.shape);
  c.most_taps = p.shape.width;
  const std::ptrdiff_t padded = c.panels.padded();
  std::int64_t* next = nullptr;  // block that nobody has taken yet
  const auto divide = [&](Pieces& pieces) {
    p.packed = pieces.take<T>(p.shape.width * c.depth * c.groups * padded);
    p.start = pieces.take<T>(c.groups * padded);
    p.passes = pieces.take<Pass<T>>(c.passes);
    next = pieces.take<std::int64_t>(1);
    c.outside = pieces.take<T>(sequences * (c.before + c.after) * c.out_channels);
  };
  const DividedScratch scratch(divide);
  Packing::plan(p);
  c.pass = p.passes;
  c.start = p.start;
  *next = 0;
  Barrier barrier;
  auto run = [&](int rank, int size) {
    pack_weights<T, Packing>(p, rank, size);
    barrier.wait(rank, size);
    {
      Correlator<T> correlator(c);
      while (true) {
        const std::int64_t number = __atomic_fetch_add(next, 1, __ATOMIC_RELAXED);
        if (number >= p.blocks.count) break;
        correlator.block(p.blocks, number);
      }
    }
    if (c.before + c.after > 0) {
      barrier.wait(rank, size);
      fold_outside(c, sequences, rank, size);
    }
  };
  parallel(threads, run);
}

inline bool is_depthwise(const ConvShape& shape) {
  return shape.groups > 1 && shape.groups == shape.channels && shape.groups == shape.outputs;
}

template <class T>
void forward_of(const ConvForward& call, const Blocks& blocks) {
  const ConvShape& shape = call.shape;
  ConvPlan<T> p{};
  p.shape = shape;
  p.weight = static_cast<const T*>(call.weight);
  p.given_start = static_cast<const T*>(call.bias);
  p.blocks = blocks;
  Correlation<T>& c = p.correlation;
  c.depthwise = is_depthwise(shape);
  c.groups = c.depthwise ? 1 : shape.groups;
  c.depth = c.depthwise ? 1 : p.inputs();
  c.in_channels = shape.channels;
  c.out_channels = shape.outputs;
  c.panels = channel_panels<T>(shape.outputs / c.groups, c.depthwise);
  c.relu = call.relu;
  c.replicate = shape.replicate;
  c.row_step = shape.stride;
  c.tap_step = shape.dilation;
  c.out_step = 1;
  c.in = static_cast<const T*>(call.x);
  c.out = static_cast<T*>(call.y);
  c.in_offsets = call.batch.offsets;
  c.out_offsets = call.batch.out_offsets;
  run_plan<T, ForwardPacking<T>>(p, call.batch.sequences, call.threads);
}

template <class T>
void input_gradient_of(const ConvInputGradient& call, const Blocks& blocks, std::int64_t before,
                       std::int64_t after) {
  const ConvShape& shape = call.shape;
  ConvPlan<T> p{};
  p.shape = shape;
  p.weight = static_cast<const T*>(call.weight);
  p.given_start = static_cast<const T*>(call.start);
  p.blocks = blocks;
  Correlation<T>& c = p.correlation;
  c.depthwise = is_depthwise(shape);
  c.groups = c.depthwise ? 1 : shape.groups;
  c.depth = c.depthwise ? 1 : p.outputs();
  c.in_channels = shape.outputs;
  c.out_channels = shape.channels;
  c.panels = channel_panels<T>(shape.channels / c.groups, c.depthwise);
  c.row_step = 1;
  c.tap_step = shape.dilation / common_divisor(shape.stride, shape.dilation);
  c.out_step = shape.stride;
  c.in = static_cast<const T*>(call.dy);
  c.out = static_cast<T*>(call.dx);
  c.in_offsets = call.batch.out_offsets;
  c.out_offsets = call.batch.offsets;
  c.before = before;
  c.after = after;
  run_plan<T, GradientPacking<T>>(p, call.batch.sequences, call.threads);
}

}  // namespace throughtime::TT_ISA
