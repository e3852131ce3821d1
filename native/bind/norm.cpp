#include "bind/norm.h"

#include "bind/reader.h"
#include "kernels/norm/norm.h"

namespace nb = nanobind;

namespace throughtime {
namespace {

NormShape read_shape(nb::tuple tuple) {
  Reader in(tuple);
  NormShape shape{};
  shape.is_double = in.number() != 0;
  shape.relu = in.number() != 0;
  shape.features = in.number();
  shape.groups = in.number();
  shape.eps = in.real();
  return shape;
}

NormSegments read_segments(nb::tuple tuple) {
  Reader in(tuple);
  NormSegments segments{};
  segments.count = in.number();
  segments.offsets = static_cast<const std::int64_t*>(in.address());
  return segments;
}

void forward(nb::tuple shape, nb::tuple segments, int threads, nb::tuple running, std::uintptr_t fixed_mean,
             std::uintptr_t fixed_variance, std::uintptr_t x, std::uintptr_t gamma, std::uintptr_t beta,
             std::uintptr_t y, std::uintptr_t mean, std::uintptr_t scale) {
  Reader in(running);
  NormRunning updated{};
  updated.momentum = in.real();
  updated.mean = in.address();
  updated.variance = in.address();
  const NormForward call{read_shape(shape), read_segments(segments), threads, updated,  at(fixed_mean), at(fixed_variance),
                         at(x),             at(gamma),               at(beta), to(y), to(mean),       to(scale)};
  const nb::gil_scoped_release released;
  norm_forward(call);
}

void backward(nb::tuple shape, nb::tuple segments, int threads, bool fixed, std::uintptr_t x, std::uintptr_t dy,
              std::uintptr_t gamma, std::uintptr_t beta, std::uintptr_t mean, std::uintptr_t scale, std::uintptr_t dx,
              std::uintptr_t dgamma, std::uintptr_t dbeta) {
  const NormBackward call{read_shape(shape), read_segments(segments), threads,  fixed,     at(x),      at(dy), at(gamma),
                          at(beta),          at(mean),                at(scale), to(dx), to(dgamma), to(dbeta)};
  const nb::gil_scoped_release released;
  norm_backward(call);
}

}  // namespace

void bind_norm(nb::module_& m) {
  m.def("norm_forward", &forward,
        "Normalise groups of features over segments. Tuples hold the fields of kernels/norm/norm.h in its order.");
  m.def("norm_backward", &backward, "Its gradients.");
}

}  // namespace throughtime
