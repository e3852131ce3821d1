// The largest value of each window, the index of its tap, and its gradient.
#pragma once

#include "kernels/pool/index.h"
#include "kernels/pool/windows.h"

namespace throughtime::TT_ISA {

// Takes what is found at tap k where it is larger, or the first NaN.
template <class T>
inline void take_larger(Vec<T>& best, IntVec<T>& tap, Vec<T> found, IntVec<T> k) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    const __mmask16 number = _mm512_cmp_ps_mask((__m512)best, (__m512)best, _CMP_ORD_Q);
    const __mmask16 larger = _mm512_mask_cmp_ps_mask(number, (__m512)found, (__m512)best, _CMP_NLE_UQ);
    best = (Vec<T>)_mm512_mask_mov_ps((__m512)best, larger, (__m512)found);
    tap = (IntVec<T>)_mm512_mask_mov_epi32((__m512i)tap, larger, (__m512i)k);
  } else {
    const __mmask8 number = _mm512_cmp_pd_mask((__m512d)best, (__m512d)best, _CMP_ORD_Q);
    const __mmask8 larger = _mm512_mask_cmp_pd_mask(number, (__m512d)found, (__m512d)best, _CMP_NLE_UQ);
    best = (Vec<T>)_mm512_mask_mov_pd((__m512d)best, larger, (__m512d)found);
    tap = (IntVec<T>)_mm512_mask_mov_epi64((__m512i)tap, larger, (__m512i)k);
  }
#else
  const IntVec<T> larger = ~(found <= best) & (best == best);
  best = larger ? found : best;
  tap = larger ? k : tap;
#endif
}

// Adds x where the largest was at tap k.
template <class T>
inline Vec<T> add_where(Vec<T> sum, Vec<T> x, IntVec<T> tap, IntVec<T> k) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    const __mmask16 here = _mm512_cmpeq_epi32_mask((__m512i)tap, (__m512i)k);
    return (Vec<T>)_mm512_mask_add_ps((__m512)sum, here, (__m512)sum, (__m512)x);
  } else {
    const __mmask8 here = _mm512_cmpeq_epi64_mask((__m512i)tap, (__m512i)k);
    return (Vec<T>)_mm512_mask_add_pd((__m512d)sum, here, (__m512d)sum, (__m512d)x);
  }
#else
  return tap == k ? sum + x : sum;
#endif
}

template <class T, class I>
void max_of(const PoolMax& call, bool by_features) {
  const PoolBatch& batch = call.batch;
  const std::ptrdiff_t features = call.shape.features, step = call.shape.dilation * features;
  each_part<T>(call.threads, by_features, batch, batch.out_offsets, features, [&](const Part& part) {
    const PoolShape shape = call.shape;  // a copy: what a store of a vector cannot reach stays in registers
    const std::int64_t begin = batch.offsets[part.number], length = batch.offsets[part.number + 1] - begin;
    for (std::int64_t t = part.rows.begin; t < part.rows.end; ++t) {
      const std::int64_t first = t * shape.stride - shape.left;
      const Range taps = taps_within(shape, first, 0, length);
      const std::ptrdiff_t out = (batch.out_offsets[part.number] + t) * features;
      T* const y = static_cast<T*>(call.y) + out;
      I* const index = call.index == nullptr ? nullptr : static_cast<I*>(call.index) + out;
      const std::int64_t row = taps.count() == 0 ? 0 : begin + first + taps.begin * shape.dilation;
      const T* const seen = static_cast<const T*>(call.x) + row * features;
      each_tile<T>(part.features.begin, part.features.end, [&](std::ptrdiff_t c, auto tile) {
        constexpr int N = decltype(tile)::vectors;
        Vec<T> best[N];
        IntVec<T> tap[N];
        const bool some = taps.count() > 0;
        for (int i = 0; i < N; ++i) {
          best[i] = some ? tile.load(seen + c, i) : broadcast<T>(static_cast<T>(call.nothing));
          tap[i] = broadcast_index<T>(some ? taps.begin : -1);
        }
        const T* at = seen + c;
        for (std::int64_t k = taps.begin + 1; k < taps.end; ++k) {
          at += step;
          const IntVec<T> here = broadcast_index<T>(k);
          for (int i = 0; i < N; ++i) take_larger<T>(best[i], tap[i], tile.load(at, i), here);
        }
        for (int i = 0; i < N; ++i) tile.store(y + c, i, best[i]);
        if (index == nullptr) return;
        for (int i = 0; i < N; ++i) store_index_of<T>(tile, index + c, i, tap[i]);
      });
    }
  });
}

// Every row of dx is gathered from the windows that see it, and written once.
template <class T, class I>
void max_gradient_of(const PoolMaxGradient& call) {
  const PoolShape& shape = call.shape;
  const PoolBatch& batch = call.batch;
  const std::ptrdiff_t features = shape.features;
  each_part<T>(call.threads, false, batch, batch.offsets, features, [&](const Part& part) {
    const std::int64_t out = batch.out_offsets[part.number], windows = batch.out_offsets[part.number + 1] - out;
    const std::int64_t length = batch.offsets[part.number + 1] - batch.offsets[part.number];
    Seeing seeing(shape, windows, part.rows.begin);
    const T* const dy = static_cast<const T*>(call.dy) + out * features;
    const I* const index = static_cast<const I*>(call.index) + out * features;
    T* dx = static_cast<T*>(call.dx) + (batch.offsets[part.number] + part.rows.begin) * features;
    if (is_whole(shape, length, windows)) {
      each_tile<T>(part.features.begin, part.features.end, [&](std::ptrdiff_t c, auto tile) {
        constexpr int N = decltype(tile)::vectors;
        Vec<T> given[N];
        IntVec<T> tap[N];
        for (int i = 0; i < N; ++i) {
          given[i] = tile.load(dy + c, i);
          tap[i] = load_index_of<T>(tile, index + c, i);
        }
        T* to = dx + c;
        for (std::int64_t s = part.rows.begin; s < part.rows.end; ++s, to += features) {
          const IntVec<T> here = broadcast_index<T>(s);
          for (int i = 0; i < N; ++i) tile.store(to, i, add_where<T>(Vec<T>{}, given[i], tap[i], here));
        }
      });
      return;
    }
    for (std::int64_t s = part.rows.begin; s < part.rows.end; ++s, seeing.next(), dx += features) {
      each_tile<T>(part.features.begin, part.features.end, [&](std::ptrdiff_t c, auto tile) {
        constexpr int N = decltype(tile)::vectors;
        Vec<T> sum[N] = {};
        seeing.each([&](std::int64_t t, std::int64_t k) {
          const IntVec<T> here = broadcast_index<T>(k);
          const std::ptrdiff_t at = t * features + c;
          for (int i = 0; i < N; ++i) {
            sum[i] = add_where<T>(sum[i], tile.load(dy + at, i), load_index_of<T>(tile, index + at, i), here);
          }
        });
        for (int i = 0; i < N; ++i) tile.store(dx + c, i, sum[i]);
      });
    }
  });
}

}  // namespace throughtime::TT_ISA
