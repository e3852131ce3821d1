// Tests the kernels of linear recurrences without Python, for the sanitizers: values and all gradients against plain
// loops, on random batches, with the instruction set of the environment variable; and the same bits on one thread.
//
// `scan_test N` runs N problems, prints "N passed, N failed" and exits with 1 if any failed.
#include "kernels/scan/scan.h"
#include "problems.h"

namespace {

using throughtime::ScanCandidate;
using throughtime::ScanGates;

struct Problem {
  throughtime::ScanShape shape{};
  std::vector<Index> offsets{0};
  int threads = 1;
  bool with_h0 = true, with_dh = true, with_dlast = true;
  Values a, b, h0, dh, dlast;

  Index sequences() const { return static_cast<Index>(offsets.size()) - 1; }
  Index blocks() const { return shape.gates == ScanGates::given ? 1 : throughtime::scan_blocks(shape.gates); }
};

struct Results {
  Values h, last, da, db, dh0;
};

Problem problem_of(unsigned number) {
  Random random(number);
  Problem p;
  p.shape.gates = static_cast<ScanGates>(number % 5);
  p.shape.candidate = static_cast<ScanCandidate>(random.number(0, 2));
  p.shape.from_end = random.number(0, 1) == 1;
  p.shape.features = random.number(number % 7 == 0 ? 0 : 1, number % 2 == 0 ? 150 : 20);
  const Index most = number % 3 == 0 ? 400 : 20;
  for (Index b = random.number(0, 5); b > 0; --b) p.offsets.push_back(p.offsets.back() + random.number(0, most));
  p.threads = static_cast<int>(random.number(1, 4));
  p.with_h0 = random.number(0, 3) > 0;
  p.with_dh = random.number(0, 3) > 0;
  p.with_dlast = random.number(0, 3) > 0;
  const Index tokens = p.offsets.back() * p.shape.features, states = p.sequences() * p.shape.features;
  p.a = random.values(tokens * p.blocks());
  if (p.shape.gates == ScanGates::given) {
    for (double& one : p.a) one = static_cast<float>(std::tanh(one));
    p.b = random.values(tokens);
  }
  p.h0 = p.with_h0 ? random.values(states) : Values(static_cast<std::size_t>(states), 0.0);
  p.dh = p.with_dh ? random.values(tokens) : Values(static_cast<std::size_t>(tokens), 0.0);
  p.dlast = p.with_dlast ? random.values(states) : Values(static_cast<std::size_t>(states), 0.0);
  return p;
}

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

// a and b of a step, and their derivatives by each block of u.
struct Step {
  double a, b, da[3], db[3];
};

Step step_of(const Problem& p, Index t, Index c) {
  const Index D = p.shape.features, blocks = p.blocks();
  Step s{};
  if (p.shape.gates == ScanGates::given) return {p.a[t * D + c], p.b[t * D + c], {1}, {0}};
  const double *const u = p.a.data() + t * blocks * D + c, x = u[(blocks - 1) * D];
  double value = x, slope = 1;
  if (p.shape.candidate == ScanCandidate::tanh) {
    value = std::tanh(x);
    slope = 1 - value * value;
  } else if (p.shape.candidate == ScanCandidate::positive) {
    value = x < 0 ? logistic(x) : x + 0.5;
    slope = x < 0 ? value * (1 - value) : 1;
  }
  const double first = logistic(u[0]), of_first = first * (1 - first);
  double take = 0;
  if (p.shape.gates == ScanGates::separate) {
    take = logistic(u[D]);
    s = {first, take * value, {of_first, 0, 0}, {0, take * (1 - take) * value, take * slope}};
    return s;
  }
  if (p.shape.gates == ScanGates::normalized) {
    const double in = logistic(u[D]), sum = first + in;
    s.a = first / sum;
    take = in / sum;
    s.da[0] = of_first * in / (sum * sum);
    s.da[1] = -in * (1 - in) * first / (sum * sum);
  } else {
    const double sign = p.shape.gates == ScanGates::forget ? 1 : -1;
    s.a = sign > 0 ? first : 1 - first;
    take = 1 - s.a;
    s.da[0] = sign * of_first;
  }
  s.b = take * value;
  for (int k = 0; k < 2; ++k) s.db[k] = -s.da[k] * value;
  s.db[blocks - 1] = take * slope;
  return s;
}

Results by_loops(const Problem& p) {
  const Index D = p.shape.features, blocks = p.blocks();
  Results r;
  r.h.assign(p.dh.size(), 0);
  r.db.assign(p.shape.gates == ScanGates::given ? p.dh.size() : 0, 0);
  r.da.assign(p.a.size(), 0);
  r.last = p.h0;
  r.dh0 = p.dlast;
  for (Index s = 0; s < p.sequences(); ++s) {
    const Index begin = p.offsets[s], length = p.offsets[s + 1] - begin;
    const auto row = [&](Index k) { return begin + (p.shape.from_end ? length - 1 - k : k); };
    for (Index c = 0; c < D; ++c) {
      double& h = r.last[s * D + c];
      for (Index k = 0; k < length; ++k) {
        const Step step = step_of(p, row(k), c);
        h = step.a * h + step.b;
        r.h[row(k) * D + c] = h;
      }
      double& g = r.dh0[s * D + c];
      for (Index k = length - 1; k >= 0; --k) {
        const Index t = row(k);
        const Step step = step_of(p, t, c);
        const double before = k == 0 ? p.h0[s * D + c] : r.h[row(k - 1) * D + c];
        g += p.dh[t * D + c];
        for (Index block = 0; block < blocks; ++block) {
          r.da[(t * blocks + block) * D + c] = g * (before * step.da[block] + step.db[block]);
        }
        if (p.shape.gates == ScanGates::given) r.db[t * D + c] = g;
        g *= step.a;
      }
    }
  }
  return r;
}

// Exactly sized buffers in T, so that a sanitizer sees the first byte beyond.
template <class T>
Results by_kernels(const Problem& p, int threads) {
  throughtime::ScanShape shape = p.shape;
  shape.is_double = sizeof(T) == 8;
  const throughtime::ScanBatch batch{p.sequences(), p.offsets.data()};
  std::vector<T> a = as<T>(p.a), b = as<T>(p.b), h0 = as<T>(p.h0), dh = as<T>(p.dh), dlast = as<T>(p.dlast);
  const T unset = static_cast<T>(NAN);
  std::vector<T> h(dh.size(), unset), last(h0.size(), unset), da(a.size(), unset), db(b.size(), unset),
      dh0(h0.size(), unset);
  const bool given = p.shape.gates == ScanGates::given;
  T *const start = p.with_h0 ? address(h0) : nullptr, *const more = given ? address(b) : nullptr;
  throughtime::scan_forward({shape, batch, threads, address(a), more, start, address(h), address(last)});
  throughtime::scan_backward({shape, batch, threads, address(a), start, address(h), p.with_dh ? address(dh) : nullptr,
                              p.with_dlast ? address(dlast) : nullptr, address(da), given ? address(db) : nullptr,
                              address(dh0)});
  Results r;
  r.h.assign(h.begin(), h.end());
  r.last.assign(last.begin(), last.end());
  r.da.assign(da.begin(), da.end());
  r.db.assign(db.begin(), db.end());
  r.dh0.assign(dh0.begin(), dh0.end());
  return r;
}

bool near(const Results& found, const Results& expected, double tolerance) {
  return difference(found.h, expected.h) < tolerance && difference(found.last, expected.last) < tolerance &&
         difference(found.da, expected.da) < tolerance && difference(found.db, expected.db) < tolerance &&
         difference(found.dh0, expected.dh0) < tolerance;
}

bool equal(const Results& a, const Results& b) {
  return a.h == b.h && a.last == b.last && a.da == b.da && a.db == b.db && a.dh0 == b.dh0;
}

template <class T>
bool right(const Problem& p, const Results& expected, double tolerance) {
  const Results found = by_kernels<T>(p, p.threads);
  return near(found, expected, tolerance) && equal(found, by_kernels<T>(p, 1));
}

// The gated output of u = [g] or [g, s], or with s of its own, by plain loops and by the kernels.
template <class T>
bool output_is_right(unsigned number, double tolerance) {
  Random random(number);
  const Index tokens = random.number(0, 60), D = random.number(1, 90), blocks = random.number(1, 2);
  const bool with_skip = blocks == 1 && random.number(0, 1) == 1, highway = with_skip || blocks == 2;
  const int threads = static_cast<int>(random.number(1, 4));
  const Values u = random.values(tokens * blocks * D), h = random.values(tokens * D), s = random.values(tokens * D),
               dy = random.values(tokens * D);
  Values y(h.size()), du(u.size()), dh(h.size()), ds(h.size());
  for (Index t = 0; t < tokens; ++t) {
    for (Index c = 0; c < D; ++c) {
      const Index at = t * D + c, of_gate = t * blocks * D + c;
      const double gate = logistic(u[of_gate]), other = blocks == 2 ? u[of_gate + D] : with_skip ? s[at] : 0;
      y[at] = gate * h[at] + (highway ? (1 - gate) * other : 0);
      du[of_gate] = dy[at] * (h[at] - other) * gate * (1 - gate);
      if (blocks == 2) du[of_gate + D] = dy[at] * (1 - gate);
      dh[at] = dy[at] * gate;
      ds[at] = with_skip ? dy[at] * (1 - gate) : 0;
    }
  }
  std::vector<T> of_u = as<T>(u), of_h = as<T>(h), of_s = as<T>(s), of_dy = as<T>(dy);
  const T unset = static_cast<T>(NAN);
  std::vector<T> found_y(h.size(), unset), found_du(u.size(), unset), found_dh(h.size(), unset), found_ds(h.size());
  const throughtime::OutputShape shape{sizeof(T) == 8, threads, static_cast<int>(blocks), tokens, D};
  const T* const skip = with_skip ? address(of_s) : nullptr;
  throughtime::gated_output({shape, address(of_u), address(of_h), skip, address(found_y)});
  throughtime::gated_output_backward({shape, address(of_u), address(of_h), skip, address(of_dy), address(found_du),
                                      address(found_dh), with_skip ? address(found_ds) : nullptr});
  const auto close = [&](const std::vector<T>& found, const Values& expected) {
    return difference(Values(found.begin(), found.end()), expected) < tolerance;
  };
  return close(found_y, y) && close(found_du, du) && close(found_dh, dh) && close(found_ds, ds);
}

bool check(unsigned number) {
  if (!output_is_right<double>(number, 1e-12) || !output_is_right<float>(number, 1e-5)) {
    std::printf("gated output %u fails\n", number);
    return false;
  }
  const Problem p = problem_of(number);
  const Results expected = by_loops(p);
  const bool in_double = right<double>(p, expected, 1e-11), in_single = right<float>(p, expected, 2e-4);
  if (in_double && in_single) return true;
  std::printf("problem %u fails: D %d, gates %d, candidate %d, from_end %d, T %d, threads %d: %d and %d\n", number,
              static_cast<int>(p.shape.features), static_cast<int>(p.shape.gates),
              static_cast<int>(p.shape.candidate), p.shape.from_end, static_cast<int>(p.offsets.back()), p.threads,
              in_double, in_single);
  return false;
}

}  // namespace

int main(int count, char** arguments) { return run_problems(count, arguments, check); }
