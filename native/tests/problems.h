// Helpers of the kernel tests: random numbers, buffers of exact size, and differences between results.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "kernels/recurrent/kernels.h"
#include "together.h"

using Values = std::vector<double>;
using Index = std::int64_t;

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  Index number(Index from, Index to) { return std::uniform_int_distribution<Index>(from, to)(engine_); }
  // Numbers that a float holds exactly.
  Values values(Index count) {
    Values made(static_cast<std::size_t>(count));
    for (double& one : made) one = static_cast<float>(std::normal_distribution<double>()(engine_));
    return made;
  }

 private:
  std::mt19937 engine_;
};

// Exactly sized copies in T, so that a sanitizer sees the first byte beyond.
template <class T>
std::vector<T> as(const Values& values) {
  return std::vector<T>(values.begin(), values.end());
}

template <class T>
T* address(std::vector<T>& values) {
  return values.empty() ? nullptr : values.data();
}

// The largest difference, as a share of the largest value; NaN counts as infinite.
inline double difference(const Values& found, const Values& expected) {
  double most = 0, size = 1;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double d = std::fabs(found[i] - expected[i]);
    most = d == d ? std::max(most, d) : INFINITY;
    size = std::max(size, std::fabs(expected[i]));
  }
  return most / size;
}

// Checks as many problems as the first argument says, then some from several threads at once; what main returns.
template <class Check>
int run_problems(int count, char** arguments, Check check) {
  const unsigned problems = count > 1 ? static_cast<unsigned>(std::atoi(arguments[1])) : 200;
  int passed = 0, failed = 0;
  for (unsigned number = 0; number < problems; ++number) (check(number) ? passed : failed) += 1;
  (right_together(check, 4) ? passed : failed) += 1;
  std::printf("%s: %d passed, %d failed\n", throughtime::kernels()->name, passed, failed);
  return failed == 0 ? 0 : 1;
}
