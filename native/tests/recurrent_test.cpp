// The kernels by themselves, for the sanitizers: values against the equations written out, gradients against
// a difference quotient of those equations, on random batches, for every instruction set of this machine.
//
// Prints a line per instruction set and "N passed, N failed" at the end; exits with 1 if any failed.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#include "kernels/recurrent/kernels.h"

namespace {

using throughtime::Cell;
using Values = std::vector<double>;

struct Problem {
  Cell cell;
  int inputs, hidden, projection, directions;
  bool biases;
  std::vector<std::int64_t> offsets;

  int gates() const { return cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1; }
  int slots() const { return cell == Cell::lstm || cell == Cell::gru ? 4 : 0; }
  int state() const { return projection > 0 ? projection : hidden; }
  std::int64_t batch() const { return static_cast<std::int64_t>(offsets.size()) - 1; }
  std::int64_t tokens() const { return offsets.back(); }
};

// Everything that has a gradient, in one order.
struct Parameters {
  Values x;
  struct Direction {
    Values ih, hh, b_ih, b_hh, hr, h0, c0;
  } direction[2];

  std::vector<Values*> all(const Problem& p) {
    std::vector<Values*> found{&x};
    for (int d = 0; d < p.directions; ++d) {
      Direction& w = direction[d];
      for (Values* part : {&w.ih, &w.hh, &w.b_ih, &w.b_hh, &w.hr, &w.h0, &w.c0}) found.push_back(part);
    }
    return found;
  }
};

struct Outputs {
  Values y, h_n[2], c_n[2], c[2], gates[2];

  std::vector<Values*> all(const Problem& p) {
    std::vector<Values*> found{&y};
    for (int d = 0; d < p.directions; ++d) {
      for (Values* part : {&h_n[d], &c_n[d], &c[d], &gates[d]}) found.push_back(part);
    }
    return found;
  }
};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

Outputs sized_outputs(const Problem& p) {
  Outputs out;
  const bool lstm = p.cell == Cell::lstm;
  out.y.assign(size(p.tokens() * p.directions * p.state()), NAN);
  for (int d = 0; d < p.directions; ++d) {
    out.h_n[d].assign(size(p.batch() * p.state()), NAN);
    out.c_n[d].assign(lstm ? size(p.batch() * p.hidden) : 0, NAN);
    out.c[d].assign(lstm ? size(p.tokens() * p.hidden) : 0, NAN);
    out.gates[d].assign(size(p.tokens() * p.slots() * p.hidden), NAN);
  }
  return out;
}

// The equations, one unit after the other.
Outputs by_equations(const Problem& p, const Parameters& w) {
  Outputs out = sized_outputs(p);
  const int H = p.hidden, P = p.state(), I = p.inputs;
  const bool lstm = p.cell == Cell::lstm;
  for (int d = 0; d < p.directions; ++d) {
    const Parameters::Direction& weights = w.direction[d];
    for (std::int64_t b = 0; b < p.batch(); ++b) {
      Values h(weights.h0.begin() + b * P, weights.h0.begin() + (b + 1) * P), c(size(H));
      if (lstm) c.assign(weights.c0.begin() + b * H, weights.c0.begin() + (b + 1) * H);
      const std::int64_t begin = p.offsets[size(b)], end = p.offsets[size(b + 1)];
      for (std::int64_t t = 0; t < end - begin; ++t) {
        const std::int64_t token = d == 0 ? begin + t : end - 1 - t;
        const auto product = [&](const Values& matrix, const double* with, int row, int columns) {
          double sum = 0;
          for (int k = 0; k < columns; ++k) sum += matrix[size(row * columns + k)] * with[k];
          return sum;
        };
        const auto input = [&](int gate, int u) {
          const int row = gate * H + u;
          return product(weights.ih, &w.x[size(token * I)], row, I) + (p.biases ? weights.b_ih[size(row)] : 0);
        };
        const auto recurrent = [&](int gate, int u) {
          const int row = gate * H + u;
          return product(weights.hh, h.data(), row, P) + (p.biases ? weights.b_hh[size(row)] : 0);
        };
        Values next(size(H));
        for (int u = 0; u < H; ++u) {
          const auto keep = [&](int slot, double value) {
            out.gates[d][size((token * p.slots() + slot) * H + u)] = value;
          };
          if (lstm) {
            const double i = sigmoid(input(0, u) + recurrent(0, u)), f = sigmoid(input(1, u) + recurrent(1, u));
            const double g = std::tanh(input(2, u) + recurrent(2, u)), o = sigmoid(input(3, u) + recurrent(3, u));
            c[size(u)] = f * c[size(u)] + i * g;
            next[size(u)] = o * std::tanh(c[size(u)]);
            keep(0, i), keep(1, f), keep(2, g), keep(3, o);
            out.c[d][size(token * H + u)] = c[size(u)];
          } else if (p.cell == Cell::gru) {
            const double r = sigmoid(input(0, u) + recurrent(0, u)), z = sigmoid(input(1, u) + recurrent(1, u));
            const double hn = recurrent(2, u), n = std::tanh(input(2, u) + r * hn);
            next[size(u)] = (1 - z) * n + z * h[size(u)];
            keep(0, r), keep(1, z), keep(2, n), keep(3, hn);
          } else {
            const double a = input(0, u) + recurrent(0, u);
            next[size(u)] = p.cell == Cell::rnn_relu ? std::fmax(a, 0) : std::tanh(a);
          }
        }
        if (p.projection > 0) {
          for (int k = 0; k < P; ++k) h[size(k)] = product(weights.hr, next.data(), k, H);
        } else {
          h = next;
        }
        for (int k = 0; k < P; ++k) out.y[size((token * p.directions + d) * P + k)] = h[size(k)];
      }
      for (int k = 0; k < P; ++k) out.h_n[d][size(b * P + k)] = h[size(k)];
      for (int u = 0; lstm && u < H; ++u) out.c_n[d][size(b * H + u)] = c[size(u)];
    }
  }
  return out;
}

// Exactly sized copies in T, so that a sanitizer sees the first byte beyond.
template <class T>
class Buffer {
 public:
  explicit Buffer(const Values& values) : values_(values.begin(), values.end()) {}
  T* data() { return values_.empty() ? nullptr : values_.data(); }
  void give(Values& to) const { to.assign(values_.begin(), values_.end()); }

