// Convolution on tensors, and the linear map, which is a convolution with windows of one token.
#include "bind/conv.h"

#include <string>

#include "bind/batch.h"
#include "bind/tensors.h"
#include "kernels/conv/conv.h"

namespace nb = nanobind;

namespace throughtime {
namespace {

// What a convolution's tensors say of it. `inputs` (T, C) and `outputs` (T', O) are those of the forward pass.
ConvShape shape_of(const Windows& windows, std::int64_t groups, bool is_double, std::int64_t channels,
                   std::int64_t outputs) {
  return {is_double,     windows.replicate, channels,         outputs,     groups,
          windows.size, windows.stride,    windows.dilation, windows.left};
}

// What lies beyond an empty sequence is no copy of its tokens.
void check_borders(const Windows& windows, const Batch& batch) {
  if (!windows.replicate) return;
  for (std::int64_t b = 0; b < batch.sequences; ++b) {
    const bool has_windows = batch.out_offsets[b + 1] > batch.out_offsets[b];
    if (has_windows && batch.offsets[b + 1] == batch.offsets[b]) {
      shape_error("a sequence without tokens has no windows with copied borders, but sequence " + std::to_string(b) +
                  " has some");
    }
  }
}

bool fits(const Plain& weight, const Windows& windows, std::int64_t groups) {
  return weight.sizes == 3 && groups > 0 && weight.size[0] % groups == 0 && weight.size[2] == windows.size &&
         windows.size > 0;
}

[[noreturn]] void refuse(const char* what, const Plain& tokens, const Plain& weight, const Plain& row,
                         const Windows& windows, std::int64_t groups) {
  shape_error(std::string("a convolution in ") + std::to_string(groups) + " groups by windows of " +
              std::to_string(windows.size) + " takes " + what + ", got " + shown(tokens) + ", " + shown(weight) +
              (row.present() ? " and " + shown(row) : ""));
}

nb::object forward(nb::handle x, nb::handle weight, nb::handle bias, nb::handle offsets, nb::handle out_offsets,
                   const Windows& windows, std::int64_t groups, std::int64_t total, bool relu, int threads,
                   bool in_order) {
  const LookAt look = look_at(in_order);
  Plain tokens{}, kernels{}, row{};
  Batch batch{};
  if (!look(x, tokens) || tokens.is_integer || weight.is_none() || !may_be(look, weight, tokens.is_double, kernels) ||
      !may_be(look, bias, tokens.is_double, row)) {
    return unusual(in_order);
  }
  if (!fits(kernels, windows, groups) || tokens.sizes != 2 || tokens.size[1] != kernels.size[1] * groups ||
      (row.present() && !row.is({kernels.size[0]}))) {
    refuse("tokens (T, C), a weight (O, C / groups, size) and a bias (O,)", tokens, kernels, row, windows, groups);
  }
  if (!read_batch(in_order, offsets, tokens.size[0], out_offsets, total, batch)) return unusual(in_order);
  check_borders(windows, batch);
  void* y = nullptr;
  const nb::object result = make_tensor(tokens.is_double, {total, kernels.size[0]}, y);
  const ConvForward call{shape_of(windows, groups, tokens.is_double, tokens.size[1], kernels.size[0]),
                         {batch.sequences, batch.offsets, batch.out_offsets},
                         threads,
                         tokens.data,
                         kernels.data,
                         row.data,
                         relu,
                         y};
  const nb::gil_scoped_release released;
  conv_forward(call);
  return result;
}

nb::object input_gradient(nb::handle dy, nb::handle weight, nb::handle start, nb::handle offsets,
                          nb::handle out_offsets, const Windows& windows, std::int64_t groups, std::int64_t total,
                          int threads, bool in_order) {
  const LookAt look = look_at(in_order);
  Plain gradient{}, kernels{}, row{};
  Batch batch{};
  if (!look(dy, gradient) || gradient.is_integer || weight.is_none() ||
      !may_be(look, weight, gradient.is_double, kernels) || !may_be(look, start, gradient.is_double, row)) {
    return unusual(in_order);
  }
  const std::int64_t channels = kernels.sizes == 3 ? kernels.size[1] * groups : 0;
  if (!fits(kernels, windows, groups) || gradient.sizes != 2 || gradient.size[1] != kernels.size[0] ||
      (row.present() && !row.is({channels}))) {
    refuse("a gradient (T', O), a weight (O, C / groups, size) and a start (C,)", gradient, kernels, row, windows,
           groups);
  }
  if (!read_batch(in_order, offsets, total, out_offsets, gradient.size[0], batch)) return unusual(in_order);
  check_borders(windows, batch);
  void* dx = nullptr;
  const nb::object result = make_tensor(gradient.is_double, {total, channels}, dx);
  const ConvInputGradient call{shape_of(windows, groups, gradient.is_double, channels, kernels.size[0]),
                               {batch.sequences, batch.offsets, batch.out_offsets},
                               threads,
                               gradient.data,
                               kernels.data,
                               row.data,
                               dx};
  const nb::gil_scoped_release released;
  conv_input_gradient(call);
  return result;
}

nb::object weight_gradient(nb::handle x, nb::handle dy, nb::handle offsets, nb::handle out_offsets,
                           const Windows& windows, std::int64_t groups, bool bias, int threads, bool in_order) {
  const LookAt look = look_at(in_order);
  Plain tokens{}, gradient{};
  Batch batch{};
  if (!look(x, tokens) || tokens.is_integer || dy.is_none() || !may_be(look, dy, tokens.is_double, gradient)) {
    return unusual(in_order);
  }
  if (windows.size < 1 || groups < 1 || tokens.sizes != 2 || gradient.sizes != 2 || tokens.size[1] % groups != 0 ||
      gradient.size[1] % groups != 0) {
    refuse("tokens (T, C) and a gradient (T', O)", tokens, gradient, Plain{}, windows, groups);
  }
  const std::int64_t channels = tokens.size[1], outputs = gradient.size[1];
  if (!read_batch(in_order, offsets, tokens.size[0], out_offsets, gradient.size[0], batch)) return unusual(in_order);
  check_borders(windows, batch);
  void *dw = nullptr, *db = nullptr;
  const nb::object of_weight = make_tensor(tokens.is_double, {outputs, channels / groups, windows.size}, dw);
  const nb::object of_bias = bias ? make_tensor(tokens.is_double, {outputs}, db) : nb::none();
  const ConvWeightGradient call{shape_of(windows, groups, tokens.is_double, channels, outputs),
                                {batch.sequences, batch.offsets, batch.out_offsets},
                                threads,
                                tokens.data,
                                gradient.data,
                                dw,
                                db};
  {
    const nb::gil_scoped_release released;
    conv_weight_gradient(call);
  }
  return nb::make_tuple(of_weight, of_bias);
}

// All rows as one sequence: (*, D) of any sizes.
struct Rows {
  std::int64_t features, offsets[2];

