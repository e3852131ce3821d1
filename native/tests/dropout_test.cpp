// Tests the dropout kernel without Python, for the sanitizers: against the generator in plain loops, at random
// positions, with the instruction set of the environment variable.
//
// `dropout_test N` runs N problems, prints "N passed, N failed" and exits with 1 if any failed.
#include "kernels/dropout/dropout.h"
#include "problems.h"

namespace {

// Word `place` of Philox4x32-10 for a counter of 64 bits.
std::uint32_t word_of(std::uint64_t seed, std::uint64_t counter, int place) {
  std::uint32_t c[4] = {static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), 0, 0};
  std::uint32_t key[2] = {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)};
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53} * c[0], p1 = std::uint64_t{0xCD9E8D57} * c[2];
    const std::uint32_t next[4] = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ key[0], static_cast<std::uint32_t>(p1),
                                   static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ key[1], static_cast<std::uint32_t>(p0)};
    std::copy(next, next + 4, c);
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return c[place];
}

template <class T>
bool right(unsigned number) {
  Random random(number);
  const Index most = number % 5 == 0 ? 40000 : 200, count = random.number(0, most);
  const Index starts[] = {0, 1, 63, random.number(0, 1000), (Index{1} << 36) - 50};
  const std::uint64_t seed = static_cast<std::uint64_t>(random.number(0, INT64_MAX));
  const std::uint32_t thresholds[] = {0, 1, static_cast<std::uint32_t>(random.number(0, UINT32_MAX)), UINT32_MAX};
  const std::uint32_t threshold = thresholds[random.number(0, 3)];
  const Index first = starts[random.number(0, 4)];
  std::vector<T> x = as<T>(random.values(count)), y(static_cast<std::size_t>(count));
  throughtime::dropout({sizeof(T) == 8, seed, threshold, 1.5, first, count, static_cast<int>(random.number(1, 4)),
                        address(x), address(y)});
  for (Index i = 0; i < count; ++i) {
    const std::uint64_t at = static_cast<std::uint64_t>(first + i);
    const bool kept = word_of(seed, at / 64 * 16 + at % 16, static_cast<int>(at % 64 / 16)) >= threshold;
    const std::size_t place = static_cast<std::size_t>(i);
    if (y[place] != (kept ? x[place] * T(1.5) : T(0))) {
      std::printf("problem %u: position %lld of %lld\n", number, static_cast<long long>(i), static_cast<long long>(count));
      return false;
    }
  }
  return true;
}

bool check(unsigned number) { return number % 2 == 0 ? right<double>(number) : right<float>(number); }

}  // namespace

int main(int count, char** arguments) { return run_problems(count, arguments, check); }
