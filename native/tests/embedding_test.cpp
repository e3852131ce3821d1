// Tests the embedding kernels without Python, for the sanitizers: rows and the gradient of a table against plain
// loops, whose sums have the same order and so the same bits. They are compiled once, for all instruction sets.
//
// `embedding_test N` runs N problems, prints "N passed, N failed" and exits with 1 if any failed.
#include "kernels/embedding/embedding.h"
#include "problems.h"

namespace {

template <class T>
bool right(unsigned number) {
  Random random(number);
  const bool large = number % 5 == 0;  // so that threads share the work
  const Index rows = random.number(1, large ? 4000 : 30), features = random.number(0, large ? 200 : 40);
  const Index count = random.number(0, large ? 3000 : 60), padding = random.number(-1, rows - 1);
  const int threads = static_cast<int>(random.number(1, 4));
  std::vector<Index> token(static_cast<std::size_t>(count));
  for (Index& one : token) one = random.number(0, rows - 1);
  std::vector<T> table = as<T>(random.values(rows * features)), dy = as<T>(random.values(count * features));
  std::vector<T> y(dy.size()), dtable(table.size()), expected(table.size());
  const throughtime::EmbeddingTokens tokens{count, address(token)};
  if (!throughtime::are_within(tokens, rows)) return false;
  throughtime::embedding({sizeof(T) == 8, tokens, features, threads, address(table), address(y)});
  throughtime::embedding_gradient(
      {sizeof(T) == 8, tokens, rows, features, padding, threads, address(dy), address(dtable)});
  bool same = true;
  for (Index t = 0; t < count; ++t) {
    const Index row = token[static_cast<std::size_t>(t)];
    for (Index d = 0; d < features; ++d) {
      const std::size_t from = static_cast<std::size_t>(t * features + d);
      const std::size_t to = static_cast<std::size_t>(row * features + d);
      same &= y[from] == table[to];
      if (row != padding) expected[to] += dy[from];
    }
  }
  same &= dtable == expected;
  if (count > 0) {
    token.back() = number % 2 == 0 ? rows : -1;
    same &= !throughtime::are_within(tokens, rows);
  }
  if (!same) std::printf("problem %u fails: V %d, D %d, T %d, threads %d\n", number, static_cast<int>(rows),
                         static_cast<int>(features), static_cast<int>(count), threads);
  return same;
}

bool check(unsigned number) { return number % 2 == 0 ? right<double>(number) : right<float>(number); }

}  // namespace

int main(int count, char** arguments) { return run_problems(count, arguments, check); }
