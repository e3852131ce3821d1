// What is known of the outputs of one kernel and dilation for each of its biases, tile by tile.
#pragma once

#include "kernels/rocket/series.h"

namespace throughtime::TT_ISA {

// Outputs of adjacent steps; those behind the last are −∞, which is greater than no bias.
template <int V>
struct Tile {
  Vec<float> c[V];
};

// The proportion of outputs greater than a bias.
class Proportion {
 public:
  explicit Proportion(std::int64_t features)
      : features_(features),
        size_(whole_vectors(features) + lanes<float>),
        scratch_((sizeof(std::int32_t) + sizeof(float)) * static_cast<std::size_t>(size_)) {}

  void clear(std::int64_t features) {
    features_ = features;
    std::memset(counts(), 0, sizeof(std::int32_t) * static_cast<std::size_t>(whole_vectors(features)));
  }

  // Outputs of a kernel, whose first feature is `feature`, with `count` biases.
  template <int V>
  void add(const Tile<V>& tile, std::ptrdiff_t, const float* bias, std::ptrdiff_t feature, std::ptrdiff_t count) {
    std::int32_t* const counts_of = counts() + feature;
    for (std::ptrdiff_t j = 0; j < count; ++j) {
      const Vec<float> bound = broadcast<float>(bias[j]);
      int more = 0;
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) more += count_less<float>(bound, tile.c[v]);
      counts_of[j] += more;
    }
  }

  // That the next features of a kernel are of so many outputs; in the order of kernels.
  void of(std::int64_t outputs, std::ptrdiff_t feature, std::ptrdiff_t count) {
    const Vec<float> divisor = broadcast<float>(static_cast<float>(outputs > 0 ? outputs : 1));
    for (std::ptrdiff_t j = 0; j < count; j += lanes<float>) store(divisors() + feature + j, divisor);
  }

  void write(float* y, std::int64_t) const {
    for (std::ptrdiff_t f = 0; f < features_; f += lanes<float>) {
      IntVec<float> count;
      std::memcpy(&count, counts() + f, sizeof count);
      const Vec<float> proportion = __builtin_convertvector(count, Vec<float>) / load(divisors() + f);
      const std::ptrdiff_t left = features_ - f;
      if (left >= lanes<float>) {
        store(y + f, proportion);
      } else {
        store_part(y + f, proportion, static_cast<int>(left));
      }
    }
  }

 private:
  std::int32_t* counts() const { return static_cast<std::int32_t*>(scratch_.data()); }
  float* divisors() const { return reinterpret_cast<float*>(counts() + size_); }

  std::int64_t features_;
  std::ptrdiff_t size_;
  Scratch scratch_;
};

// All four statistics.
class AllStatistics {
 public:
  explicit AllStatistics(std::int64_t features) : features_(features), scratch_(sizeof(State) * size(features)) {}

  void clear(std::int64_t features) {
    features_ = features;
    std::memset(states(), 0, sizeof(State) * size(features));
  }

