// Features of all sequences and dilations.
#pragma once

#include "kernels/parallel.h"
#include "kernels/range.h"
#include "kernels/rocket/kernels.h"
#include "kernels/rocket/statistics.h"

namespace throughtime::TT_ISA {

// Kernels of one dilation on one series.
template <class Statistics>
class OneDilation {
 public:
  OneDilation(const Rocket& call, std::int64_t number, const Series& series, Statistics& statistics)
      : series_(series),
        statistics_(statistics),
        number_(number),
        biases_(call.first[number + 1] - call.first[number]),
        bias_(call.bias + rocket_kernels * call.first[number]),
        most_read_(call.most_read),
        read_(call.read + number * rocket_kernels * call.most_read) {}

  void run() {
    const std::int64_t steps = series_.steps();
    const std::int64_t border = steps >= 16 * series_.dilation() ? 4 * series_.dilation() : 0;
    each_tile({0, steps}, number_ % 2);
    each_tile({border, steps - border}, 1 - number_ % 2);
    for (int k = 0; k < rocket_kernels; ++k) statistics_.of(outputs_[k % 2], k * biases_, biases_);
  }

 private:
  // The outputs of these steps, of every second kernel from `kernel` on.
  void each_tile(Range steps, std::int64_t kernel) {
    outputs_[kernel] = steps.count();
    for (std::int64_t t = 0; t < steps.count(); t += most_vectors * lanes<float>) {
      tile_of<most_vectors>(steps.begin, t, steps.count() - t, kernel);
    }
  }

  // Chooses as few vectors as the outputs need, `most` at most.
  template <int V>
  void tile_of(std::ptrdiff_t begin, std::ptrdiff_t t, std::ptrdiff_t left, std::int64_t kernel) {
    if constexpr (V > 1) {
      if (left <= (V - 1) * lanes<float>) return tile_of<V - 1>(begin, t, left, kernel);
    }
    const Outside outside(left - (V - 1) * lanes<float>);
    if (series_.channels() == 1) {
      of_one_channel<V>(begin, t, outside, kernel);
    } else {
      of_channels<V>(begin, t, outside, kernel);
    }
  }

  // Replaces the lanes of a last vector from `count` on.
  struct Outside {
    IntVec<float> inside;
    explicit Outside(std::ptrdiff_t count) {
      for (int l = 0; l < lanes<float>; ++l) inside[l] = l < count ? -1 : 0;
    }
    Vec<float> operator()(Vec<float> c) const {
      return inside ? c : broadcast<float>(-__builtin_inff());
    }
  };

  template <int V>
  void of_one_channel(std::ptrdiff_t begin, std::ptrdiff_t t, const Outside& outside, std::int64_t parity) {
    const std::ptrdiff_t step = begin + t;
    int kernel = 0;
    for (int i = 0; i < rocket_taps - 2; ++i) {
      Tile<V> first;
      for (int v = 0; v < V; ++v) {
        first.c[v] = series_.sum(0, step + v * lanes<float>) + series_.tap(0, i, step + v * lanes<float>);
      }
      for (int j = i + 1; j < rocket_taps - 1; ++j) {
        Tile<V> second;
        for (int v = 0; v < V; ++v) second.c[v] = first.c[v] + series_.tap(0, j, step + v * lanes<float>);
        for (int l = j + 1; l < rocket_taps; ++l, ++kernel) {
          if (kernel % 2 != parity) continue;
          Tile<V> tile;
          for (int v = 0; v < V; ++v) tile.c[v] = second.c[v] + series_.tap(0, l, step + v * lanes<float>);
          add<V>(tile, t, outside, kernel);
        }
      }
    }
  }

  template <int V>
  void of_channels(std::ptrdiff_t begin, std::ptrdiff_t t, const Outside& outside, std::int64_t parity) {
    int kernel = 0;
    for (int i = 0; i < rocket_taps - 2; ++i) {
      for (int j = i + 1; j < rocket_taps - 1; ++j) {
        for (int l = j + 1; l < rocket_taps; ++l, ++kernel) {
          if (kernel % 2 != parity) continue;
          Tile<V> tile = of_channel<V>(begin + t, channel(kernel, 0), i, j, l);
          for (std::int64_t m = 1; m < most_read_ && channel(kernel, m) >= 0; ++m) {
            const Tile<V> more = of_channel<V>(begin + t, channel(kernel, m), i, j, l);
            for (int v = 0; v < V; ++v) tile.c[v] += more.c[v];
          }
          add<V>(tile, t, outside, kernel);
        }
      }
    }
  }

  template <int V>
  Tile<V> of_channel(std::ptrdiff_t step, std::int64_t channel, int i, int j, int l) const {
    Tile<V> tile;
    for (int v = 0; v < V; ++v, step += lanes<float>) {
      tile.c[v] = series_.sum(channel, step) + series_.tap(channel, i, step);
      tile.c[v] += series_.tap(channel, j, step);
      tile.c[v] += series_.tap(channel, l, step);
    }
    return tile;
  }

  template <int V>
  void add(Tile<V>& tile, std::ptrdiff_t t, const Outside& outside, int kernel) {
    tile.c[V - 1] = outside(tile.c[V - 1]);
    statistics_.add(tile, t, bias_ + kernel * biases_, kernel * biases_, biases_);
  }

  std::int64_t channel(int kernel, std::int64_t m) const { return read_[kernel * most_read_ + m]; }

  const Series& series_;
  Statistics& statistics_;
  const std::int64_t number_;
  const std::ptrdiff_t biases_;
  const float* const bias_;
  const std::int64_t most_read_;
  const std::int64_t* const read_;
  std::int64_t outputs_[2] = {0, 0};
};

// Threads take a dilation of a sequence each, as they come to it.
template <class Statistics>
void rocket_of(const Rocket& call, const RocketMost& most) {
  const std::int64_t columns = rocket_kernels * call.first[call.dilations];
  std::int64_t next = 0;
  auto run = [&](int, int) {
    Series series(call.channels, most.steps, most.dilation);
    Statistics statistics(rocket_kernels * most.biases);
    for (;;) {
      const std::int64_t part = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);
      if (part >= call.sequences * call.dilations) return;
      const std::int64_t b = part / call.dilations, g = part % call.dilations;
      const std::int64_t length = call.offsets[b + 1] - call.offsets[b] - (call.differences ? 1 : 0);
      series.fill(call.x + call.offsets[b] * call.channels, length > 0 ? length : 0, call.dilation[g],
                  call.differences);
      statistics.clear(rocket_kernels * (call.first[g + 1] - call.first[g]));
      OneDilation<Statistics>(call, g, series, statistics).run();
      statistics.write(call.y + b * call.row + rocket_kernels * call.first[g], columns);
    }
  };
  parallel(call.threads, run);
}

}  // namespace throughtime::TT_ISA