  explicit Rows(const Plain& tensor) : features(tensor.size[tensor.sizes - 1]), offsets{0, 1} {
    for (int i = 0; i < tensor.sizes - 1; ++i) offsets[1] *= tensor.size[i];
  }
  std::int64_t count() const { return offsets[1]; }
  ConvBatch batch() const { return {1, offsets, offsets}; }
};

ConvShape shape_of_map(bool is_double, std::int64_t features, std::int64_t outputs) {
  return {is_double, false, features, outputs, 1, 1, 1, 1, 0};
}

// A tensor with the sizes of another but for the last.
nb::object make_rows(const Plain& like, std::int64_t features, void*& data) {
  std::int64_t size[most_sizes];
  for (int i = 0; i < like.sizes; ++i) size[i] = like.size[i];
  size[like.sizes - 1] = features;
  return make_tensor(like.is_double, size, like.sizes, data);
}

nb::object linear(nb::handle x, nb::handle weight, nb::handle bias, int threads, bool in_order) {
  const LookAt look = look_at(in_order);
  Plain tokens{}, matrix{}, row{};
  if (!look(x, tokens) || tokens.is_integer || weight.is_none() || !may_be(look, weight, tokens.is_double, matrix) ||
      !may_be(look, bias, tokens.is_double, row)) {
    return unusual(in_order);
  }
  if (matrix.count() == 0) return unusual(in_order);
  const Rows rows(tokens);
  if (matrix.sizes != 2 || rows.features != matrix.size[1]) {
    shape_error("a linear map by a weight of shape " + shown(matrix) + " takes (*, " +
                std::to_string(matrix.size[matrix.sizes - 1]) + "), got " + shown(tokens));
  }
  const std::int64_t outputs = matrix.size[0];
  if (row.present() && !row.is({outputs})) {
    shape_error("the bias of a linear map to " + std::to_string(outputs) + " features has shape (" +
                std::to_string(outputs) + ",), got " + shown(row));
  }
  void* y = nullptr;
  const nb::object result = make_rows(tokens, outputs, y);
  const ConvForward call{shape_of_map(tokens.is_double, rows.features, outputs),
                         rows.batch(), threads, tokens.data, matrix.data, row.data, false, y};
  const nb::gil_scoped_release released;
  conv_forward(call);
  return result;
}

nb::object linear_input_gradient(nb::handle dy, nb::handle weight, int threads, bool in_order) {
  const LookAt look = look_at(in_order);
  Plain gradient{}, matrix{};
  if (!look(dy, gradient) || gradient.is_integer || weight.is_none() ||
      !may_be(look, weight, gradient.is_double, matrix)) {
    return unusual(in_order);
  }
  const Rows rows(gradient);
  if (matrix.sizes != 2 || rows.features != matrix.size[0]) {
    shape_error("the gradient of a linear map by a weight of shape " + shown(matrix) + " is (*, " +
                std::to_string(matrix.size[0]) + "), got " + shown(gradient));
  }
  void* dx = nullptr;
  const nb::object result = make_rows(gradient, matrix.size[1], dx);
  const ConvInputGradient call{shape_of_map(gradient.is_double, matrix.size[1], rows.features),
                               rows.batch(), threads, gradient.data, matrix.data, nullptr, dx};
  const nb::gil_scoped_release released;
  conv_input_gradient(call);
  return result;
}

nb::object linear_weight_gradient(nb::handle x, nb::handle dy, bool bias, int threads, bool in_order) {
  const LookAt look = look_at(in_order);
  Plain tokens{}, gradient{};
  if (!look(x, tokens) || tokens.is_integer || dy.is_none() || !may_be(look, dy, tokens.is_double, gradient)) {
    return unusual(in_order);
  }
  const Rows rows(tokens), given(gradient);
  if (rows.count() != given.count()) {
    shape_error("the gradient of a linear map of " + shown(tokens) + " has as many rows, got " + shown(gradient));
  }
  void *dw = nullptr, *db = nullptr;
  const nb::object of_weight = make_tensor(tokens.is_double, {given.features, rows.features}, dw);
  const nb::object of_bias = bias ? make_tensor(tokens.is_double, {given.features}, db) : nb::none();
  const ConvWeightGradient call{shape_of_map(tokens.is_double, rows.features, given.features),
                                rows.batch(), threads, tokens.data, gradient.data, dw, db};
  {
    const nb::gil_scoped_release released;
    conv_weight_gradient(call);
  }
  return nb::make_tuple(of_weight, of_bias);
}

}  // namespace

void bind_conv(nb::module_& m) {
  const auto x = nb::arg("x"), dy = nb::arg("dy"), weight = nb::arg("weight"), offsets = nb::arg("offsets"),
             out_offsets = nb::arg("out_offsets"), windows = nb::arg("windows"), groups = nb::arg("groups"),
             total = nb::arg("total"), threads = nb::arg("threads"), in_order = nb::arg("in_order");
  m.def("conv_forward", &forward, x, weight, nb::arg("bias").none(), offsets, out_offsets, nb::kw_only(), windows,
        groups, total, nb::arg("relu"), threads, in_order, "Correlation in time, (total, O).");
  m.def("conv_input_gradient", &input_gradient, dy, weight, nb::arg("start").none(), offsets, out_offsets,
        nb::kw_only(), windows, groups, total, threads, in_order,
        "The gradient of its input, (total, C); the transposed convolution.");
  m.def("conv_weight_gradient", &weight_gradient, x, dy, offsets, out_offsets, nb::kw_only(), windows, groups,
        nb::arg("bias"), threads, in_order, "The gradients of its weight (O, C / groups, size) and bias (O,).");
  m.def("linear_forward", &linear, x, weight, nb::arg("bias").none(), nb::kw_only(), threads, in_order,
        "x Wᵀ + b of (*, D), each row's bits its own.");
  m.def("linear_input_gradient", &linear_input_gradient, dy, weight, nb::kw_only(), threads, in_order,
        "The gradient of its input, (*, D).");
  m.def("linear_weight_gradient", &linear_weight_gradient, x, dy, nb::kw_only(), nb::arg("bias"), threads, in_order,
        "The gradients of its weight (O, D) and bias (O,).");
}

}  // namespace throughtime
