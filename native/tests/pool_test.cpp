// Tests the pooling kernels without Python, for the sanitizers: values and all gradients against plain loops, on
// random batches with equal values, NaN and infinities, with the instruction set of the environment variable.
//
// `pool_test N` runs N problems, prints "N passed, N failed" and exits with 1 if any failed.
#include "kernels/pool/pool.h"
#include "problems.h"

namespace {

struct Problem {
  throughtime::PoolShape shape{};
  std::vector<Index> offsets{0}, out_offsets{0};
  Index right = 0;
  double nothing = 0;
  throughtime::PoolDivisor divisor{};
  int threads = 1, index_bytes = 4;
  Values x, finite, dy;

  Index sequences() const { return static_cast<Index>(offsets.size()) - 1; }
  Index tokens() const { return offsets.back(); }
  Index windows() const { return out_offsets.back(); }
};

struct Results {
  Values largest, index, largest_dx, sum, sum_dx;
};

// Few numbers, so that many are equal.
Values extremes(Random& random, Index count) {
  Values made(static_cast<std::size_t>(count));
  const double choice[] = {NAN, -INFINITY, INFINITY, -1, 0, 1, 2, 3};
  for (double& one : made) one = choice[random.number(random.number(0, 3) == 0 ? 0 : 3, 7)];
  return made;
}

Problem problem_of(unsigned number) {
  Random random(number);
  Problem p;
  throughtime::PoolShape& s = p.shape;
  const bool whole = number % 3 == 0;
  s.features = random.number(number % 7 == 0 ? 0 : 1, number % 2 == 0 ? 300 : 20);
  s.stride = whole ? 1 : random.number(1, 4);
  s.dilation = whole ? 1 : random.number(1, 3);
  s.size = whole ? 0 : random.number(1, number % 5 == 0 ? 200 : 6);
  s.left = whole ? 0 : random.number(0, s.size);
  p.right = whole ? 0 : random.number(0, s.size);
  p.nothing = whole ? 0 : -INFINITY;
  const Index sequences = random.number(0, 6), reach = s.dilation * (s.size - 1);
  for (Index b = 0; b < sequences; ++b) {
    const Index length = random.number(0, number % 4 == 0 ? 700 : 20);
    const Index room = length + s.left + p.right - reach - 1;
    const Index extra = random.number(0, 1);  // hangs over the end, as with ceil_mode
    const Index windows = length == 0 || room < 0 ? 0 : room / s.stride + 1 + extra;
    p.offsets.push_back(p.tokens() + length);
    p.out_offsets.push_back(p.windows() + (whole ? 1 : windows));
    if (whole) s.size = std::max(s.size, length);
  }
  p.divisor = static_cast<throughtime::PoolDivisor>(random.number(0, 2));
  p.threads = static_cast<int>(random.number(1, 4));
  p.index_bytes = s.size <= 127 && random.number(0, 1) == 0 ? 1 : 4;
  p.x = extremes(random, p.tokens() * s.features);
  p.finite = random.values(p.tokens() * s.features);
  p.dy = random.values(p.windows() * s.features);
  return p;
}

Results by_loops(const Problem& p) {
  const throughtime::PoolShape& s = p.shape;
  Results r;
  r.largest.assign(p.dy.size(), p.nothing);
  r.index.assign(p.dy.size(), -1);
  r.sum.assign(p.dy.size(), 0);
  r.largest_dx.assign(p.x.size(), 0);
  r.sum_dx.assign(p.x.size(), 0);
  for (Index b = 0; b < p.sequences(); ++b) {
    const Index begin = p.offsets[b], length = p.offsets[b + 1] - begin;
    for (Index t = p.out_offsets[b]; t < p.out_offsets[b + 1]; ++t) {
      const Index first = (t - p.out_offsets[b]) * s.stride - s.left;
      Index counted = 0;
      for (Index k = 0; k < s.size; ++k) {
        const Index step = first + k * s.dilation;
        const Index more = p.divisor == throughtime::PoolDivisor::border ? 1 : 0;
        counted += step >= -more * s.left && step < length + more * p.right;
      }
      const double n = p.divisor == throughtime::PoolDivisor::one ? 1 : std::max<double>(static_cast<double>(counted), 1);
      for (Index c = 0; c < s.features; ++c) {
        const Index out = t * s.features + c;
        for (Index k = 0; k < s.size; ++k) {
          const Index step = first + k * s.dilation;
          if (step < 0 || step >= length) continue;
          const Index in = (begin + step) * s.features + c;
          const double best = r.largest[out], found = p.x[in];
          if (r.index[out] < 0 || found > best || (std::isnan(found) && !std::isnan(best))) {
            r.largest[out] = found;
            r.index[out] = static_cast<double>(k);
          }
          r.sum[out] += p.finite[in] / n;
          r.sum_dx[in] += p.dy[out] / n;
        }
        if (r.index[out] >= 0) {
          const Index step = first + static_cast<Index>(r.index[out]) * s.dilation;
          r.largest_dx[(begin + step) * s.features + c] += p.dy[out];
        }
      }
    }
  }
  return r;
}

// Exactly sized buffers in T and I, so that a sanitizer sees the first byte beyond.
template <class T, class I>
Results by_kernels(const Problem& p) {
  throughtime::PoolShape shape = p.shape;
  shape.is_double = sizeof(T) == 8;
  const throughtime::PoolBatch batch{p.sequences(), p.offsets.data(), p.out_offsets.data()};
  const int bytes = sizeof(I);
  std::vector<T> x = as<T>(p.x), finite = as<T>(p.finite), dy = as<T>(p.dy);
  const T unset = static_cast<T>(NAN);
  std::vector<T> largest(dy.size(), unset), alone(dy.size(), unset), sum(dy.size(), unset);
  std::vector<T> largest_dx(x.size(), unset), sum_dx(x.size(), unset);
  std::vector<I> index(dy.size(), 99);
  throughtime::pool_max({shape, batch, p.threads, p.nothing, bytes, address(x), address(largest), address(index)});
  throughtime::pool_max({shape, batch, p.threads, p.nothing, bytes, address(x), address(alone), nullptr});
  throughtime::pool_max_gradient({shape, batch, p.threads, bytes, address(dy), address(index), address(largest_dx)});
  throughtime::pool_sum({shape, batch, p.threads, p.divisor, p.right, address(finite), address(sum)});
  throughtime::pool_sum_gradient({shape, batch, p.threads, p.divisor, p.right, address(dy), address(sum_dx)});
  for (std::size_t i = 0; i < largest.size(); ++i) {
    if (largest[i] != alone[i] && !(std::isnan(largest[i]) && std::isnan(alone[i]))) index[i] = 77;  // must not depend on it
  }
  Results r;
  r.largest.assign(largest.begin(), largest.end());
  r.index.assign(index.begin(), index.end());
  r.largest_dx.assign(largest_dx.begin(), largest_dx.end());
  r.sum.assign(sum.begin(), sum.end());
  r.sum_dx.assign(sum_dx.begin(), sum_dx.end());
  return r;
}

bool same(const Values& found, const Values& expected) {
  return std::equal(found.begin(), found.end(), expected.begin(), expected.end(), [](double a, double b) {
    return a == b || (std::isnan(a) && std::isnan(b));
  });
}

bool right(const Results& found, const Results& expected, double tolerance) {
  return same(found.largest, expected.largest) && same(found.index, expected.index) &&
         difference(found.largest_dx, expected.largest_dx) < tolerance &&
         difference(found.sum, expected.sum) < tolerance && difference(found.sum_dx, expected.sum_dx) < tolerance;
}

bool check(unsigned number) {
  const Problem p = problem_of(number);
  const Results expected = by_loops(p);
  const bool small = p.index_bytes == 1;
  const bool in_double = right(
      small ? by_kernels<double, std::int8_t>(p) : by_kernels<double, std::int32_t>(p), expected, 1e-12);
  const bool in_single = right(
      small ? by_kernels<float, std::int8_t>(p) : by_kernels<float, std::int32_t>(p), expected, 1e-5);
  if (in_double && in_single) return true;
  const throughtime::PoolShape& s = p.shape;
  std::printf("problem %u fails: C %d, size %d, stride %d, dilation %d, left %d, divisor %d, T %d, threads %d: %d and %d\n",
              number, static_cast<int>(s.features), static_cast<int>(s.size), static_cast<int>(s.stride),
              static_cast<int>(s.dilation), static_cast<int>(s.left), static_cast<int>(p.divisor),
              static_cast<int>(p.tokens()), p.threads, in_double, in_single);
  return false;
}

}  // namespace

int main(int count, char** arguments) { return run_problems(count, arguments, check); }
