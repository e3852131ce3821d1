// Tests the convolution kernels without Python, for the sanitizers: values and all gradients against plain sums, on
// random batches, with the instruction set of the environment variable.
//
// `conv_test sets` prints the instruction sets of this machine. `conv_test N` runs N problems, prints
// "N passed, N failed" and exits with 1 if any failed.
#include <cstring>

#include "kernels/conv/conv.h"
#include "problems.h"

namespace {

struct Problem {
  throughtime::ConvShape shape{};
  std::vector<Index> offsets{0}, out_offsets{0};
  bool relu = false;
  int threads = 1;
  Values x, weight, bias, dy, start;

  Index tokens() const { return offsets.back(); }
  Index windows() const { return out_offsets.back(); }
  Index inner() const { return shape.channels / shape.groups; }
};

struct Results {
  Values y, dx, dw, db;
};

Problem problem_of(unsigned number) {
  Random random(number);
  Problem p;
  throughtime::ConvShape& s = p.shape;
  s.groups = random.number(0, 2) == 0 ? random.number(2, 5) : 1;
  s.channels = s.groups * random.number(1, number % 3 == 0 ? 70 : 9);
  s.outputs = s.groups * random.number(1, number % 5 == 0 ? 70 : 9);
  s.width = random.number(1, 7);
  s.stride = random.number(1, 3);
  s.dilation = random.number(1, 4);
  s.replicate = random.number(0, 2) == 0;
  s.left = random.number(0, 8);
  Index right = random.number(0, 8);
  if (number % 6 == 0) {  // a product of rows
    s.groups = s.width = s.stride = 1;
    s.left = right = 0;
    s.channels = random.number(1, 300);
  }
  const Index reach = s.dilation * (s.width - 1);
  const Index sequences = random.number(0, 6);
  for (Index b = 0; b < sequences; ++b) {
    const Index length = random.number(0, number % 4 == 0 ? 400 : 20);
    const Index room = length + s.left + right - reach - 1;
    const Index windows = length == 0 || room < 0 ? 0 : room / s.stride + 1;
    p.offsets.push_back(p.tokens() + length);
    p.out_offsets.push_back(p.windows() + windows);
  }
  p.relu = random.number(0, 1) == 0;
  p.threads = static_cast<int>(random.number(1, 4));
  p.x = random.values(p.tokens() * s.channels);
  p.weight = random.values(s.outputs * p.inner() * s.width);
  p.bias = random.number(0, 1) == 0 ? random.values(s.outputs) : Values{};
  p.dy = random.values(p.windows() * s.outputs);
  // Of a third of them nearly all values are zero.
  const Index kept = random.number(0, 2) == 0 ? random.number(8, 40) : 1;
  for (double& one : p.dy) one = random.number(1, kept) == 1 ? one : 0;
  // With replicated borders the caller adds it (see ops/conv/native.py).
  p.start = !s.replicate && random.number(0, 1) == 0 ? random.values(s.channels) : Values{};
  return p;
}

// Calls `visit(x index, weight index, row of y, output)` for every product of the sum.
template <class Visit>
void products(const Problem& p, Visit visit) {
  const throughtime::ConvShape& s = p.shape;
  const Index inner = p.inner(), outer = s.outputs / s.groups;
  for (std::size_t b = 0; b + 1 < p.offsets.size(); ++b) {
    const Index begin = p.offsets[b], length = p.offsets[b + 1] - begin;
    for (Index t = p.out_offsets[b]; t < p.out_offsets[b + 1]; ++t) {
      for (Index k = 0; k < s.width; ++k) {
        Index at = (t - p.out_offsets[b]) * s.stride + k * s.dilation - s.left;
        if (s.replicate) at = std::min(std::max<Index>(at, 0), length - 1);
        if (at < 0 || at >= length) continue;
        for (Index o = 0; o < s.outputs; ++o) {
          for (Index c = 0; c < inner; ++c) {
            visit((begin + at) * s.channels + o / outer * inner + c, (o * inner + c) * s.width + k, t, o);
          }
        }
      }
    }
  }
}

Results by_sums(const Problem& p) {
  const throughtime::ConvShape& s = p.shape;
  Results r;
  r.y.assign(p.dy.size(), 0);
  r.dx.assign(p.x.size(), 0);
  r.dw.assign(p.weight.size(), 0);
  r.db.assign(static_cast<std::size_t>(s.outputs), 0);
  products(p, [&](Index i, Index w, Index t, Index o) {
    const Index out = t * s.outputs + o;
    r.y[out] += p.x[i] * p.weight[w];
    r.dx[i] += p.dy[out] * p.weight[w];
    r.dw[w] += p.dy[out] * p.x[i];
  });
  for (std::size_t out = 0; out < r.y.size(); ++out) {
    const std::size_t o = out % static_cast<std::size_t>(s.outputs);
    if (!p.bias.empty()) r.y[out] += p.bias[o];
    if (p.relu) r.y[out] = std::max(r.y[out], 0.0);
    r.db[o] += p.dy[out];
  }
  if (!p.start.empty()) {
    for (std::size_t i = 0; i < r.dx.size(); ++i) r.dx[i] += p.start[i % p.start.size()];
  }
  return r;
}

template <class T>
Results by_kernels(const Problem& p) {
  throughtime::ConvShape shape = p.shape;
  shape.is_double = sizeof(T) == 8;
  const throughtime::ConvBatch batch{static_cast<Index>(p.offsets.size()) - 1, p.offsets.data(), p.out_offsets.data()};
  std::vector<T> x = as<T>(p.x), weight = as<T>(p.weight), bias = as<T>(p.bias), dy = as<T>(p.dy), start = as<T>(p.start);
  const T unset = static_cast<T>(NAN);
  std::vector<T> y(dy.size(), unset), dx(x.size(), unset), dw(weight.size(), unset);
  std::vector<T> db(static_cast<std::size_t>(shape.outputs), unset);
  throughtime::conv_forward({shape, batch, p.threads, address(x), address(weight), address(bias), p.relu, address(y)});
  throughtime::conv_input_gradient({shape, batch, p.threads, address(dy), address(weight), address(start), address(dx)});
  throughtime::conv_weight_gradient({shape, batch, p.threads, address(x), address(dy), address(dw), address(db)});
  Results r;
  r.y.assign(y.begin(), y.end());
  r.dx.assign(dx.begin(), dx.end());
  r.dw.assign(dw.begin(), dw.end());
  r.db.assign(db.begin(), db.end());
  return r;
}

double apart(const Results& found, const Results& expected) {
  return std::max(std::max(difference(found.y, expected.y), difference(found.dx, expected.dx)),
                  std::max(difference(found.dw, expected.dw), difference(found.db, expected.db)));
}

bool check(unsigned number) {
  const Problem p = problem_of(number);
  const Results expected = by_sums(p);
  const double in_double = apart(by_kernels<double>(p), expected);
  const double in_single = apart(by_kernels<float>(p), expected);
  if (in_double < 1e-12 && in_single < 1e-4) return true;
  const throughtime::ConvShape& s = p.shape;
  std::printf("problem %u fails: C %d, O %d, G %d, K %d, stride %d, dilation %d, left %d, replicate %d, T %d: %g and %g\n",
              number, static_cast<int>(s.channels), static_cast<int>(s.outputs), static_cast<int>(s.groups),
              static_cast<int>(s.width), static_cast<int>(s.stride), static_cast<int>(s.dilation),
              static_cast<int>(s.left), s.replicate, static_cast<int>(p.tokens()), in_double, in_single);
  return false;
}

}  // namespace

int main(int count, char** arguments) {
  if (count > 1 && std::strcmp(arguments[1], "sets") == 0) {
    for (const char* const* name = throughtime::instruction_sets(); *name != nullptr; ++name) std::printf("%s\n", *name);
    return 0;
  }
  return run_problems(count, arguments, check);
}
