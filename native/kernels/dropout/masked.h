// Values of kept positions, scaled; zeros elsewhere.
#pragma once

#include "kernels/dropout/dropout.h"
#include "kernels/dropout/philox.h"
#include "kernels/parallel.h"

namespace throughtime::TT_ISA {

template <class T>
struct WordsOf {
  typedef std::uint32_t Type __attribute__((vector_size(4 * lanes<T>)));
};

// In which lanes the word is at least the threshold.
template <class T>
IntVec<T> kept(const std::uint32_t* word, std::uint32_t threshold) {
  typename WordsOf<T>::Type words;
  std::memcpy(&words, word, sizeof words);
  if constexpr (sizeof(T) == 4) {
    return (IntVec<T>)(words >= threshold);
  } else {
    return (IntVec<T>)(__builtin_convertvector(words, Wide) >= static_cast<std::uint64_t>(threshold));
  }
}

template <class T>
void mask_block(const Block& block, std::uint32_t threshold, T scale, const T* x, T* y) {
  const Vec<T> factor = broadcast<T>(scale);
#pragma GCC unroll 32
  for (int i = 0; i < block_words; i += lanes<T>) {
    store(y + i, (Vec<T>)((IntVec<T>)(load(x + i) * factor) & kept<T>(block.word + i, threshold)));
  }
}

// Positions first … first + count − 1, which lie in one block.
template <class T>
void mask_part(const Block& block, const Dropout& call, std::int64_t first, std::int64_t count, const T* x, T* y) {
  const std::uint32_t* const word = block.word + first % block_words;
  for (std::int64_t i = 0; i < count; ++i) {
    y[i] = word[i] >= call.threshold ? x[i] * static_cast<T>(call.scale) : T(0);
  }
}

template <class T>
void dropout_of(const Dropout& call) {
  const Philox philox(call.seed);
  const T* const x = static_cast<const T*>(call.x);
  T* const y = static_cast<T*>(call.y);
  const std::int64_t last = call.first + call.count, begin = call.first / block_words,
                     blocks = (last + block_words - 1) / block_words - begin;
  auto run = [&](int rank, int size) {
    for (std::int64_t b = begin + blocks * rank / size; b < begin + blocks * (rank + 1) / size; ++b) {
      const Block block(philox, b);
      std::int64_t low = b * block_words, high = low + block_words;
      if (low >= call.first && high <= last) {
        mask_block(block, call.threshold, static_cast<T>(call.scale), x + (low - call.first), y + (low - call.first));
        continue;
      }
      low = low < call.first ? call.first : low;
      high = high > last ? last : high;
      mask_part(block, call, low, high - low, x + (low - call.first), y + (low - call.first));
    }
  };
  parallel(call.threads, run);
}

}  // namespace throughtime::TT_ISA
