// One series between zeros, as the kernels of one dilation read it.
#pragma once

#include "kernels/rocket/rocket.h"
#include "kernels/scratch.h"
#include "kernels/simd.h"

namespace throughtime::TT_ISA {

// Vectors of outputs that are computed together: those of a kernel, of the two sums it shares with others, and a bias
// fit into the registers.
inline constexpr int most_vectors = many_registers ? 8 : 4;

inline std::ptrdiff_t whole_vectors(std::ptrdiff_t count) {
  return (count + lanes<float> - 1) / lanes<float> * lanes<float>;
}

class Series {
 public:
  Series(std::int64_t channels, std::int64_t steps, std::int64_t dilation)
      : channels_(channels),
        stride_(size_of(steps, dilation)),
        scratch_(sizeof(float) * static_cast<std::size_t>(2 * channels * stride_)) {}

  // x is that of the first step of `steps + differences`, each of `channels` values.
  void fill(const float* x, std::int64_t steps, std::int64_t dilation, bool differences) {
    steps_ = steps;
    dilation_ = dilation;
    const std::ptrdiff_t size = size_of(steps, dilation);
    for (std::int64_t c = 0; c < channels_; ++c) {
      float* const row = between_zeros(c);
      std::memset(row, 0, sizeof(float) * static_cast<std::size_t>(size));
      float* const inner = row + 4 * dilation;
      for (std::int64_t t = 0; t < steps; ++t) {
        const float* const at = x + t * channels_ + c;
        inner[t] = differences ? at[channels_] - at[0] : at[0];
      }
      negate(row, sums(c));
      for (std::ptrdiff_t i = 0; i < size; i += lanes<float>) store(row + i, load(row + i) * 3.0f);
    }
  }

  std::int64_t steps() const { return steps_; }
  std::int64_t dilation() const { return dilation_; }
  std::int64_t channels() const { return channels_; }

  // 3 x at a tap of the output of step t.
  Vec<float> tap(std::int64_t channel, int number, std::ptrdiff_t t) const {
    return load(data() + channel * stride_ + number * dilation_ + t);
  }

  // a of step t.
  Vec<float> sum(std::int64_t channel, std::ptrdiff_t t) const {
    return load(data() + (channels_ + channel) * stride_ + t);
  }

 private:
  // A vector that begins at the last step reads beyond the zeros.
  static std::ptrdiff_t size_of(std::int64_t steps, std::int64_t dilation) {
    return whole_vectors(steps + 8 * dilation) + lanes<float>;
  }

  float* data() const { return static_cast<float*>(scratch_.data()); }
  float* between_zeros(std::int64_t channel) { return data() + channel * stride_; }
  float* sums(std::int64_t channel) { return data() + (channels_ + channel) * stride_; }

  void negate(const float* row, float* sum) const {
    const std::ptrdiff_t d = dilation_;
    for (std::ptrdiff_t t = 0; t < steps_; t += lanes<float>) {
      Vec<float> total = load(row + t + 4 * d);
      for (int tap = 0; tap < rocket_taps; ++tap) {
        if (tap != 4) total += load(row + t + tap * d);
      }
      store(sum + t, -total);
    }
  }

  std::int64_t channels_;
  std::ptrdiff_t stride_;
  Scratch scratch_;
  std::int64_t steps_ = 0, dilation_ = 1;
};

}  // namespace throughtime::TT_ISA
