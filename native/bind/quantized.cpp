#include "bind/quantized.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "bind/batch.h"
#include "bind/cell.h"
#include "bind/recurrent.h"
#include "bind/tensors.h"
#include "kernels/quantized/quantized.h"

namespace nb = nanobind;

namespace throughtime {
namespace {

// The parts of one direction, as `QuantizedWeights` in ops/quantized/recurrent.py has them.
enum Part { ih, ih_scale, hh, hh_scale, bias, bias_late, parts };

bool is_float(LookAt look, nb::handle object, Plain& found) {
  return look(object, found) && !found.is_integer && !found.is_double;
}

std::int64_t whole_groups(std::int64_t factors) { return (factors + packed_factors - 1) / packed_factors; }

// Weights (panels, groups, width, 4) and scales (panels · width). A ShapeError where they do not have so many groups.
bool read_weights(LookAt look, nb::handle weight, nb::handle scale, std::int64_t groups, PackedWeights& weights) {
  Plain values{}, scales{};
  int bytes = 0;
  if (!is_index(weight, values, bytes) || bytes != 1 || !is_float(look, scale, scales)) return false;
  const std::int64_t width = values.sizes == 4 ? values.size[2] : 0, vectors = width / packed_columns;
  if (width % packed_columns != 0 || vectors < 1 || vectors > most_packed_vectors || values.size[3] != packed_factors ||
      values.size[1] != groups || !scales.is({values.size[0] * width})) {
    shape_error("packed int8 weights of " + std::to_string(groups) + " groups have the shape (panels, " +
                std::to_string(groups) + ", 16 to 64, 4) and scales (panels · width), got " + shown(values) + " and " +
                shown(scales) + "; load the state of a layer of the same sizes");
  }
  weights = {static_cast<const std::int8_t*>(values.data), static_cast<const float*>(scales.data), values.size[0],
             groups, static_cast<int>(vectors)};
  return true;
}

std::int64_t columns_of(const PackedWeights& weights) { return weights.panels * weights.vectors * packed_columns; }

void check_columns(const PackedWeights& weights, const Plain& row, std::int64_t columns) {
  const std::int64_t all = columns_of(weights);
  if (row.is({all}) && columns > 0 && columns <= all) return;
  shape_error("int8 weights of " + std::to_string(all) + " packed columns have a bias of as many and at most so many "
              "outputs, got " + shown(row) + " and " + std::to_string(columns));
}

nb::object correlate(nb::handle x, nb::handle weight, nb::handle scale, nb::handle bias, nb::handle offsets,
                     nb::handle out_offsets, const Windows& windows, std::int64_t columns, std::int64_t total,
                     int threads, bool in_order) {
  const LookAt look = look_at(in_order);
  Plain tokens{}, row{};
  Batch batch{};
  QuantizedCorrelate call{};
  if (!is_float(look, x, tokens) || !is_float(look, bias, row)) return unusual(in_order);
  if (tokens.sizes != 2) shape_error("an int8 convolution takes tokens (T, C), got " + shown(tokens));
  if (!read_weights(look, weight, scale, windows.size * whole_groups(tokens.size[1]), call.weights) ||
      !read_batch(in_order, offsets, tokens.size[0], out_offsets, total, batch)) {
    return unusual(in_order);
  }
  check_columns(call.weights, row, columns);
  void* y = nullptr;
  const nb::object result = make_tensor(false, {total, columns}, y);
  call.bias = static_cast<const float*>(row.data);
  call.channels = tokens.size[1];
  call.columns = columns;
  call.taps = windows.size;
  call.stride = windows.stride;
  call.dilation = windows.dilation;
  call.left = windows.left;
  call.replicate = windows.replicate;
  call.sequences = batch.sequences;
  call.offsets = batch.offsets;
  call.out_offsets = batch.out_offsets;
  call.threads = threads;
  call.x = static_cast<const float*>(tokens.data);
  call.y = static_cast<float*>(y);
  const nb::gil_scoped_release released;
  quantized_correlate(call);
  return result;
}

nb::object linear(nb::handle x, nb::handle weight, nb::handle scale, nb::handle bias, std::int64_t columns,
                  int threads, bool in_order) {
  const LookAt look = look_at(in_order);
  Plain tokens{}, row{};
  QuantizedCorrelate call{};
  if (!is_float(look, x, tokens) || !is_float(look, bias, row)) return unusual(in_order);
  call.channels = tokens.size[tokens.sizes - 1];
  if (!read_weights(look, weight, scale, whole_groups(call.channels), call.weights)) return unusual(in_order);
  check_columns(call.weights, row, columns);
  std::int64_t count = 1, sizes[most_sizes];
  for (int i = 0; i < tokens.sizes; ++i) {
    sizes[i] = tokens.size[i];
    if (i + 1 < tokens.sizes) count *= tokens.size[i];
  }
  sizes[tokens.sizes - 1] = columns;
  void* y = nullptr;
  const nb::object result = make_tensor(false, sizes, tokens.sizes, y);
  const std::int64_t offsets[2] = {0, count};
  call.bias = static_cast<const float*>(row.data);
  call.columns = columns;
  call.taps = call.stride = call.dilation = 1;
  call.sequences = 1;
  call.offsets = call.out_offsets = offsets;
  call.threads = threads;
  call.x = static_cast<const float*>(tokens.data);
  call.y = static_cast<float*>(y);
  const nb::gil_scoped_release released;
  quantized_correlate(call);
  return result;
}

bool read_tokens(LookAt look, nb::tuple steps, std::int64_t total, Tokens& tokens) {
  const auto number = [&](std::size_t i) { return nb::cast<std::int64_t>(nb::handle(steps[i])); };
  tokens.order = static_cast<Order>(number(0));
  tokens.batch = number(1);
  tokens.length = number(2);
  const nb::object index = steps[std::size_t{3}], reset = steps[std::size_t{4}];
  if (tokens.order == Order::ragged) {
    if (!find_offsets(look, index, total, tokens)) return false;
  } else if (!index.is_none()) {
    Plain found{};
    if (!look(index, found) || !found.is_integer) return false;
    tokens.index = static_cast<const std::int64_t*>(found.data);
  }
  if (reset.is_none()) return true;
  Plain found{};
  int bytes = 0;
  if (!is_index(reset, found, bytes) || bytes != 1 || found.count() != total) return false;
  tokens.reset = static_cast<const std::int8_t*>(found.data);
  return true;
}

// One direction's weights. A ShapeError where they are not those of so many inputs and hidden units.
bool read_direction(LookAt look, nb::handle* part, std::int64_t inputs, std::int64_t hidden, int gates, bool late,
                    QuantizedDirection& direction) {
  Plain row{}, late_row{};
  if (!read_weights(look, part[ih], part[ih_scale], whole_groups(inputs), direction.ih) ||
      !read_weights(look, part[hh], part[hh_scale], whole_groups(hidden), direction.hh) ||
      !is_float(look, part[bias], row)) {
    return false;
  }
  const std::int64_t columns = columns_of(direction.hh), units = columns / gates;
  if (columns_of(direction.ih) != columns || direction.ih.vectors != direction.hh.vectors || units < hidden ||
      (gates > 1 && direction.hh.vectors != gates) || !row.is({columns})) {
    shape_error("the int8 weights of a recurrent layer are not those of " + std::to_string(hidden) +
                " hidden units; load the state of a layer of the same sizes");
  }
  direction.bias = static_cast<const float*>(row.data);
  if (!late) return true;
  if (!is_float(look, part[bias_late], late_row)) return false;
  if (!late_row.is({units})) shape_error("the bias of n has one number for each packed unit, got " + shown(late_row));
  direction.bias_late = static_cast<const float*>(late_row.data);
  return true;
}

// y (T, D·H), h_n and c_n (D, B, H); c_n is None where the cell has none.
nb::object recurrent(const NativeCell& cell, nb::tuple steps, std::int64_t hidden, nb::handle x, nb::handle h0,
                     nb::handle c0, nb::tuple weights, int threads, bool in_order) {
  const LookAt look = look_at(in_order);
  Plain tokens{}, first_h{}, first_c{};
  QuantizedRecurrent call{};
  if (!is_float(look, x, tokens) || !may_be(look, h0, false, first_h) || !may_be(look, c0, false, first_c)) {
    return unusual(in_order);
  }
  const bool known = cell.cell == Cell::lstm || cell.cell == Cell::gru || cell.cell == Cell::rnn_tanh ||
                     cell.cell == Cell::rnn_relu;
  if (!known) throw nb::type_error("this cell has no int8 form");
  if (tokens.sizes != 2) shape_error("an int8 recurrent layer takes tokens (T, I), got " + shown(tokens));
  if (!read_tokens(look, steps, tokens.size[0], call.tokens)) return unusual(in_order);
  call.cell = cell.cell;
  call.inputs = static_cast<int>(tokens.size[1]);
  call.hidden = static_cast<int>(hidden);
  call.directions = static_cast<int>(weights.size()) / parts;
  call.threads = threads;
  const std::int64_t B = call.tokens.batch, D = call.directions;
  for (int d = 0; d < call.directions; ++d) {
    nb::handle part[parts];
    for (int i = 0; i < parts; ++i) part[i] = PyTuple_GetItem(weights.ptr(), d * parts + i);
    if (!read_direction(look, part, tokens.size[1], hidden, cell.gates, cell.cell == Cell::gru, call.direction[d])) {
      return unusual(in_order);
    }
  }
  for (const Plain* const state : {&first_h, &first_c}) {
    if (state->present() && !state->is({D, B, hidden})) {
      shape_error("the state of this int8 layer has shape (" + std::to_string(D) + ", " + std::to_string(B) + ", " +
                  std::to_string(hidden) + "), got " + shown(*state));
    }
  }
  void *y = nullptr, *h_n = nullptr, *c_n = nullptr;
  const nb::object output = make_tensor(false, {tokens.size[0], D * hidden}, y);
  const nb::object last_h = make_tensor(false, {D, B, hidden}, h_n);
  const nb::object last_c = cell.has_c ? make_tensor(false, {D, B, hidden}, c_n) : nb::none();
  for (int d = 0; d < call.directions; ++d) {
    const std::size_t bytes = sizeof(float) * static_cast<std::size_t>(d * B * hidden);
    QuantizedDirection& direction = call.direction[d];
    direction.h0 = static_cast<const float*>(behind(first_h.data, bytes));
    direction.c0 = static_cast<const float*>(behind(first_c.data, bytes));
    direction.h_n = static_cast<float*>(behind(h_n, bytes));
    direction.c_n = static_cast<float*>(behind(c_n, bytes));
  }
  call.x = static_cast<const float*>(tokens.data);
  call.y = static_cast<float*>(y);
  {
    const nb::gil_scoped_release released;
    quantized_recurrent(call);
  }
  return nb::make_tuple(output, last_h, last_c);
}

std::vector<std::string> sets() {
  std::vector<std::string> names;
  for (const char* const* name = quantized_sets(); *name != nullptr; ++name) names.emplace_back(*name);
  return names;
}

}  // namespace

void bind_quantized(nb::module_& m) {
  if (quantized_set() == nullptr) {
    std::string known;
    for (const std::string& name : sets()) known += (known.empty() ? "" : ", ") + name;
    const std::string message = std::string("THROUGHTIME_INT8 is '") + std::getenv("THROUGHTIME_INT8") +
                                "', but this processor and build have: " + known + "; unset it to take the best of them";
    throw nb::import_error(message.c_str());
  }
  const auto x = nb::arg("x"), weight = nb::arg("weight"), scale = nb::arg("scale"), bias = nb::arg("bias"),
             columns = nb::arg("columns"), threads = nb::arg("threads"), in_order = nb::arg("in_order");
  m.def("quantized_linear", &linear, x, weight, scale, bias, nb::kw_only(), columns, threads, in_order,
        "The linear map of (*, D) by packed int8 weights.");
  m.def("quantized_correlate", &correlate, x, weight, scale, bias, nb::arg("offsets"), nb::arg("out_offsets"),
        nb::kw_only(), nb::arg("windows"), columns, nb::arg("total"), threads, in_order,
        "Correlation in time with packed int8 weights, (total, O).");
  m.def("quantized_recurrent", &recurrent, nb::arg("cell"), nb::arg("steps"), nb::arg("hidden"), x,
        nb::arg("h0").none(), nb::arg("c0").none(), nb::arg("weights"), nb::kw_only(), threads, in_order,
        "y (T, D·H), h_n and c_n (D, B, H) of a recurrent layer with packed int8 weights.");
  m.def("quantized_sets", &sets, "The sets of instructions for int8 products that this processor has, best first.");
  m.def("quantized_set", [] { return std::string(quantized_set()); }, "The one in use.");
}

}  // namespace throughtime