 private:
  std::vector<T> values_;
};

template <class T>
struct Run {
  const Problem& p;
  const throughtime::Kernels& kernels;
  int threads;
  Outputs outputs;
  Parameters gradients;

  throughtime::Shape shape() const {
    return {p.cell, sizeof(T) == 8, p.inputs, p.hidden, p.state(), p.directions};
  }
  throughtime::Tokens tokens() const {
    return {throughtime::Order::ragged, p.batch(), 0, p.offsets.data()};
  }

  Run(const Problem& problem, const throughtime::Kernels& set, int count, Parameters& w, Outputs& seed)
      : p(problem), kernels(set), threads(count) {
    const throughtime::SortedSequences sequences(tokens());
    outputs = sized_outputs(p);
    std::vector<Buffer<T>> given, made, seeds, results;
    for (Values* part : w.all(p)) given.emplace_back(*part);
    for (Values* part : outputs.all(p)) made.emplace_back(*part);
    for (Values* part : seed.all(p)) seeds.emplace_back(*part);
    gradients = w;
    for (Values* part : gradients.all(p)) results.emplace_back(Values(part->size(), NAN));
    throughtime::ForwardCall forward{};
    throughtime::BackwardCall backward{};
    forward.shape = backward.shape = shape();
    forward.tokens = backward.tokens = tokens();
    forward.threads = backward.threads = threads;
    forward.x = backward.x = given[0].data();
    forward.y = made[0].data();
    backward.y = made[0].data();
    backward.dy = seeds[0].data();
    backward.dx = results[0].data();
    for (int d = 0; d < p.directions; ++d) {
      Buffer<T>* in = &given[size(1 + 7 * d)];
      Buffer<T>* out = &made[size(1 + 4 * d)];
      Buffer<T>* s = &seeds[size(1 + 4 * d)];
      Buffer<T>* g = &results[size(1 + 7 * d)];
      const throughtime::Weights weights{in[0].data(), in[1].data(), in[2].data(), in[3].data(), in[4].data()};
      forward.direction[d] = {weights,       in[5].data(),  in[6].data(), out[0].data(),
                              out[1].data(), out[2].data(), out[3].data()};
      backward.direction[d] = {weights,     in[5].data(), in[6].data(), out[2].data(), out[3].data(), s[0].data(),
                               s[1].data(), s[2].data(),  s[3].data(),  g[5].data(),   g[6].data(),   g[0].data(),
                               g[1].data(), g[2].data(),  g[3].data(),  g[4].data(),   nullptr,       nullptr};
    }
    kernels.forward(forward, sequences.view());
    kernels.backward(backward, sequences.view());
    for (std::size_t i = 0; i < made.size(); ++i) made[i].give(*outputs.all(p)[i]);
    for (std::size_t i = 0; i < results.size(); ++i) results[i].give(*gradients.all(p)[i]);
  }
};

double largest_difference(std::vector<Values*> a, std::vector<Values*> b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t k = 0; k < a[i]->size(); ++k) {
      const double difference = std::fabs((*a[i])[k] - (*b[i])[k]);
      if (!(difference <= largest)) largest = difference;
    }
  }
  return largest;
}

