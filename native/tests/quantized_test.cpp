// Tests the kernels with int8 weights without Python, for the sanitizers and for processors that are emulated: exact sums
// with every set of instructions that there is; linear layers, convolutions and recurrent layers against plain loops with
// the set in use; and the same bits on one thread, and for every sequence alone.
//
// `quantized_test N` runs N problems, prints "N passed, N failed" and exits with 1 if any failed.
#include "kernels/quantized/quantized.h"

#include <cstring>

#include "problems.h"

namespace {

using throughtime::PackedWeights;
using throughtime::QuantizedCorrelate;
using throughtime::QuantizedRecurrent;

using Bytes = std::vector<std::int8_t>;
using Floats = std::vector<float>;

Index rounded_up(Index x, Index unit) { return (x + unit - 1) / unit * unit; }

// Rows (gates, height, taps, factors) of integers, scales and biases of each, and the same in the kernels' layout.
struct Matrix {
  Index gates, height, taps, factors, groups, panels, width, vectors;
  Bytes values;
  Floats scale, bias;
  Bytes packed;
  Floats packed_scale, packed_bias;

  Matrix(Random& random, Index gates_, Index height_, Index taps_, Index factors_, Index vectors_of_gate)
      : gates(gates_), height(height_), taps(taps_), factors(factors_) {
    groups = rounded_up(factors, 4) / 4;
    const Index units = 16 * vectors_of_gate;
    vectors = gates * vectors_of_gate;
    panels = rounded_up(height, units) / units;
    width = gates * units;
    for (Index i = 0; i < gates * height * taps * factors; ++i) {
      values.push_back(static_cast<std::int8_t>(random.number(0, 3) == 0 ? 127 - 254 * random.number(0, 1)
                                                                         : random.number(-127, 127)));
    }
    for (Index i = 0; i < gates * height; ++i) {
      scale.push_back(static_cast<float>(random.number(1, 100)) * 1e-4f);
      bias.push_back(static_cast<float>(random.number(-100, 100)) * 0.01f);
    }
    packed.assign(static_cast<std::size_t>(panels * taps * groups * width * 4), 0);
    packed_scale.assign(static_cast<std::size_t>(panels * width), 0);
    packed_bias = packed_scale;
    for (Index g = 0; g < gates; ++g) {
      for (Index u = 0; u < height; ++u) {
        const Index panel = u / units, column = g * units + u % units;
        packed_scale[panel * width + column] = scale[g * height + u];
        packed_bias[panel * width + column] = bias[g * height + u];
        for (Index k = 0; k < taps; ++k) {
          for (Index c = 0; c < factors; ++c) {
            const Index group = k * groups + c / 4;
            packed[((panel * taps * groups + group) * width + column) * 4 + c % 4] = at(g, u, k, c);
          }
        }
      }
    }
  }

  std::int8_t at(Index g, Index u, Index k, Index c) const {
    return values[((g * height + u) * taps + k) * factors + c];
  }

