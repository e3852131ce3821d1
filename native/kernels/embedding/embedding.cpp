#include "kernels/embedding/embedding.h"

#include <algorithm>
#include <cstring>

#include "kernels/parallel.h"

namespace throughtime {
namespace {

constexpr std::int64_t line = 64;

// Operations that take as long as moving a value between memory and the caches.
constexpr double operations_of_a_value = 4;

std::int64_t bytes_of_a_value(bool is_double) { return is_double ? 8 : 4; }

int useful_threads(int threads, std::int64_t rows, std::int64_t features) {
  return worthwhile_threads(operations_of_a_value * static_cast<double>(rows) * static_cast<double>(features), threads);
}

// Adds features begin … end − 1 of each dy to its row.
template <class T>
void add_rows(const EmbeddingGradient& call, std::int64_t begin, std::int64_t end) {
  const T* from = static_cast<const T*>(call.dy);
  for (std::int64_t t = 0; t < call.tokens.count; ++t, from += call.features) {
    const std::int64_t token = call.tokens.token[t];
    if (token == call.padding) continue;
    T* const to = static_cast<T*>(call.dtable) + token * call.features;
    for (std::int64_t d = begin; d < end; ++d) to[d] += from[d];
  }
}

}  // namespace

bool are_within(const EmbeddingTokens& tokens, std::int64_t rows) {
  bool within = true;
  for (std::int64_t t = 0; t < tokens.count; ++t) {
    within &= static_cast<std::uint64_t>(tokens.token[t]) < static_cast<std::uint64_t>(rows);
  }
  return within;
}

void embedding(const Embedding& call) {
  const std::int64_t bytes = call.features * bytes_of_a_value(call.is_double);
  if (bytes == 0) return;
  auto run = [&](int rank, int size) {
    for (std::int64_t t = call.tokens.count * rank / size; t < call.tokens.count * (rank + 1) / size; ++t) {
      std::memcpy(static_cast<char*>(call.y) + t * bytes,
                  static_cast<const char*>(call.table) + call.tokens.token[t] * bytes, static_cast<std::size_t>(bytes));
    }
  };
  parallel(useful_threads(call.threads, call.tokens.count, call.features), run);
}

void embedding_gradient(const EmbeddingGradient& call) {
  const std::int64_t bytes = bytes_of_a_value(call.is_double), whole = call.rows * call.features * bytes;
  if (whole == 0) return;
  // A thread adds some features of every token, whole cache lines of them.
  const std::int64_t step = line / bytes, steps = (call.features + step - 1) / step;
  Barrier barrier;
  auto run = [&](int rank, int size) {
    const std::int64_t first = whole * rank / size, last = whole * (rank + 1) / size;
    std::memset(static_cast<char*>(call.dtable) + first, 0, static_cast<std::size_t>(last - first));
    barrier.wait(rank, size);
    const std::int64_t begin = steps * rank / size * step;
    const std::int64_t end = std::min(steps * (rank + 1) / size * step, call.features);
    call.is_double ? add_rows<double>(call, begin, end) : add_rows<float>(call, begin, end);
  };
  parallel(useful_threads(call.threads, call.rows + call.tokens.count, call.features), run);
}

}  // namespace throughtime
