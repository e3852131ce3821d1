// Tests the recurrent kernels without Python, for the sanitizers: values against plain equations, gradients against
// difference quotients of these equations, on random batches, for every instruction set of this machine.
//
// Prints a line per instruction set and "N passed, N failed" at the end; exits with 1 if any failed.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <random>
#include <vector>

#define TT_ISA grids
#include "kernels/recurrent/grid.h"
#include "kernels/recurrent/kernels.h"
#include "recurrent_equations.h"
#include "together.h"

namespace {

using namespace recurrent_test;

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
    return {p.cell, sizeof(T) == 8, p.inputs, p.hidden, p.state(), p.directions, p.options};
  }
  throughtime::Tokens tokens() const {
    return {throughtime::Order::ragged, p.batch(), 0, p.offsets.data(), p.reset.empty() ? nullptr : p.reset.data()};
  }

  Run(const Problem& problem, const throughtime::Kernels& set, int count, Parameters& w, Outputs& seed)
      : p(problem), kernels(set), threads(count) {
    const throughtime::SortedSequences sequences(tokens());
    outputs = sized_outputs(p);
    std::vector<Buffer<T>> given, made, seeds, results, steps;
    steps.reserve(10);
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
      Buffer<T>* in = &given[size(1 + 9 * d)];
      Buffer<T>* out = &made[size(1 + 4 * d)];
      Buffer<T>* s = &seeds[size(1 + 4 * d)];
      Buffer<T>* g = &results[size(1 + 9 * d)];
      throughtime::Weights weights{in[0].data(), in[1].data(), in[2].data(), in[3].data(), in[4].data(), {}};
      T* own = in[7].data();
      for (int i = 0; i < throughtime::most_own && p.options.own_rows[i] > 0; ++i) {
        weights.own[i] = own;
        own += p.options.own_rows[i] * p.hidden;
      }
      forward.direction[d] = {weights,       in[5].data(),  in[6].data(),  out[0].data(),
                              out[1].data(), out[2].data(), out[3].data(), in[8].data()};
      throughtime::BackwardDirection& b = backward.direction[d];
      b = {weights,       in[5].data(), in[6].data(), out[2].data(), out[3].data(), s[0].data(), s[1].data(),
           s[2].data(),   s[3].data(),  g[5].data(),  g[6].data(),   g[0].data(),   g[1].data(), g[2].data(),
           g[3].data(),   g[4].data(),  nullptr,      nullptr,       nullptr,       nullptr, nullptr, g[7].data(), g[8].data()};
      // The gradients of every step have their place in memory, too; the tests in Python look at their values.
      steps.emplace_back(Values(size(p.tokens() * p.state()), NAN));
      steps.emplace_back(Values(size(p.lstm() ? p.tokens() * p.hidden : 0), NAN));
      steps.emplace_back(Values(size(p.tokens() * (p.gru() || p.normalises() ? p.slots() : p.gates()) * p.hidden), NAN));
      steps.emplace_back(Values(size(p.tokens()), NAN));
      steps.emplace_back(Values(size(p.tokens() * (throughtime::summary_norms + 2 * p.slots())), NAN));
      b.summary = steps[size(5 * d + 4)].data();
      b.kept = steps[size(5 * d + 3)].data();
      b.dh_steps = steps[size(5 * d)].data();
      b.dc_steps = steps[size(5 * d + 1)].data();
      b.dpre = steps[size(5 * d + 2)].data();
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

#define THROUGHTIME_COUNT(...) +1
constexpr int cells = 0 THROUGHTIME_CELLS(THROUGHTIME_COUNT);
#undef THROUGHTIME_COUNT

void draw_options(Random& random, Problem& p) {
  throughtime::Options& options = p.options;
  const Activation plain[3] = {Activation::sigmoid, Activation::tanh, Activation::tanh};
  const Activation any[4] = {Activation::sigmoid, Activation::tanh, Activation::softsign, Activation::scaled_tanh};
  for (int i = 0; i < 3; ++i) {
    // A gate beyond 0 and 1 makes the states of a GRU or MGU grow without bound.
    options.activation[i] = !p.general() || ((p.gru() || p.cell == Cell::mgu) && i == 0) ? plain[i] : any[random.between(0, 3)];
    options.alpha[i] = 1.2;
    options.beta[i] = 0.8;
  }
  if (p.cell == Cell::rnn_tanh) options.activation[0] = Activation::tanh;
  if (p.cell == Cell::rnn_relu) options.activation[0] = Activation::relu;
  options.clip = p.general() && random.between(0, 3) == 0 ? 0.7 : HUGE_VAL;
  options.cell_clip = p.general() && random.between(0, 3) == 0 ? 0.5 : HUGE_VAL;
  options.update_new = p.general() && random.between(0, 1) == 0;
  // Bounds on gradients make them those of no loss: they run for the sanitizers, the tests in Python look at values.
  options.gradient_value = random.between(0, 5) == 0 ? 0.5 : 0;
  options.gradient_norm = random.between(0, 5) == 0 ? 0.5 : 0;
  options.epsilon = 0.01;
  std::fill(std::begin(options.own_rows), std::end(options.own_rows), 0);
  if (p.cell == Cell::lstm_general && random.between(0, 1) == 0) options.own_rows[0] = 3;
  if (p.cell == Cell::lstm_coupled && random.between(0, 1) == 0) options.own_rows[0] = 2;
  if (p.normalises()) {
    const std::int32_t rows[throughtime::most_own] = {4, 4, 1, 1};
    std::copy(std::begin(rows), std::end(rows), std::begin(options.own_rows));
  }
}

Problem random_problem(Random& random) {
  Problem p{};
  p.cell = static_cast<Cell>(random.between(0, cells - 1));
  p.context = random.between(0, 2) == 0;
  p.inputs = random.between(1, 40);
  p.hidden = random.between(1, 70);
  p.projection = p.lstm() && random.between(0, 2) == 0 ? random.between(1, p.hidden) : 0;
  p.directions = random.between(1, 2);
  p.biases = random.between(0, 3) > 0;
  draw_options(random, p);
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
  if (random.between(0, 19) == 0) {
    // Matrices that no second cache holds, of few tokens.
    p.inputs = random.between(150, 250);
    p.hidden = random.between(130, 290);
    p.projection = p.projection > 0 ? random.between(1, 150) : 0;
    p.offsets = {0, 3, 3, 4, 9};
    return p;
  }
  if (random.between(0, 5) > 0) return p;
  // A token alone, as of a stream, which plain cells multiply without packing.
  p.offsets = {0, 1};
  p.context = false;
  p.projection = 0;
  if (p.general()) p.cell = Cell::lstm;
  draw_options(random, p);
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
    random.fill(w.direction[d].c0, p.lstm() ? p.batch() * p.hidden : 0, 1);
    random.fill(w.direction[d].own, p.own_rows() * p.hidden, 0.5);
    random.fill(w.direction[d].context, p.context ? p.batch() * rows : 0, 0.5);
  }
  return w;
}