  PackedWeights view() const {
    return {packed.data(), packed_scale.data(), panels, taps * groups, static_cast<int>(vectors)};
  }
};

struct Token {
  std::vector<int> values;
  float scale;
};

Token rounded(const float* x, Index features) {
  float most = 0;
  for (Index i = 0; i < features; ++i) most = std::max(most, std::fabs(x[i]));
  Token token{std::vector<int>(static_cast<std::size_t>(features), 0), most < 1e-30f ? 0.0f : most / 127};
  if (most < 1e-30f) return token;
  const float factor = 127 / most;
  for (Index i = 0; i < features; ++i) token.values[i] = static_cast<int>(std::nearbyint(x[i] * factor));
  return token;
}

// s · a · Σ q q of one output.
double product(const Matrix& m, const Token& token, Index g, Index u, Index k = 0) {
  Index sum = 0;
  for (Index c = 0; c < m.factors; ++c) sum += m.at(g, u, k, c) * token.values[c];
  return static_cast<double>(sum) * token.scale;
}

bool exact_sums(unsigned number) {
  Random random(number);
  const Matrix m(random, 1, random.number(1, 150), 1, random.number(1, number % 5 == 0 ? 1500 : 70), random.number(1, 4));
  const Index rows = random.number(1, 5), columns = m.panels * m.width;
  Bytes tokens(static_cast<std::size_t>(rows * m.groups * 4), 0);
  std::vector<std::int32_t> expected(static_cast<std::size_t>(rows * columns), 0);
  for (Index r = 0; r < rows; ++r) {
    for (Index c = 0; c < m.factors; ++c) {
      tokens[r * m.groups * 4 + c] = static_cast<std::int8_t>(random.number(0, 3) == 0 ? 127 - 254 * random.number(0, 1)
                                                                                      : random.number(-127, 127));
    }
    for (Index o = 0; o < m.height; ++o) {
      for (Index c = 0; c < m.factors; ++c) {
        expected[r * columns + o] += m.at(0, o, 0, c) * tokens[r * m.groups * 4 + c];
      }
    }
  }
  for (const char* const* name = throughtime::quantized_sets(); *name != nullptr; ++name) {
    std::vector<std::int32_t> sums(expected.size(), -1);
    if (!throughtime::quantized_sums(*name, tokens.data(), rows, m.view(), sums.data()) || sums != expected) {
      std::printf("problem %u: sums differ with %s\n", number, *name);
      return false;
    }
  }
  return true;
}

Floats as_floats(const Values& values) { return Floats(values.begin(), values.end()); }

bool near(const Floats& found, const Values& expected, double tolerance) {
  return difference(Values(found.begin(), found.end()), expected) < tolerance;
}

bool right_correlation(unsigned number) {
  Random random(number + 1000);
  const Index taps = random.number(1, 4), channels = random.number(1, 40), columns = random.number(1, 100);
  const Matrix m(random, 1, columns, taps, channels, random.number(1, 4));
  QuantizedCorrelate call{};
  call.weights = m.view();
  call.bias = m.packed_bias.data();
  call.channels = channels;
  call.columns = columns;
  call.taps = taps;
  call.stride = random.number(1, 3);
  call.dilation = random.number(1, 3);
  call.left = random.number(0, 4);
  call.replicate = random.number(0, 1) == 1;
  const Index right = random.number(0, 4), reach = (taps - 1) * call.dilation;
  std::vector<Index> offsets{0}, out_offsets{0};
  for (Index b = random.number(0, 5); b > 0; --b) {
    const Index length = random.number(0, 20), room = length + call.left + right - reach - 1;
    offsets.push_back(offsets.back() + length);
    out_offsets.push_back(out_offsets.back() + (length == 0 || room < 0 ? 0 : room / call.stride + 1));
  }
  const Floats x = as_floats(random.values(offsets.back() * channels));
  call.x = x.data();
  call.sequences = static_cast<Index>(offsets.size()) - 1;
  call.offsets = offsets.data();
  call.out_offsets = out_offsets.data();
  Values expected(static_cast<std::size_t>(out_offsets.back() * columns), 0);
  for (Index b = 0; b < call.sequences; ++b) {
    for (Index r = out_offsets[b]; r < out_offsets[b + 1]; ++r) {
      for (Index k = 0; k < taps; ++k) {
        Index t = offsets[b] + (r - out_offsets[b]) * call.stride - call.left + k * call.dilation;
        if (call.replicate) t = std::min(std::max(t, offsets[b]), offsets[b + 1] - 1);
        if (t < offsets[b] || t >= offsets[b + 1]) continue;
        const Token token = rounded(x.data() + t * channels, channels);
        for (Index o = 0; o < columns; ++o) expected[r * columns + o] += product(m, token, 0, o, k);
      }
      for (Index o = 0; o < columns; ++o) expected[r * columns + o] = expected[r * columns + o] * m.scale[o] + m.bias[o];
    }
  }
  Floats y(expected.size(), NAN), alone = y;
  call.threads = static_cast<int>(random.number(1, 4));
  call.y = y.data();
  throughtime::quantized_correlate(call);
  call.threads = 1;
  call.y = alone.data();
  throughtime::quantized_correlate(call);
  if (near(y, expected, 2e-5) && y == alone) return true;
  std::printf("problem %u: a convolution of %d channels to %d is wrong\n", number, static_cast<int>(channels),
              static_cast<int>(columns));
  return false;
}

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

struct Layer {
  throughtime::Cell cell;
  Index gates, inputs, hidden;
  Matrix ih, hh;
  Floats late;

