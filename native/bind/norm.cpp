#include "bind/norm.h"

#include <string>
#include <vector>

#include "bind/batch.h"
#include "bind/tensors.h"
#include "kernels/norm/norm.h"

namespace nb = nanobind;

namespace throughtime {
namespace {

// What the forward and the backward pass read alike.
struct Norm {
  LookAt look;
  Plain x, gamma, beta;
  NormShape shape;
  NormSegments segments;
  std::int64_t whole[2];

  // False where a tensor is unusual, or does not fit and is not `in_order`: then the caller looks for what is wrong.
  // Without offsets all tokens are one segment.
  bool read(bool in_order, nb::handle given_x, nb::handle weight, nb::handle bias, nb::handle offsets,
            std::int64_t groups, double eps, bool relu) {
    look = look_at(in_order);
    if (!look(given_x, x) || x.is_integer || !may_be(look, weight, x.is_double, gamma) ||
        !may_be(look, bias, x.is_double, beta)) {
      return false;
    }
    const bool fits = x.sizes == 2 && fits_row(gamma) && fits_row(beta);
    if (!in_order && !fits) return false;
    if (x.sizes != 2 || groups < 0 || (groups == 0 ? x.size[1] != 0 : x.size[1] % groups != 0)) {
      shape_error("normalisation takes tokens (T, C) whose features groups divide, got " + shown(x) + " and " +
                  std::to_string(groups) + " groups");
    }
    shape = {x.is_double, relu, x.size[1], groups, eps};
    check_row(gamma, "weight");
    check_row(beta, "bias");
    if (offsets.is_none()) {
      whole[0] = 0;
      whole[1] = x.size[0];
      segments = {1, whole};
      return true;
    }
    Plain found{};
    if (!read_offsets(in_order, offsets, x.size[0], found)) return false;
    segments = {found.size[0] - 1, static_cast<const std::int64_t*>(found.data)};
    return true;
  }

  bool fits_row(const Plain& row) const { return !row.present() || row.is({x.size[1]}); }

  void check_row(const Plain& row, const char* name) const {
    if (!fits_row(row)) {
      shape_error(std::string("the ") + name + " of a normalisation of " + std::to_string(shape.features) +
                  " features has shape (" + std::to_string(shape.features) + ",), got " + shown(row));
    }
  }

  // Mean and variance of each feature, of one segment: both or neither.
  bool read_pair(bool in_order, nb::handle given_mean, nb::handle given_variance, Plain& mean, Plain& variance) const {
    if (!may_be(look, given_mean, x.is_double, mean) || !may_be(look, given_variance, x.is_double, variance)) {
      return false;
    }
    if (!in_order && !(fits_row(mean) && fits_row(variance))) return false;
    check_row(mean, "mean");
    check_row(variance, "variance");
    if (mean.present() != variance.present()) shape_error("a mean and a variance come together, got one of them");
    if (mean.present() && (segments.count != 1 || shape.groups != shape.features)) {
      shape_error("a given mean and variance are those of each feature over all tokens");
    }
    return true;
  }