// The loss is the inner product of all outputs with a random seed.
bool check(const throughtime::Kernels& kernels, unsigned number) {
  Random random(number);
  Problem p = random_problem(random);
  for (std::int64_t token = 0; number % 3 == 0 && token < p.tokens(); ++token) {
    p.reset.push_back(random.between(0, 3) == 0);
  }
  Parameters w = random_parameters(random, p);
  Outputs expected = by_equations(p, w);
  Outputs seed = expected;
  for (Values* part : seed.all(p)) random.fill(*part, static_cast<std::int64_t>(part->size()), 1);
  const int threads = random.between(1, 6);
  Run<double> run(p, kernels, threads, w, seed);
  Run<float> single(p, kernels, threads, w, seed);
  Problem of_rounded = p;
  of_rounded.options.bfloat16 = true;
  Run<float> rounded(of_rounded, kernels, threads, w, seed);

  const double in_double = largest_difference(run.outputs.all(p), expected.all(p));
  const double in_single = largest_difference(single.outputs.all(p), expected.all(p));
  // A normalisation of nearly equal values divides what is lost by little; the tests in Python look at values.
  const double in_rounded = p.normalises() ? 0 : largest_difference(rounded.outputs.all(p), expected.all(p));
  const double lost = largest_difference(rounded.gradients.all(p), rounded.gradients.all(p));  // NaN where nobody wrote
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
  // At the kink of relu or a bound a difference quotient is no gradient, and precision decides which side it is
  // on; the tests in Python compare with torch there.
  const bool smooth = p.cell != Cell::rnn_relu && p.options.clip == HUGE_VAL && p.options.cell_clip == HUGE_VAL &&
                      p.options.gradient_value == 0 && p.options.gradient_norm == 0;
  const double size_of = 1 + std::fabs(slope) + 10 * std::sqrt(static_cast<double>(p.tokens() + 1));
  // The states of relu may grow without bound.
  const double scale = 1 + largest(expected.all(p));
  const bool right = in_double < 1e-12 * scale && in_single < 1e-4 * scale && in_rounded < 0.1 * scale && lost == 0 &&
                     (!smooth || (std::fabs(found - slope) < 1e-5 * size_of &&
                                  std::fabs(found_single - found) < 1e-3 * size_of));
  if (!right) {
    std::printf("%s: problem %u fails: cell %d, I %d, H %d, P %d, D %d, B %d, T %d: outputs %g and %g, "
                "in bfloat16 %g, slope %g, found %g and %g\n",
                kernels.name, number, static_cast<int>(p.cell), p.inputs, p.hidden, p.projection, p.directions,
                static_cast<int>(p.batch()), static_cast<int>(p.tokens()), in_double, in_single, in_rounded, slope, found,
                found_single);
  }
  return right;
}

