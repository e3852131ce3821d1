// Rows of a table by token, and the gradient of the table.
//
//   y[t] = table[token[t]],   dtable[v] = Σ dy[t] over token[t] = v
//
// Letters: T tokens, V rows of the table, D features. Sums are in the order of tokens, whatever the threads. All
// matrices are row-major; buffers are the caller's, and no two overlap.
#pragma once

#include <cstdint>

namespace throughtime {

struct EmbeddingTokens {
  std::int64_t count;         // T
  const std::int64_t* token;  // (T), from 0 to V − 1
};

struct Embedding {
  bool is_double;  // else float
  EmbeddingTokens tokens;
  std::int64_t features;  // D
  int threads;            // at most so many
  const void* table;      // (V, D)
  void* y;                // (T, D)
};

struct EmbeddingGradient {
  bool is_double;
  EmbeddingTokens tokens;
  std::int64_t rows;  // V
  std::int64_t features;
  std::int64_t padding;  // a token without a gradient; negative for none
  int threads;
  const void* dy;  // (T, D)
  void* dtable;    // (V, D)
};

// Whether all tokens are from 0 to rows − 1.
bool are_within(const EmbeddingTokens& tokens, std::int64_t rows);
void embedding(const Embedding& call);
void embedding_gradient(const EmbeddingGradient& call);

}  // namespace throughtime