  template <int V>
  void add(const Tile<V>& tile, std::ptrdiff_t first, const float* bias, std::ptrdiff_t feature, std::ptrdiff_t count) {
    for (std::ptrdiff_t j = 0; j < count; ++j) {
      State& state = states()[feature + j];
      const Vec<float> bound = broadcast<float>(bias[j]);
      Vec<float> sum{};
      std::uint64_t words[words_of<V>] = {};
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        words[v * lanes<float> / 64] |= static_cast<std::uint64_t>(greater(tile.c[v], bound)) << v * lanes<float> % 64;
        sum += tile.c[v] > bound ? tile.c[v] - bound : Vec<float>{};
      }
      state.sum += static_cast<double>(sum_of(sum));
#pragma GCC unroll 4
      for (int w = 0; w < words_of<V>; ++w) {
        state.add(words[w], first + 64 * w, w + 1 < words_of<V> ? 64 : V * lanes<float> - 64 * w);
      }
    }
  }

  void of(std::int64_t outputs, std::ptrdiff_t feature, std::ptrdiff_t count) {
    for (std::ptrdiff_t j = 0; j < count; ++j) states()[feature + j].outputs = outputs > 0 ? outputs : 1;
  }

  // Each statistic `columns` behind the one before.
  void write(float* y, std::int64_t columns) const {
    for (std::int64_t f = 0; f < features_; ++f) {
      const State& state = states()[f];
      const double positive = static_cast<double>(state.positive);
      y[f] = static_cast<float>(state.positive) / static_cast<float>(state.outputs);
      y[f + columns] = state.positive == 0 ? 0.0f : static_cast<float>(state.sum / positive);
      y[f + 2 * columns] = state.positive == 0 ? -1.0f : static_cast<float>(static_cast<double>(state.numbers) / positive);
      y[f + 3 * columns] = static_cast<float>(state.longest);
    }
  }

 private:
  template <int V>
  static constexpr int words_of = (V * lanes<float> + 63) / 64;

  static std::size_t size(std::int64_t features) { return static_cast<std::size_t>(features); }

  // One bit for each lane.
  static unsigned greater(Vec<float> a, Vec<float> b) {
#if defined(__AVX512F__)
    return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ);
#elif defined(__AVX2__)
    return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_GT_OQ)));
#else
    const IntVec<float> is_greater = a > b;
    unsigned bits = 0;
    for (int l = 0; l < lanes<float>; ++l) bits |= is_greater[l] != 0 ? 1u << l : 0u;
    return bits;
#endif
  }

  // The sum of all lanes, in pairs. (`total` of simd.h makes GCC 12 warn of a value in its own header.)
  template <class Part>
  static float sum_of(const Part& x) {
    if constexpr (sizeof x == 2 * sizeof(float)) {
      return x[0] + x[1];
    } else {
      typedef float Half __attribute__((vector_size(sizeof x / 2)));
      Half low, high;
      std::memcpy(&low, &x, sizeof low);
      std::memcpy(&high, reinterpret_cast<const char*>(&x) + sizeof low, sizeof high);
      return sum_of(low + high);
    }
  }

  static int ones(std::uint64_t word) { return __builtin_popcountll(word); }

  // The sum of the numbers of the bits that are set.
  static int sum_of_numbers(std::uint64_t word) {
    return ones(word & 0xAAAAAAAAAAAAAAAA) + 2 * ones(word & 0xCCCCCCCCCCCCCCCC) + 4 * ones(word & 0xF0F0F0F0F0F0F0F0) +
           8 * ones(word & 0xFF00FF00FF00FF00) + 16 * ones(word & 0xFFFF0000FFFF0000) +
           32 * ones(word & 0xFFFFFFFF00000000);
  }

  // Whether so many adjacent bits are set, 1 to 64.
  static bool has_stretch(std::uint64_t word, std::int64_t count) {
    for (std::int64_t known = 1; known < count;) {
      const std::int64_t more = known < count - known ? known : count - known;
      word &= word >> more;
      known += more;
    }
    return word != 0;
  }

  struct State {
    double sum;
    std::int64_t outputs, positive, numbers, stretch, longest;  // stretch: the one that ends at the last step

    // Bits of steps first … first + count − 1; the others are 0.
    void add(std::uint64_t word, std::int64_t first, int count) {
      positive += ones(word);
      numbers += first * ones(word) + sum_of_numbers(word);
      const std::uint64_t others = ~word;
      const int leading = others == 0 ? 64 : __builtin_ctzll(others);
      stretch += leading < count ? leading : count;
      if (stretch > longest) longest = stretch;
      if (leading >= count) return;
      while (longest < 64 && has_stretch(word, longest + 1)) ++longest;
      stretch = __builtin_clzll(others << (64 - count));
    }
  };

  State* states() const { return static_cast<State*>(scratch_.data()); }

  std::int64_t features_;
  Scratch scratch_;
};

}  // namespace throughtime::TT_ISA
