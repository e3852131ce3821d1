// The counter-based generator Philox4x32-10 of Salmon et al. (2011), many counters at a time.
#pragma once

#include <cstdint>

#include "kernels/simd.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace throughtime::TT_ISA {

typedef std::uint64_t Wide __attribute__((vector_size(vector_bytes)));

inline constexpr int wide_lanes = vector_bytes / 8;

// The product of the lower 32 bits of each lane.
inline Wide multiply_lower(Wide a, Wide b) {
#if defined(__AVX512F__)
  // The plain form makes GCC 12 warn of a value in its own header.
  return (Wide)_mm512_maskz_mul_epu32(0xff, (__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return (Wide)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
  return (Wide)_mm_mul_epu32((__m128i)a, (__m128i)b);
#elif defined(__ARM_NEON)
  return (Wide)vmull_u32(vmovn_u64((uint64x2_t)a), vmovn_u64((uint64x2_t)b));
#else
  const Wide lower = Wide{} + 0xffffffffu;
  return (a & lower) * (b & lower);
#endif
}

// The four words of as many counters as a vector has lanes, each in the lower half of its lane. What the upper halves
// hold never reaches the lower ones.
struct Philox {
  static constexpr int rounds = 10;
  Wide key0[rounds], key1[rounds];

  explicit Philox(std::uint64_t seed) {
    std::uint32_t low = static_cast<std::uint32_t>(seed), high = static_cast<std::uint32_t>(seed >> 32);
    for (int r = 0; r < rounds; ++r) {
      key0[r] = Wide{} + low;
      key1[r] = Wide{} + high;
      low += 0x9E3779B9u;
      high += 0xBB67AE85u;
    }
  }

  void operator()(Wide counter, Wide word[4]) const {
    const Wide multiplier0 = Wide{} + 0xD2511F53u, multiplier1 = Wide{} + 0xCD9E8D57u;
    Wide c0 = counter, c1 = counter >> 32, c2{}, c3{};
#pragma GCC unroll 10
    for (int r = 0; r < rounds; ++r) {
      const Wide product0 = multiply_lower(c0, multiplier0), product1 = multiply_lower(c2, multiplier1);
      c0 = (product1 >> 32) ^ c1 ^ key0[r];
      c1 = product1;
      c2 = (product0 >> 32) ^ c3 ^ key1[r];
      c3 = product0;
    }
    word[0] = c0;
    word[1] = c1;
    word[2] = c2;
    word[3] = c3;
  }
};

// Words of one block: counters 16 b … 16 b + 15, first the first word of each, then the second of each, and so on.
inline constexpr int block_counters = 16;
inline constexpr int block_words = 4 * block_counters;

struct Block {
  alignas(64) std::uint32_t word[block_words];

  Block(const Philox& philox, std::int64_t number) {
    Wide steps;
    for (int l = 0; l < wide_lanes; ++l) steps[l] = static_cast<std::uint64_t>(2 * l);
    const Wide lower = Wide{} + 0xffffffffu;
#pragma GCC unroll 4
    for (int begin = 0; begin < block_counters; begin += 2 * wide_lanes) {
      const Wide counters = steps + static_cast<std::uint64_t>(number * block_counters + begin);
      Wide even[4], odd[4];
      philox(counters, even);
      philox(counters + 1, odd);
      for (int w = 0; w < 4; ++w) {
        const Wide words = (even[w] & lower) | (odd[w] << 32);
        std::memcpy(word + w * block_counters + begin, &words, sizeof words);
      }
    }
  }
};

}  // namespace throughtime::TT_ISA
