// Plain reference of the recurrent layers, unit by unit in double precision.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/recurrent/recurrent.h"

namespace recurrent_test {

using throughtime::Activation;
using throughtime::Cell;
using Values = std::vector<double>;

struct Problem {
  Cell cell;
  int inputs, hidden, projection, directions;
  bool biases, context;
  throughtime::Options options;
  std::vector<std::int64_t> offsets;
  std::vector<std::int8_t> reset;  // of each token, or empty

  bool normalises() const { return cell == Cell::layer_norm_lstm; }
  // Whether there is a c.
  bool lstm() const {
    return cell == Cell::lstm || cell == Cell::lstm_general || cell == Cell::lstm_coupled || normalises();
  }
  bool gru() const { return cell == Cell::gru || cell == Cell::gru_general || cell == Cell::gru_before; }
  bool general() const { return cell >= Cell::lstm_general; }
  int gates() const {
    switch (cell) {
#define THROUGHTIME_GATES(name, type, gates, ...) \
  case Cell::name: return gates;
      THROUGHTIME_CELLS(THROUGHTIME_GATES)
#undef THROUGHTIME_GATES
    }
    return 0;
  }
  int slots() const {
    switch (cell) {
#define THROUGHTIME_SAVED(name, type, gates, saved, ...) \
  case Cell::name: return saved;
      THROUGHTIME_CELLS(THROUGHTIME_SAVED)
#undef THROUGHTIME_SAVED
    }
    return 0;
  }
  int own_rows() const {
    int rows = 0;
    for (const std::int32_t count : options.own_rows) rows += count;
    return rows;
  }
  bool peephole() const { return own_rows() > 0 && !normalises(); }
  int state() const { return projection > 0 ? projection : hidden; }
  std::int64_t batch() const { return static_cast<std::int64_t>(offsets.size()) - 1; }
  std::int64_t tokens() const { return offsets.back(); }
};

// Everything that has a gradient, in one order.
struct Parameters {
  Values x;
  struct Direction {
    Values ih, hh, b_ih, b_hh, hr, h0, c0, own, context;
  } direction[2];

