// Tests the normalisation kernels without Python, for the sanitizers: values, statistics and all gradients
// against plain sums, on random batches, with the instruction set of the environment variable.
//
// `norm_test N` runs N problems, prints "N passed, N failed" and exits with 1 if any failed.
#include "kernels/norm/norm.h"
#include "problems.h"

namespace {

struct Problem {
  throughtime::NormShape shape{};
  std::vector<Index> offsets{0};
  bool fixed = false, updates = false;
  double momentum = 0;
  int threads = 1;
  Values x, dy, gamma, beta, given_mean, given_variance;

  Index segments() const { return static_cast<Index>(offsets.size()) - 1; }
  Index tokens() const { return offsets.back(); }
};

struct Results {
  Values y, mean, scale, running_mean, running_variance, dx, dgamma, dbeta;
};

Problem problem_of(unsigned number) {
  Random random(number);
  Problem p;
  throughtime::NormShape& s = p.shape;
  const Index width = random.number(1, number % 3 == 0 ? 40 : 3);
  const bool batch = number % 2 == 0;
  s.groups = random.number(number % 11 == 0 ? 0 : 1, number % 4 == 0 ? 90 : 9);
  s.features = s.groups * (batch ? 1 : width);
  s.eps = 0.1;
  s.relu = random.number(0, 2) == 0;
  const Index segments = batch ? 1 : random.number(0, 6);
  for (Index i = 0; i < segments; ++i) {
    p.offsets.push_back(p.tokens() + random.number(batch ? 2 : 0, number % 5 == 0 ? 700 : 70));
  }
  p.fixed = random.number(0, 3) == 0 && s.groups == s.features;
  p.updates = batch && !p.fixed;
  p.momentum = 0.3;
  p.threads = static_cast<int>(random.number(1, 4));
  p.x = random.values(p.tokens() * s.features);
  p.dy = random.values(p.tokens() * s.features);
  p.gamma = random.number(0, 1) == 0 ? random.values(s.features) : Values{};
  p.beta = random.number(0, 1) == 0 ? random.values(s.features) : Values{};
  p.given_mean = random.values(s.features);
  p.given_variance = random.values(s.features);
  for (double& one : p.given_variance) one = one * one;
  return p;
}

Results by_sums(const Problem& p) {
  const throughtime::NormShape& s = p.shape;
  const Index width = s.groups == 0 ? 1 : s.features / s.groups;
  Results r;
  r.y.assign(p.x.size(), 0);
  r.dx.assign(p.x.size(), 0);
  r.mean.assign(static_cast<std::size_t>(p.segments() * s.groups), 0);
  r.scale = r.mean;
  r.running_mean = p.given_mean;
  r.running_variance = p.given_variance;
  r.dgamma.assign(static_cast<std::size_t>(s.features), 0);
  r.dbeta = r.dgamma;
  for (Index b = 0; b < p.segments(); ++b) {
    for (Index g = 0; g < s.groups; ++g) {
      // Calls visit(place in a matrix, feature) for all values of the group.
      const auto each = [&](auto visit) {
        for (Index t = p.offsets[b]; t < p.offsets[b + 1]; ++t) {
          for (Index c = g * width; c < (g + 1) * width; ++c) visit(t * s.features + c, c);
        }
      };
      const double n = static_cast<double>((p.offsets[b + 1] - p.offsets[b]) * width);
      double mean = 0, variance = 0;
      if (n > 0) {
        each([&](Index i, Index) { mean += p.x[i] / n; });
        each([&](Index i, Index) { variance += (p.x[i] - mean) * (p.x[i] - mean) / n; });
      }
      if (p.updates) {
        r.running_mean[g] += p.momentum * (mean - r.running_mean[g]);
        r.running_variance[g] += p.momentum * (variance * n / (n - 1) - r.running_variance[g]);
      }
      if (p.fixed) mean = p.given_mean[g], variance = p.given_variance[g];
      const double scale = 1 / std::sqrt(variance + s.eps);
      r.mean[b * s.groups + g] = mean;
      r.scale[b * s.groups + g] = scale;
      double sum = 0, product = 0;
      const auto gamma = [&](Index c) { return p.gamma.empty() ? 1 : p.gamma[c]; };
      const auto gradient = [&](Index i) { return s.relu && r.y[i] <= 0 ? 0 : p.dy[i]; };
      each([&](Index i, Index c) {
        r.y[i] = (p.x[i] - mean) * scale * gamma(c) + (p.beta.empty() ? 0 : p.beta[c]);
        if (s.relu) r.y[i] = std::max(r.y[i], 0.0);
        sum += gradient(i) * gamma(c);
        product += gradient(i) * gamma(c) * (p.x[i] - mean) * scale;
        r.dgamma[c] += gradient(i) * (p.x[i] - mean) * scale;
        r.dbeta[c] += gradient(i);
      });
      each([&](Index i, Index c) {
        const double through = p.fixed ? 0 : sum / n + (p.x[i] - mean) * scale * product / n;
        r.dx[i] = scale * (gradient(i) * gamma(c) - through);
      });
    }
  }
  return r;
}

// Exactly sized buffers in T, so that a sanitizer sees the first byte beyond.
template <class T>
Results by_kernels(const Problem& p) {
  throughtime::NormShape shape = p.shape;
  shape.is_double = sizeof(T) == 8;
  const throughtime::NormSegments segments{p.segments(), p.offsets.data()};
  std::vector<T> x = as<T>(p.x), dy = as<T>(p.dy), gamma = as<T>(p.gamma), beta = as<T>(p.beta);
  std::vector<T> given_mean = as<T>(p.given_mean), given_variance = as<T>(p.given_variance);
  std::vector<T> running_mean = given_mean, running_variance = given_variance;
  const T unset = static_cast<T>(NAN);
  std::vector<T> y(x.size(), unset), dx(x.size(), unset);
  std::vector<T> mean(static_cast<std::size_t>(p.segments() * shape.groups), unset), scale = mean;
  std::vector<T> dgamma(static_cast<std::size_t>(shape.features), unset), dbeta = dgamma, alone = dgamma;
  throughtime::NormForward forward{shape, segments, p.threads, {}, nullptr, nullptr, address(x), address(gamma),
                                   address(beta), address(y), address(mean), address(scale)};
  if (p.updates) forward.running = {p.momentum, address(running_mean), address(running_variance)};
  if (p.fixed) forward.fixed_mean = address(given_mean), forward.fixed_variance = address(given_variance);
  throughtime::norm_forward(forward);
  throughtime::NormBackward backward{shape, segments, p.threads, p.fixed, address(x), address(dy), address(gamma),
                                     address(beta), address(mean), address(scale), address(dx), address(dgamma),
                                     address(dbeta)};
  throughtime::norm_backward(backward);
  backward.dx = backward.dgamma = nullptr;
  backward.dbeta = address(alone);
  throughtime::norm_backward(backward);
  if (alone != dbeta) dbeta.assign(dbeta.size(), unset);  // must not depend on it
  const auto values = [](const std::vector<T>& from) { return Values(from.begin(), from.end()); };
  return {values(y),  values(mean),   values(scale), values(running_mean), values(running_variance),
          values(dx), values(dgamma), values(dbeta)};
}

double apart(const Results& found, const Results& expected) {
  double most = 0;
  for (const auto one : {&Results::y, &Results::mean, &Results::scale, &Results::running_mean,
                         &Results::running_variance, &Results::dx, &Results::dgamma, &Results::dbeta}) {
    most = std::max(most, difference(found.*one, expected.*one));
  }
  return most;
}

bool check(unsigned number) {
  const Problem p = problem_of(number);
  const Results expected = by_sums(p);
  const double in_double = apart(by_kernels<double>(p), expected);
  // A ReLU in single precision may pass what is nearly zero, or not: its gradient is one of the two.
  const double in_single = p.shape.relu ? 0 : apart(by_kernels<float>(p), expected);
  if (p.shape.relu) by_kernels<float>(p);
  if (in_double < 1e-12 && in_single < 1e-4) return true;
  std::printf("problem %u fails: C %d, G %d, S %d, T %d, relu %d, fixed %d, threads %d: %g and %g\n", number,
              static_cast<int>(p.shape.features), static_cast<int>(p.shape.groups), static_cast<int>(p.segments()),
              static_cast<int>(p.tokens()), p.shape.relu, p.fixed, p.threads, in_double, in_single);
  return false;
}

}  // namespace

int main(int count, char** arguments) { return run_problems(count, arguments, check); }
