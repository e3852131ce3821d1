// Tests the MiniRocket kernel without Python, for the sanitizers: against plain loops over steps, kernels and biases,
// on random batches, with the instruction set of the environment variable.
//
// `rocket_test N` runs N problems, prints "N passed, N failed" and exits with 1 if any failed.
#include "kernels/rocket/rocket.h"
#include "problems.h"

namespace {

using throughtime::rocket_kernels;

struct Problem {
  Index channels = 1;
  bool differences = false, all_statistics = false;
  std::vector<Index> offsets{0}, dilation, first{0}, read;
  Index most_read = 1;
  int threads = 1;
  Values x, bias;

  Index sequences() const { return static_cast<Index>(offsets.size()) - 1; }
  Index columns() const { return rocket_kernels * first.back(); }
  Index statistics() const { return all_statistics ? throughtime::rocket_statistics : 1; }
};

Problem problem_of(unsigned number) {
  Random random(number);
  Problem p;
  p.channels = number % 2 == 0 ? 1 : random.number(2, 6);
  p.differences = random.number(0, 2) == 0;
  p.all_statistics = random.number(0, 1) == 0;
  for (Index b = random.number(0, 4); b > 0; --b) p.offsets.push_back(p.offsets.back() + random.number(0, number % 5 == 0 ? 400 : 40));
  Index dilation = 0;
  for (Index g = random.number(1, 4); g > 0; --g) {
    dilation += random.number(1, 6);
    p.dilation.push_back(dilation);
    p.first.push_back(p.first.back() + random.number(1, 5));
  }
  p.most_read = random.number(1, p.channels);
  for (std::size_t i = 0; i < p.dilation.size() * rocket_kernels; ++i) {
    const Index count = random.number(1, p.most_read);
    for (Index m = 0; m < p.most_read; ++m) p.read.push_back(m < count ? random.number(0, p.channels - 1) : -1);
  }
  p.threads = static_cast<int>(random.number(1, 4));
  p.x = random.values(p.offsets.back() * p.channels);
  p.bias = random.values(p.columns());
  return p;
}

// Outputs of a kernel (of taps i, j, l) and of a channel, in the kernel's order of sums.
std::vector<float> outputs_of(const std::vector<float>& x, Index dilation, const int (&taps)[3]) {
  const Index steps = static_cast<Index>(x.size());
  const auto at = [&](Index t, int tap) {
    const Index place = t + (tap - 4) * dilation;
    return place < 0 || place >= steps ? 0.0f : x[static_cast<std::size_t>(place)];
  };
  std::vector<float> c;
  for (Index t = 0; t < steps; ++t) {
    float sum = at(t, 4);
    for (int tap = 0; tap < 9; ++tap) sum += tap == 4 ? 0.0f : at(t, tap);
    sum = -sum;
    for (const int tap : taps) sum += at(t, tap) * 3.0f;
    c.push_back(sum);
  }
  return c;
}

void add_features(const std::vector<float>& c, float bias, double (&value)[4]) {
  Index positive = 0, numbers = 0, stretch = 0, longest = 0;
  double sum = 0;
  for (std::size_t t = 0; t < c.size(); ++t) {
    const bool above = c[t] > bias;
    stretch = above ? stretch + 1 : 0;
    longest = std::max(longest, stretch);
    if (!above) continue;
    positive += 1;
    numbers += static_cast<Index>(t);
    sum += c[t] - bias;
  }
  const float outputs = static_cast<float>(std::max<std::size_t>(c.size(), 1));
  value[0] = static_cast<float>(positive) / outputs;
  value[1] = positive == 0 ? 0 : sum / static_cast<double>(positive);
  value[2] = positive == 0 ? -1 : static_cast<float>(static_cast<double>(numbers) / static_cast<double>(positive));
  value[3] = static_cast<double>(longest);
}

std::vector<float> channel_of(const Problem& p, Index b, Index channel) {
  std::vector<float> x;
  for (Index t = p.offsets[b]; t + (p.differences ? 1 : 0) < p.offsets[b + 1]; ++t) {
    const double* const row = p.x.data() + t * p.channels + channel;
    x.push_back(static_cast<float>(row[0]));
    if (p.differences) x.back() = static_cast<float>(row[p.channels]) - static_cast<float>(row[0]);
  }
  return x;
}

Values by_loops(const Problem& p, Index b) {
  Values y(static_cast<std::size_t>(p.columns() * p.statistics()));
  for (std::size_t g = 0; g < p.dilation.size(); ++g) {
    Index k = 0;
    for (int i = 0; i < 9; ++i) for (int j = i + 1; j < 9; ++j) for (int l = j + 1; l < 9; ++l, ++k) {
      std::vector<float> c;
      for (Index m = 0; m < p.most_read; ++m) {
        const Index channel = p.read[(g * rocket_kernels + k) * p.most_read + m];
        if (channel < 0) break;
        const std::vector<float> more = outputs_of(channel_of(p, b, channel), p.dilation[g], {i, j, l});
        if (m == 0) c = more;
        for (std::size_t t = 0; m > 0 && t < c.size(); ++t) c[t] += more[t];
      }
      const Index border = 4 * p.dilation[g], steps = static_cast<Index>(c.size());
      if ((static_cast<Index>(g) + k) % 2 == 1 && steps >= 4 * border) {
        c = std::vector<float>(c.begin() + border, c.end() - border);
      }
      const Index biases = p.first[g + 1] - p.first[g];
      for (Index n = 0; n < biases; ++n) {
        const Index place = rocket_kernels * p.first[g] + k * biases + n;
        double value[4];
        add_features(c, static_cast<float>(p.bias[place]), value);
        for (Index s = 0; s < p.statistics(); ++s) y[s * p.columns() + place] = value[s];
      }
    }
  }
  return y;
}

bool check(unsigned number) {
  const Problem p = problem_of(number);
  std::vector<float> x = as<float>(p.x), bias = as<float>(p.bias);
  const Index width = p.columns() * p.statistics(), row = width + number % 3;
  std::vector<float> y(static_cast<std::size_t>(p.sequences() * row), static_cast<float>(NAN));
  throughtime::rocket({p.sequences(), p.offsets.data(), p.channels, p.differences, p.all_statistics,
                       static_cast<Index>(p.dilation.size()), p.dilation.data(), p.first.data(), address(bias),
                       p.most_read, p.read.data(), p.threads, address(x), row, address(y)});
  for (Index b = 0; b < p.sequences(); ++b) {
    const Values expected = by_loops(p, b);
    for (Index f = 0; f < width; ++f) {
      const double found = y[b * row + f], wanted = expected[f];
      const bool is_mean = f / p.columns() == 1;
      if (!(is_mean ? std::fabs(found - wanted) <= 1e-5 * (1 + std::fabs(wanted)) : found == wanted)) {
        std::printf("problem %u: sequence %lld, feature %lld: %g, expected %g\n", number, static_cast<long long>(b),
                    static_cast<long long>(f), found, wanted);
        return false;
      }
    }
  }
  return true;
}

}  // namespace

int main(int count, char** arguments) { return run_problems(count, arguments, check); }
