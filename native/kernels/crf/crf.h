// The forward and the Viterbi algorithm of linear-chain CRFs over a batch of concatenated sequences.
//
//   forward:  r_0 = x_0 + start,  r_t[j] = x_t[j] + log Σ_i exp(a_i + A[i, j]),  a = r_{t−1} − max r_{t−1}
//   Viterbi:  the same with max_i in place of log Σ_i exp
//
// Letters: B sequences, T tokens, C ≥ 1 tags. All matrices are row-major. Every buffer is the caller's: the callee keeps
// no address. No two overlap. The result of a sequence depends on no other one and on no number of threads.
#pragma once

#include <cstdint>

namespace throughtime {

struct CrfChain {
  bool is_double;               // else float: T below
  std::int64_t tags;            // C
  std::int64_t sequences;       // B
  const std::int64_t* offsets;  // B + 1: where the tokens of x begin and end, 0 first, T last
  int threads;                  // at most so many
  const void* x;                // (T, C) emissions
  const void* transitions;      // (C, C) A, from the row to the column
  const void* start;            // (C,)
};

struct CrfForward {
  CrfChain chain;
  bool reverse;  // t runs from the last token to the first
  void* r;       // (T, C)
};

// Of equal scores the last tag is the lowest, then the one before it, and so on.
struct CrfBest {
  CrfChain chain;
  const void* end;     // (C,)
  std::int64_t* best;  // (T,) tags
};

void crf_forward(const CrfForward& call);
void crf_best(const CrfBest& call);

}  // namespace throughtime
