// Tests the CRF kernels without Python, for the sanitizers: the forward algorithm in both directions against plain
// loops, and the score of the Viterbi algorithm's tags against the highest score, on random batches with forbidden
// transitions, with the instruction set of the environment variable.
//
// `crf_test N` runs N problems, prints "N passed, N failed" and exits with 1 if any failed.
#include "kernels/crf/crf.h"
#include "problems.h"

namespace {

struct Problem {
  Index tags = 1;
  std::vector<Index> offsets{0};
  int threads = 1;
  Values x, transitions, start, end;

  Index tokens() const { return offsets.back(); }
  Index sequences() const { return static_cast<Index>(offsets.size()) - 1; }
};

Problem problem_of(unsigned number) {
  Random random(number);
  Problem p;
  p.tags = random.number(1, number % 2 == 0 ? 9 : 80);
  for (Index b = random.number(0, 6); b > 0; --b) p.offsets.push_back(p.tokens() + random.number(0, 30));
  p.threads = static_cast<int>(random.number(1, 4));
  p.x = random.values(p.tokens() * p.tags);
  p.transitions = random.values(p.tags * p.tags);
  p.start = random.values(p.tags);
  p.end = random.values(p.tags);
  if (number % 3 == 0) {  // terms that underflow
    for (double& x : p.x) x *= 64;
  }
  if (number % 4 == 0) {
    for (double& score : p.transitions) score = random.number(0, 2) == 0 ? -1e30f : score;
  }
  return p;
}

// r of one sequence, in the order of its steps; `best` takes the maximum in place of the sum.
Values by_loops(const Problem& p, Index begin, Index length, bool reverse, bool best) {
  const Index c = p.tags;
  Values r(static_cast<std::size_t>(length * c));
  for (Index t = 0; t < length; ++t) {
    const double* x = p.x.data() + (reverse ? begin + length - 1 - t : begin + t) * c;
    const double* before = t == 0 ? nullptr : r.data() + (t - 1) * c;
    const double top = t == 0 ? 0 : *std::max_element(before, before + c);
    for (Index j = 0; j < c; ++j) {
      double highest = -INFINITY, sum = 0;
      for (Index i = 0; t > 0 && i < c; ++i) highest = std::max(highest, before[i] - top + p.transitions[i * c + j]);
      for (Index i = 0; t > 0 && i < c; ++i) sum += std::exp(before[i] - top + p.transitions[i * c + j] - highest);
      r[t * c + j] = x[j] + (t == 0 ? p.start[j] : best ? highest : highest + std::log(sum));
    }
  }
  return r;
}

// Forbidden scores are huge, and their rounding says nothing.
double cut(double score) { return std::max(score, -1e6); }

template <class T>
bool right(const Problem& p, double tolerance) {
  const Index c = p.tags;
  std::vector<T> x = as<T>(p.x), transitions = as<T>(p.transitions), start = as<T>(p.start), end = as<T>(p.end);
  const throughtime::CrfChain chain{sizeof(T) == 8, c,          p.sequences(), p.offsets.data(), p.threads,
                                    address(x),     address(transitions), address(start)};
  std::vector<T> ahead(x.size(), static_cast<T>(NAN)), behind(x.size(), static_cast<T>(NAN));
  std::vector<Index> tags(static_cast<std::size_t>(p.tokens()), -1);
  throughtime::crf_forward({chain, false, address(ahead)});
  throughtime::crf_forward({chain, true, address(behind)});
  throughtime::crf_best({chain, address(end), address(tags)});
  Values found, expected;
  for (Index b = 0; b < p.sequences(); ++b) {
    const Index begin = p.offsets[b], length = p.offsets[b + 1] - begin;
    if (length == 0) continue;
    const Values forwards = by_loops(p, begin, length, false, false), backwards = by_loops(p, begin, length, true, false);
    const Values paths = by_loops(p, begin, length, false, true);
    double score = 0, highest = -INFINITY;
    for (Index t = 0; t < length; ++t) {
      for (Index j = 0; j < c; ++j) {
        found.push_back(cut(ahead[(begin + t) * c + j]));
        expected.push_back(cut(forwards[t * c + j]));
        found.push_back(cut(behind[(begin + t) * c + j]));
        expected.push_back(cut(backwards[(length - 1 - t) * c + j]));
      }
      const Index tag = tags[begin + t];
      if (tag < 0 || tag >= c) return false;
      score += p.x[(begin + t) * c + tag] + (t == 0 ? p.start[tag] : p.transitions[tags[begin + t - 1] * c + tag]);
      // What the plain loop took from the scores of the step before.
      if (t + 1 < length) score -= *std::max_element(paths.begin() + t * c, paths.begin() + (t + 1) * c);
    }
    for (Index j = 0; j < c; ++j) highest = std::max(highest, paths[(length - 1) * c + j] + p.end[j]);
    found.push_back(cut(score + p.end[tags[begin + length - 1]]));
    expected.push_back(cut(highest));
  }
  return difference(found, expected) < tolerance;
}

bool check(unsigned number) {
  const Problem p = problem_of(number);
  const bool in_double = right<double>(p, 1e-12), in_single = right<float>(p, 1e-5);
  if (in_double && in_single) return true;
  std::printf("problem %u fails: C %d, T %d, B %d, threads %d: %d and %d\n", number, static_cast<int>(p.tags),
              static_cast<int>(p.tokens()), static_cast<int>(p.sequences()), p.threads, in_double, in_single);
  return false;
}

}  // namespace

int main(int count, char** arguments) { return run_problems(count, arguments, check); }