  std::vector<Values*> all(const Problem& p) {
    std::vector<Values*> found{&x};
    for (int d = 0; d < p.directions; ++d) {
      Direction& w = direction[d];
      for (Values* part : {&w.ih, &w.hh, &w.b_ih, &w.b_hh, &w.hr, &w.h0, &w.c0, &w.own, &w.context}) found.push_back(part);
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

inline double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// Of the activations, those that the tests draw.
inline double value(const throughtime::Options& options, int place, double x) {
  if (place < 2) x = std::fmax(std::fmin(x, options.clip), -options.clip);
  switch (options.activation[place]) {
    case Activation::tanh: return std::tanh(x);
    case Activation::softsign: return x / (1 + std::fabs(x));
    case Activation::scaled_tanh: return options.alpha[place] * std::tanh(options.beta[place] * x);
    case Activation::relu: return std::fmax(x, 0);
    default: return sigmoid(x);
  }
}

// Mean 0 and, but for epsilon, variance 1.
inline void normalise(Values& values, double epsilon) {
  double mean = 0, variance = 0;
  for (const double x : values) mean += x / static_cast<double>(values.size());
  for (const double x : values) variance += (x - mean) * (x - mean) / static_cast<double>(values.size());
  for (double& x : values) x = (x - mean) / std::sqrt(variance + epsilon);
}

inline std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

inline Outputs sized_outputs(const Problem& p) {
  Outputs out;
  const bool lstm = p.lstm();
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
inline Outputs by_equations(const Problem& p, const Parameters& w) {
  Outputs out = sized_outputs(p);
  const int H = p.hidden, P = p.state(), I = p.inputs;
  const bool lstm = p.lstm();
  for (int d = 0; d < p.directions; ++d) {
    const Parameters::Direction& weights = w.direction[d];
    for (std::int64_t b = 0; b < p.batch(); ++b) {
      Values h(weights.h0.begin() + b * P, weights.h0.begin() + (b + 1) * P), c(size(H));
      if (lstm) c.assign(weights.c0.begin() + b * H, weights.c0.begin() + (b + 1) * H);
      const std::int64_t begin = p.offsets[size(b)], end = p.offsets[size(b + 1)];
      for (std::int64_t t = 0; t < end - begin; ++t) {
        const std::int64_t token = d == 0 ? begin + t : end - 1 - t;
        if (!p.reset.empty() && (d == 0 || t > 0) && p.reset[size(token + d)] != 0) {
          std::fill(h.begin(), h.end(), 0.0);
          if (lstm) std::fill(c.begin(), c.end(), 0.0);
        }
        const auto product = [&](const Values& matrix, const double* with, int row, int columns) {
          double sum = 0;
          for (int k = 0; k < columns; ++k) sum += matrix[size(row * columns + k)] * with[k];
          return sum;
        };
        const auto input = [&](int gate, int u) {
          const int row = gate * H + u;
          return product(weights.ih, &w.x[size(token * I)], row, I) + (p.biases ? weights.b_ih[size(row)] : 0) +
                 (p.context ? weights.context[size(b * p.gates() * H + row)] : 0);
        };
        const auto recurrent = [&](int gate, int u, const Values& of) {
          const int row = gate * H + u;
          return product(weights.hh, of.data(), row, P) + (p.biases ? weights.b_hh[size(row)] : 0);
        };
        const auto total = [&](int gate, int u) { return input(gate, u) + recurrent(gate, u, h); };
        const auto gate_value = [&](double x) { return value(p.options, 0, x); };
        const auto sight = [&](int block, int u) {
          return p.peephole() ? weights.own[size(block * H + u)] * c[size(u)] : 0;
        };
        const auto keep_at = [&](int slot, int u, double x) {
          out.gates[d][size((token * p.slots() + slot) * H + u)] = x;
        };
        Values next(size(H)), reset(size(H));
        if (p.normalises()) {
          Values from_x(size(4 * H)), from_h(size(4 * H));
          for (int row = 0; row < 4 * H; ++row) {
            from_x[size(row)] = product(weights.ih, &w.x[size(token * I)], row, I);
            from_h[size(row)] = product(weights.hh, h.data(), row, P);
          }
          for (int u = 0; u < H; ++u) {
            for (int gate = 0; gate < 4; ++gate) {
              keep_at(4 + gate, u, from_h[size(gate * H + u)]);
              keep_at(8 + gate, u, from_x[size(gate * H + u)]);
            }
          }
          normalise(from_x, p.options.epsilon);
          normalise(from_h, p.options.epsilon);
          const auto before = [&](int gate, int u) {
            const std::size_t row = size(gate * H + u);
            return weights.own[row] * from_x[row] + weights.own[size(4 * H) + row] * from_h[row] +
                   (p.biases ? weights.b_ih[row] + weights.b_hh[row] : 0) +
                   (p.context ? weights.context[size(b * 4 * H) + row] : 0);
          };
          for (int u = 0; u < H; ++u) {
            const double i = gate_value(before(0, u)), f = gate_value(before(1, u)), g = value(p.options, 1, before(2, u));
            c[size(u)] = f * c[size(u)] + i * g;
            out.c[d][size(token * H + u)] = c[size(u)];
            keep_at(0, u, i), keep_at(1, u, f), keep_at(2, u, g), keep_at(3, u, gate_value(before(3, u)));
          }
          Values normal = c;
          normalise(normal, p.options.epsilon);
          for (int u = 0; u < H; ++u) {
            const double shown = weights.own[size(8 * H + u)] * normal[size(u)] + weights.own[size(9 * H + u)];
            next[size(u)] = gate_value(before(3, u)) * value(p.options, 2, shown);
          }
        }
        const bool resets = p.cell == Cell::gru_before || p.cell == Cell::mgu;
        for (int u = 0; u < H && resets; ++u) reset[size(u)] = gate_value(total(0, u)) * h[size(u)];
        for (int u = 0; u < H && !p.normalises(); ++u) {
          const auto keep = [&](int slot, double x) { keep_at(slot, u, x); };
          if (lstm) {
            const bool coupled = p.cell == Cell::lstm_coupled;
            const double i = gate_value(total(0, u) + sight(0, u));
            const double f = coupled ? 1 - i : gate_value(total(1, u) + sight(1, u));
            const double g = value(p.options, 1, total(coupled ? 1 : 2, u));
            c[size(u)] = std::fmax(std::fmin(f * c[size(u)] + i * g, p.options.cell_clip), -p.options.cell_clip);
            const double o = gate_value(total(coupled ? 2 : 3, u) + sight(coupled ? 1 : 2, u));
            next[size(u)] = o * value(p.options, 2, c[size(u)]);
            keep(0, i), keep(1, f), keep(2, g), keep(3, o);
            out.c[d][size(token * H + u)] = c[size(u)];
          } else if (p.gru()) {
            const bool before = p.cell == Cell::gru_before;
            const double r = gate_value(total(0, u)), z = gate_value(total(1, u));
            const double hn = recurrent(2, u, before ? reset : h);
            const double n = value(p.options, 1, input(2, u) + (before ? hn : r * hn));
            next[size(u)] = p.options.update_new ? (1 - z) * h[size(u)] + z * n : (1 - z) * n + z * h[size(u)];
            keep(0, r), keep(1, z), keep(2, n);
            if (!before) keep(3, hn);
          } else if (p.cell == Cell::mgu) {
            const double f = gate_value(total(0, u));
            const double n = value(p.options, 1, input(1, u) + recurrent(1, u, reset));
            next[size(u)] = (1 - f) * h[size(u)] + f * n;
            keep(0, f), keep(1, n);
          } else {
            next[size(u)] = value(p.options, 0, total(0, u));
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

}  // namespace recurrent_test
