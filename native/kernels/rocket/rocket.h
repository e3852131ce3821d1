// Features of MiniRocket and MultiRocket (Dempster et al. 2021; Tan et al. 2022) of sequences of any length.
//
// Kernel k of the 84 has nine weights: 2 at the taps i < j < l, k-th in lexicographic order, else −1. With dilation d,
// and zeros beyond the ends of a sequence, its output at step t is the sum over the channels that it reads of
//
//   c[t] = ((a[t] + 3 x[t + (i − 4) d]) + 3 x[t + (j − 4) d]) + 3 x[t + (l − 4) d],   a[t] = −Σ_g x[t + (g − 4) d]
//
// where a adds the middle tap first, then the others from left to right. The outputs that count are those of all steps
// for an even g + k, g being the number of the dilation, and else those that read no step beyond the ends; of a sequence
// of fewer than 16 d steps, less than half would be left, and all of its outputs count. The statistics of a bias b, of
// the n outputs c:
//
//   PPV   the proportion of c > b; 0 of no outputs
//   MPV   the mean of c − b over the outputs with c > b, 0 if there are none
//   MIPV  the mean number of these outputs, counted from 0; −1 if there are none
//   LSPV  the length of the longest stretch of them
//
// Features are in the order statistic, dilation, kernel, bias. Each sequence has the same bits alone and in any batch,
// with any number of threads; PPV, MIPV and LSPV with any instruction set, too.
#pragma once

#include <cstdint>

namespace throughtime {

inline constexpr int rocket_kernels = 84;
inline constexpr int rocket_taps = 9;
inline constexpr int rocket_statistics = 4;

struct Rocket {
  std::int64_t sequences;
  const std::int64_t* offsets;    // (sequences + 1)
  std::int64_t channels;          // C, at least 1
  bool differences;               // whether the series are x[t + 1] − x[t], one step shorter, in place of x
  bool all_statistics;            // PPV, MPV, MIPV, LSPV; else PPV alone
  std::int64_t dilations;         // G
  const std::int64_t* dilation;   // (G), each at least 1
  const std::int64_t* first;      // (G + 1): kernels have biases first[g] … first[g + 1] − 1 with dilation g
  const float* bias;              // (84 first[G]): by dilation, kernel and number
  std::int64_t most_read;         // M, at least 1
  const std::int64_t* read;       // (G · 84, M): the channels that a kernel reads, then −1
  int threads;                    // at most so many
  const float* x;                 // (T, C)
  std::int64_t row;               // numbers from a row of y to the next, at least its 84 first[G] columns, or 4 times those
  float* y;                       // (sequences, row)
};

void rocket(const Rocket& call);

}  // namespace throughtime