  Layer(Random& random, unsigned kind, Index inputs_, Index hidden_)
      : cell(kind == 0   ? throughtime::Cell::lstm
             : kind == 1 ? throughtime::Cell::gru
             : kind == 2 ? throughtime::Cell::rnn_tanh
                         : throughtime::Cell::rnn_relu),
        gates(kind == 0 ? 4 : kind == 1 ? 3 : 1),
        inputs(inputs_),
        hidden(hidden_),
        ih(random, gates, hidden, 1, inputs, gates > 1 ? 1 : 2),
        hh(random, gates, hidden, 1, hidden, gates > 1 ? 1 : 2) {
    if (kind != 1) return;
    late.assign(static_cast<std::size_t>(hh.panels * 16), 0);
    for (Index u = 0; u < hidden; ++u) late[u] = static_cast<float>(random.number(-100, 100)) * 0.01f;
  }

  double input(const Token& x, Index gate, Index u) const {
    return product(ih, x, gate, u) * ih.scale[gate * hidden + u] + ih.bias[gate * hidden + u];
  }
  double recurrent(const Token& h, Index gate, Index u) const {
    return product(hh, h, gate, u) * hh.scale[gate * hidden + u];
  }

  // One step of one sequence; the slots of a GRU are n r z for x and r z n for h.
  void step(const float* x, Floats& h, Floats& c) const {
    const Token from_x = rounded(x, inputs), from_h = rounded(h.data(), hidden);
    const Floats before = h;
    for (Index u = 0; u < hidden; ++u) {
      if (gates == 4) {
        double gate[4];
        for (Index g = 0; g < 4; ++g) gate[g] = input(from_x, g, u) + recurrent(from_h, g, u);
        c[u] = static_cast<float>(logistic(gate[1]) * c[u] + logistic(gate[0]) * std::tanh(gate[2]));
        h[u] = static_cast<float>(logistic(gate[3]) * std::tanh(static_cast<double>(c[u])));
      } else if (gates == 3) {
        const double r = logistic(input(from_x, 1, u) + recurrent(from_h, 0, u));
        const double z = logistic(input(from_x, 2, u) + recurrent(from_h, 1, u));
        const double n = std::tanh(input(from_x, 0, u) + r * (recurrent(from_h, 2, u) + late[u]));
        h[u] = static_cast<float>((1 - z) * n + z * before[u]);
      } else {
        const double pre = input(from_x, 0, u) + recurrent(from_h, 0, u);
        h[u] = static_cast<float>(cell == throughtime::Cell::rnn_relu ? std::max(pre, 0.0) : std::tanh(pre));
      }
    }
  }
};

struct Outputs {
  Floats y, h_n, c_n;
  bool operator==(const Outputs& other) const { return y == other.y && h_n == other.h_n && c_n == other.c_n; }
};

Outputs by_kernels(const Layer* const* layers, int directions, const std::vector<Index>& offsets, const Floats& x,
                   const Floats& h0, const Floats& c0, const std::int8_t* reset, int threads) {
  const Layer& layer = *layers[0];
  const Index batch = static_cast<Index>(offsets.size()) - 1, states = batch * layer.hidden;
  Outputs out;
  out.y.assign(static_cast<std::size_t>(offsets.back() * directions * layer.hidden), NAN);
  out.h_n.assign(static_cast<std::size_t>(directions * states), NAN);
  out.c_n.assign(layer.gates == 4 ? out.h_n.size() : 0, NAN);
  QuantizedRecurrent call{};
  call.cell = layer.cell;
  call.tokens = {throughtime::Order::ragged, batch, 0, offsets.data(), reset};
  call.inputs = static_cast<int>(layer.inputs);
  call.hidden = static_cast<int>(layer.hidden);
  call.directions = directions;
  call.threads = threads;
  call.x = x.data();
  call.y = out.y.data();
  for (int d = 0; d < directions; ++d) {
    const Layer& own = *layers[d];
    const float* const c = own.gates == 4 ? c0.data() + d * states : nullptr;
    call.direction[d] = {own.ih.view(),
                         own.hh.view(),
                         own.ih.packed_bias.data(),
                         own.gates == 3 ? own.late.data() : nullptr,
                         h0.data() + d * states,
                         c,
                         out.h_n.data() + d * states,
                         own.gates == 4 ? out.c_n.data() + d * states : nullptr};
  }
  throughtime::quantized_recurrent(call);
  return out;
}

// Steps of each sequence, one after the other. Rounding h makes a small difference a step of an integer, which few
// steps keep small; so sequences are short here.
Outputs by_loops(const Layer* const* layers, int directions, const std::vector<Index>& offsets, const Floats& x,
                 const Floats& h0, const Floats& c0, const std::int8_t* reset) {
  const Index H = layers[0]->hidden, I = layers[0]->inputs, batch = static_cast<Index>(offsets.size()) - 1;
  Outputs out;
  out.y.assign(static_cast<std::size_t>(offsets.back() * directions * H), 0);
  out.h_n = h0;
  out.c_n = layers[0]->gates == 4 ? c0 : Floats();
  for (int d = 0; d < directions; ++d) {
    for (Index b = 0; b < batch; ++b) {
      const Index state = (d * batch + b) * H, length = offsets[b + 1] - offsets[b];
      Floats h(h0.begin() + state, h0.begin() + state + H), c(c0.begin() + state, c0.begin() + state + H);
      for (Index k = 0; k < length; ++k) {
        const Index t = offsets[b] + (d == 1 ? length - 1 - k : k);
        const bool restarts = reset != nullptr && (d == 0 ? reset[t] != 0 : k > 0 && reset[t + 1] != 0);
        if (restarts) std::fill(h.begin(), h.end(), 0.0f), std::fill(c.begin(), c.end(), 0.0f);
        layers[d]->step(x.data() + t * I, h, c);
        std::copy(h.begin(), h.end(), out.y.begin() + (t * directions + d) * H);
      }
      std::copy(h.begin(), h.end(), out.h_n.begin() + state);
      if (layers[d]->gates == 4) std::copy(c.begin(), c.end(), out.c_n.begin() + state);
    }
  }
  return out;
}

bool near(const Outputs& found, const Outputs& expected) {
  const auto values = [](const Floats& all) { return Values(all.begin(), all.end()); };
  // A tie of rounding may go either way: one integer of a state, times its weight.
  return difference(values(found.y), values(expected.y)) < 2e-2 &&
         difference(values(found.h_n), values(expected.h_n)) < 2e-2 &&
         difference(values(found.c_n), values(expected.c_n)) < 2e-2;
}

bool right_recurrence(unsigned number) {
  Random random(number + 2000);
  const unsigned kind = number % 4;
  const Index inputs = random.number(1, 40), hidden = random.number(1, number % 3 == 0 ? 130 : 40);
  const int directions = static_cast<int>(random.number(1, 2));
  const Layer forth(random, kind, inputs, hidden), back(random, kind, inputs, hidden);
  const Layer* const layers[2] = {&forth, &back};
  std::vector<Index> offsets{0};
  for (Index b = random.number(1, 9); b > 0; --b) offsets.push_back(offsets.back() + random.number(0, 4));
  const Index batch = static_cast<Index>(offsets.size()) - 1, states = directions * batch * hidden;
  const Floats x = as_floats(random.values(offsets.back() * inputs)), h0 = as_floats(random.values(states)),
               c0 = as_floats(random.values(states));
  Bytes reset(static_cast<std::size_t>(offsets.back()), 0);
  for (std::int8_t& flag : reset) flag = random.number(0, 4) == 0;
  const std::int8_t* const flags = number % 2 == 0 ? reset.data() : nullptr;
  const Outputs found =
      by_kernels(layers, directions, offsets, x, h0, c0, flags, static_cast<int>(random.number(1, 4)));
  const Outputs alone = by_kernels(layers, directions, offsets, x, h0, c0, flags, 1);
  if (near(found, by_loops(layers, directions, offsets, x, h0, c0, flags)) && found == alone) return true;
  std::printf("problem %u: a recurrent layer of kind %u, %d inputs and %d units is wrong\n", number, kind,
              static_cast<int>(inputs), static_cast<int>(hidden));
  return false;
}

bool check(unsigned number) { return exact_sums(number) && right_correlation(number) && right_recurrence(number); }

}  // namespace

int main(int count, char** arguments) {
  std::printf("%s\n", throughtime::quantized_set());
  return run_problems(count, arguments, check);
}