double largest(std::vector<Values*> all) {
  double found = 0;
  for (const Values* part : all) {
    for (const double value : *part) found = std::fmax(found, std::fabs(value));
  }
  return found;
}

double inner(std::vector<Values*> a, std::vector<Values*> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t k = 0; k < a[i]->size(); ++k) sum += (*a[i])[k] * (*b[i])[k];
  }
  return sum;
}

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  int between(int low, int high) { return std::uniform_int_distribution<int>(low, high)(engine_); }
  void fill(Values& values, std::int64_t count, double scale) {
    std::normal_distribution<double> normal(0, scale);
    values.resize(size(count));
    for (double& value : values) value = normal(engine_);
  }

 private:
  std::mt19937 engine_;
};

Problem random_problem(Random& random) {
  Problem p{};
  p.cell = static_cast<Cell>(random.between(0, 3));
  p.inputs = random.between(1, 40);
  p.hidden = random.between(1, 70);
  p.projection = p.cell == Cell::lstm && random.between(0, 2) == 0 ? random.between(1, p.hidden) : 0;
  p.directions = random.between(1, 2);
  p.biases = random.between(0, 3) > 0;
  p.offsets = {0};
  const int batch = random.between(0, 3) == 0 ? random.between(0, 2) : random.between(0, 24);
  const int equal = random.between(0, 3) == 0 ? random.between(1, 12) : 0;
  for (int b = 0; b < batch; ++b) {
    if (equal > 0) {
      p.offsets.push_back(p.offsets.back() + equal);
      continue;
    }
    p.offsets.push_back(p.offsets.back() + (random.between(0, 4) == 0 ? 0 : random.between(1, 12)));
  }
  return p;
}

Parameters random_parameters(Random& random, const Problem& p) {
  Parameters w;
  const double scale = 1 / std::sqrt(static_cast<double>(p.hidden));
  random.fill(w.x, p.tokens() * p.inputs, 1);
  for (int d = 0; d < p.directions; ++d) {
    const std::int64_t rows = p.gates() * p.hidden;
    random.fill(w.direction[d].ih, rows * p.inputs, scale);
    random.fill(w.direction[d].hh, rows * p.state(), scale);
    random.fill(w.direction[d].b_ih, p.biases ? rows : 0, scale);
    random.fill(w.direction[d].b_hh, p.biases ? rows : 0, scale);
    random.fill(w.direction[d].hr, p.projection * p.hidden, scale);
    random.fill(w.direction[d].h0, p.batch() * p.state(), 1);
    random.fill(w.direction[d].c0, p.cell == Cell::lstm ? p.batch() * p.hidden : 0, 1);
  }
  return w;
}