  std::size_t bytes() const {
    return (x.is_double ? 8 : 4) * static_cast<std::size_t>(segments.count * shape.groups);
  }
};

// y, mean and scale; the last two None unless `save`. `mean` and `variance` are used if `fixed`, else updated.
nb::object forward(nb::handle x, nb::handle weight, nb::handle bias, nb::handle offsets, nb::handle mean,
                   nb::handle variance, std::int64_t groups, double eps, bool relu, bool fixed, double momentum,
                   bool save, int threads, bool in_order) {
  Norm norm{};
  Plain known_mean{}, known_variance{};
  if (!norm.read(in_order, x, weight, bias, offsets, groups, eps, relu)) return unusual(in_order);
  if (!norm.read_pair(in_order, mean, variance, known_mean, known_variance)) return unusual(in_order);
  if (fixed && !known_mean.present()) shape_error("a fixed normalisation needs a mean and a variance");
  void *y = nullptr, *of_mean = nullptr, *of_scale = nullptr;
  const nb::object result = make_tensor(norm.x.is_double, norm.x.size, 2, y);
  nb::object saved_mean = nb::none(), saved_scale = nb::none();
  std::vector<double> room;
  if (save) {
    saved_mean = make_tensor(norm.x.is_double, {norm.segments.count, groups}, of_mean);
    saved_scale = make_tensor(norm.x.is_double, {norm.segments.count, groups}, of_scale);
  } else {
    const std::size_t numbers = norm.bytes() / 8 + 1;
    room.resize(2 * numbers);
    of_mean = room.data();
    of_scale = room.data() + numbers;
  }
  const bool updates = known_mean.present() && !fixed;
  const NormForward call{norm.shape,
                         norm.segments,
                         threads,
                         {momentum, updates ? known_mean.data : nullptr, updates ? known_variance.data : nullptr},
                         fixed ? known_mean.data : nullptr,
                         fixed ? known_variance.data : nullptr,
                         norm.x.data,
                         norm.gamma.data,
                         norm.beta.data,
                         y,
                         of_mean,
                         of_scale};
  {
    const nb::gil_scoped_release released;
    norm_forward(call);
  }
  if (!save) return result;
  return nb::make_tuple(result, saved_mean, saved_scale);
}

// The gradients of x, weight and bias; None for those that are not needed.
nb::object backward(nb::handle dy, nb::handle x, nb::handle weight, nb::handle bias, nb::handle mean, nb::handle scale,
                    nb::handle offsets, std::int64_t groups, double eps, bool relu, bool fixed, bool x_needed,
                    bool weight_needed, bool bias_needed, int threads, bool in_order) {
  Norm norm{};
  Plain gradient{}, of_mean{}, of_scale{};
  if (!norm.read(in_order, x, weight, bias, offsets, groups, eps, relu) || dy.is_none() || mean.is_none() ||
      scale.is_none() || !may_be(norm.look, dy, norm.x.is_double, gradient) ||
      !may_be(norm.look, mean, norm.x.is_double, of_mean) || !may_be(norm.look, scale, norm.x.is_double, of_scale)) {
    return unusual(in_order);
  }
  const std::int64_t S = norm.segments.count, C = norm.shape.features;
  if (!gradient.is({norm.x.size[0], C}) || !of_mean.is({S, groups}) || !of_scale.is({S, groups})) {
    shape_error("the gradient of a normalisation of " + shown(norm.x) + " needs one of that shape and statistics (" +
                std::to_string(S) + ", " + std::to_string(groups) + "), got " + shown(gradient) + ", " +
                shown(of_mean) + " and " + shown(of_scale));
  }
  void *dx = nullptr, *dgamma = nullptr, *dbeta = nullptr;
  const nb::object of_x = x_needed ? make_tensor(norm.x.is_double, norm.x.size, 2, dx) : nb::none();
  const nb::object of_weight = weight_needed ? make_tensor(norm.x.is_double, {C}, dgamma) : nb::none();
  const nb::object of_bias = bias_needed ? make_tensor(norm.x.is_double, {C}, dbeta) : nb::none();
  const NormBackward call{norm.shape,      norm.segments, threads,      fixed,         norm.x.data, gradient.data,
                          norm.gamma.data, norm.beta.data, of_mean.data, of_scale.data, dx,          dgamma,
                          dbeta};
  {
    const nb::gil_scoped_release released;
    norm_backward(call);
  }
  return nb::make_tuple(of_x, of_weight, of_bias);
}

}  // namespace

void bind_norm(nb::module_& m) {
  const auto x = nb::arg("x"), groups = nb::arg("groups"), eps = nb::arg("eps"), relu = nb::arg("relu"),
             fixed = nb::arg("fixed"), threads = nb::arg("threads"), in_order = nb::arg("in_order");
  const auto weight = nb::arg("weight").none(), bias = nb::arg("bias").none(), offsets = nb::arg("offsets").none();
  m.def("norm_forward", &forward, x, weight, bias, offsets, nb::arg("mean").none(), nb::arg("variance").none(),
        nb::kw_only(), groups, eps, relu, fixed, nb::arg("momentum"), nb::arg("save"), threads, in_order,
        "Groups of features normalised over segments: y, or with `save` (y, mean, scale).");
  m.def("norm_backward", &backward, nb::arg("dy"), x, weight, bias, nb::arg("mean"), nb::arg("scale"), offsets,
        nb::kw_only(), groups, eps, relu, fixed, nb::arg("x_needed"), nb::arg("weight_needed"),
        nb::arg("bias_needed"), threads, in_order, "Its gradients.");
}

}  // namespace throughtime