// What scratch memory is measured by holds for every team that may run: a smaller one than was asked for, or half of it
// for each of two directions.
bool grids_fit() {
  using namespace throughtime;
  for (std::int64_t batch = 1; batch <= 40; ++batch) {
    std::vector<std::int64_t> length(size(batch), 1);
    for (const std::int64_t longest : {1, 3, 50}) {
      length[0] = longest;
      const Sequences sequences{batch, length.data(), nullptr, nullptr, 1, nullptr, batch - 1 + longest, nullptr};
      for (const std::ptrdiff_t weights : {1 << 10, 30 << 10, 100 << 10, 1 << 20, 4 << 20}) {
        for (int threads = 1; threads <= 16; ++threads) {
          for (int team = 1; team <= threads; ++team) {
            const grids::Grid grid = grids::make_grid(team, sequences, weights, 64);
            const std::int64_t rows = (batch + grid.groups - 1) / grid.groups;
            const bool shares = grids::may_share(threads, sequences, weights);
            const std::int64_t room = shares ? threads * batch : batch + threads;
            if (grid.units * grid.groups <= team && grid.units * grid.groups * rows <= room) continue;
            std::printf("%d threads of %d, %d sequences, %d bytes: %d groups of %d do not fit\n", team, threads,
                        static_cast<int>(batch), static_cast<int>(weights), grid.groups, grid.units);
            return false;
          }
        }
      }
    }
  }
  return true;
}

}  // namespace

int main(int count, char** arguments) {
  const unsigned problems = count > 1 ? static_cast<unsigned>(std::atoi(arguments[1])) : 200;
  int passed = 0, failed = 0;
  (grids_fit() ? passed : failed) += 1;
  for (const char* const* name = throughtime::instruction_sets(); *name != nullptr; ++name) {
    const throughtime::Kernels& kernels = *throughtime::find_kernels(*name);
    for (unsigned number = 0; number < problems; ++number) (check(kernels, number) ? passed : failed) += 1;
    (right_together([&](unsigned number) { return check(kernels, number); }, 7) ? passed : failed) += 1;
    std::printf("%s: done\n", *name);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