// The loss is the inner product of all outputs with a random seed.
bool check(const throughtime::Kernels& kernels, unsigned number) {
  Random random(number);
  const Problem p = random_problem(random);
  Parameters w = random_parameters(random, p);
  Outputs expected = by_equations(p, w);
  Outputs seed = expected;
  for (Values* part : seed.all(p)) random.fill(*part, static_cast<std::int64_t>(part->size()), 1);
  const int threads = random.between(1, 4);
  Run<double> run(p, kernels, threads, w, seed);
  Run<float> single(p, kernels, threads, w, seed);

  const double in_double = largest_difference(run.outputs.all(p), expected.all(p));
  const double in_single = largest_difference(single.outputs.all(p), expected.all(p));
  Parameters ahead = w, behind = w, way = w;
  const double step = 1e-6;
  for (std::size_t i = 0; i < way.all(p).size(); ++i) {
    Values& direction = *way.all(p)[i];
    random.fill(direction, static_cast<std::int64_t>(direction.size()), 1);
    for (std::size_t k = 0; k < direction.size(); ++k) {
      (*ahead.all(p)[i])[k] += step * direction[k];
      (*behind.all(p)[i])[k] -= step * direction[k];
    }
  }
  Outputs after = by_equations(p, ahead), before = by_equations(p, behind);
  const double slope = (inner(after.all(p), seed.all(p)) - inner(before.all(p), seed.all(p))) / (2 * step);
  const double found = inner(run.gradients.all(p), way.all(p));
  const double found_single = inner(single.gradients.all(p), way.all(p));
  // At the kink of relu a difference quotient is no gradient, and precision decides which side it is on; the
  // tests in Python compare with torch there.
  const bool smooth = p.cell != Cell::rnn_relu;
  const double size_of = 1 + std::fabs(slope) + 10 * std::sqrt(static_cast<double>(p.tokens() + 1));
  // The states of relu may grow without bound.
  const double scale = 1 + largest(expected.all(p));
  const bool right = in_double < 1e-12 * scale && in_single < 1e-4 * scale &&
                     (!smooth || (std::fabs(found - slope) < 1e-5 * size_of &&
                                  std::fabs(found_single - found) < 1e-3 * size_of));
  if (!right) {
    std::printf("%s: problem %u fails: cell %d, I %d, H %d, P %d, D %d, B %d, T %d: outputs %g and %g, "
                "slope %g, found %g and %g\n",
                kernels.name, number, static_cast<int>(p.cell), p.inputs, p.hidden, p.projection, p.directions,
                static_cast<int>(p.batch()), static_cast<int>(p.tokens()), in_double, in_single, slope, found,
                found_single);
  }
  return right;
}

// The same call from several threads at once.
bool check_together(const throughtime::Kernels& kernels) {
  std::vector<char> right(4, 0);
  std::vector<std::thread> callers;
  for (std::size_t i = 0; i < right.size(); ++i) {
    callers.emplace_back([&, i] { right[i] = check(kernels, 7) && check(kernels, static_cast<unsigned>(i)); });
  }
  for (std::thread& caller : callers) caller.join();
  for (const char one : right) {
    if (!one) return false;
  }
  return true;
}

}  // namespace

int main(int count, char** arguments) {
  const unsigned problems = count > 1 ? static_cast<unsigned>(std::atoi(arguments[1])) : 200;
  int passed = 0, failed = 0;
  for (const char* const* name = throughtime::instruction_sets(); *name != nullptr; ++name) {
    const throughtime::Kernels& kernels = *throughtime::find_kernels(*name);
    for (unsigned number = 0; number < problems; ++number) (check(kernels, number) ? passed : failed) += 1;
    (check_together(kernels) ? passed : failed) += 1;
    std::printf("%s: done\n", *name);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
