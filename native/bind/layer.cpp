// The callers in Python have checked shapes. This file checks whether the kernels can read a tensor as it is; if not,
// it returns None, and the callers convert the tensor first.
#include "bind/layer.h"

#include <cstddef>
#include <cstdint>

#include "bind/cell.h"
#include "bind/recurrent.h"
#include "bind/tensors.h"

namespace nb = nanobind;

namespace throughtime {
namespace {

// The parts of `Weights` in ops/recurrent/weights.py.
enum Part { ih, hh, bias_ih, bias_hh, hr, own, context, parts };

// The fields of `Steps` in ops/recurrent/steps.py.
enum StepsField : std::size_t { order_field, batch_field, length_field, index_field, reset_field };

// What a record of a backward pass keeps of every step, in the order of `StepGradients` in ops/recurrent/record.py.
enum Record { dh_steps, dc_steps, dpre, bounded, summary, all_of_record };

struct Layer {
  Shape shape;
  Tokens tokens;
  std::int64_t total, saved;
  bool has_c;
  Look look;
  Plain x, h0, c0;
  Plain weights[2][parts];

  // False where a tensor is unusual. `steps` and `flat` are `Steps` and the fields of `Weights` in ops/recurrent.
  bool read(bool in_order, const NativeCell& cell, nb::tuple steps, nb::handle given_x, nb::handle given_h0,
            nb::handle given_c0, nb::tuple flat) {
    look = in_order ? &is_in_order : &is_either;
    if (!look(given_x, x) || x.is_integer || !may_find(given_h0, h0) || !may_find(given_c0, c0)) return false;
    shape.directions = static_cast<int>(flat.size()) / parts;
    for (int d = 0; d < shape.directions; ++d) {
      if (!may_find_all(flat, d * parts, weights[d], parts)) return false;
    }
    saved = cell.saved;
    has_c = cell.has_c;
    shape.cell = cell.cell;
    shape.options = cell.options;
    shape.is_double = x.is_double;
    shape.inputs = static_cast<int>(x.size[x.sizes - 1]);
    shape.state = static_cast<int>(weights[0][hh].size[1]);
    shape.hidden = static_cast<int>(weights[0][hr].present() ? weights[0][hr].size[1] : shape.state);
    total = 1;
    for (int i = 0; i < x.sizes - 1; ++i) total *= x.size[i];
    return read_steps(steps) && read_reset(steps);
  }

  // None is a part that is not there.
  bool may_find(nb::handle object, Plain& found) const {
    if (object.is_none()) return true;
    return look(object, found) && !found.is_integer && found.is_double == x.is_double;
  }

  bool may_find_all(nb::tuple flat, int first, Plain* found, int count) const {
    for (int i = 0; i < count; ++i) {
      if (!may_find(PyTuple_GetItem(flat.ptr(), first + i), found[i])) return false;
    }
    return true;
  }

  bool read_steps(nb::tuple steps) {
    const auto number = [&](StepsField field) { return nb::cast<std::int64_t>(nb::handle(steps[std::size_t{field}])); };
    tokens.order = static_cast<Order>(number(order_field));
    tokens.batch = number(batch_field);
    tokens.length = number(length_field);
    const nb::object index = steps[std::size_t{index_field}];
    if (tokens.order == Order::ragged) return find_offsets(look, index, total, tokens);
    if (index.is_none()) return true;
    Plain found{};
    if (!look(index, found) || !found.is_integer) return false;
    tokens.index = static_cast<const std::int64_t*>(found.data);
    return true;
  }

  bool read_reset(nb::tuple steps) {
    const nb::object reset = steps[std::size_t{reset_field}];
    if (reset.is_none()) return true;
    Plain found{};
    int bytes = 0;
    if (!is_index(reset, found, bytes) || bytes != 1 || found.count() != total) return false;
    tokens.reset = static_cast<const std::int8_t*>(found.data);
    return true;
  }

  Weights weights_of(int d) const {
    const Plain* const found = weights[d];
    Weights of{found[ih].data, found[hh].data, found[bias_ih].data, found[bias_hh].data, found[hr].data, {}};
    std::size_t rows = 0;
    for (int i = 0; i < most_own && shape.options.own_rows[i] > 0; ++i) {
      const std::size_t row = static_cast<std::size_t>(shape.hidden) * (shape.is_double ? 8 : 4);
      of.own[i] = behind(static_cast<const void*>(found[own].data), rows * row);
      rows += static_cast<std::size_t>(shape.options.own_rows[i]);
    }
    return of;
  }

  // One direction's part of an array of all.
  void* part(const Plain& all, int d) const {
    const std::size_t size = static_cast<std::size_t>(all.count() / shape.directions) * (shape.is_double ? 8 : 4);
    return behind(all.data, static_cast<std::size_t>(d) * size);
  }

  nb::object make(std::initializer_list<std::int64_t> size, Plain& made) const {
    made.sizes = 0;
    for (const std::int64_t one : size) made.size[made.sizes++] = one;
    return make_like(made, made);
  }

  nb::object make_like(const Plain& given, Plain& made) const {
    made = given;
    return make_tensor(shape.is_double, given.size, given.sizes, made.data);
  }
};

// The answer where a tensor is unusual, which it cannot be if the caller has brought all into order.
nb::object refused(bool in_order) {
  if (in_order) throw nb::type_error("a tensor is not a contiguous one of float32, float64 or int64 on the CPU");
  return nb::none();
}

// y, h_n, c_n, c and gates; None for what the cell does not have or nobody wants, or for all of them.
nb::object forward(bool in_order, bool save, const NativeCell& cell, nb::tuple steps, int threads, nb::handle x, nb::handle h0,
                   nb::handle c0, nb::tuple weights) {
  Layer layer{};
  if (!layer.read(in_order, cell, steps, x, h0, c0, weights)) return refused(in_order);
  const Shape& shape = layer.shape;
  const std::int64_t D = shape.directions, B = layer.tokens.batch, T = layer.total, H = shape.hidden, P = shape.state;
  Plain of_y = layer.x, of_h{}, of_c_n{}, of_c{}, of_gates{};
  of_y.size[of_y.sizes - 1] = D * P;
  const nb::object y = layer.make_like(of_y, of_y), h_n = layer.make({D, B, P}, of_h);
  const nb::object c_n = layer.has_c ? layer.make({D, B, H}, of_c_n) : nb::none();
  const nb::object c = save && layer.has_c ? layer.make({D, T, H}, of_c) : nb::none();
  const nb::object gates = save && layer.saved > 0 ? layer.make({D, T, layer.saved, H}, of_gates) : nb::none();
  ForwardCall call{};
  call.shape = shape;
  call.tokens = layer.tokens;
  call.threads = threads;
  call.x = layer.x.data;
  call.y = of_y.data;
  for (int d = 0; d < shape.directions; ++d) {
    ForwardDirection& direction = call.direction[d];
    direction.weights = layer.weights_of(d);
    direction.h0 = layer.part(layer.h0, d);
    direction.c0 = layer.part(layer.c0, d);
    direction.h_n = layer.part(of_h, d);
    direction.c_n = layer.part(of_c_n, d);
    direction.c = layer.part(of_c, d);
    direction.gates = layer.part(of_gates, d);
    direction.context = layer.weights[d][context].data;
  }
  {
    const nb::gil_scoped_release released;
    recurrent_forward(call);
  }
  return nb::make_tuple(y, h_n, c_n, c, gates);
}

// The gradients of x, h0, c0 and every part of `weights`; None for what is not needed or not there, or for all.
// `made` are y, c and gates, `gradients` those of y, h_n, c_n, c and gates, `needed` tells of x, of states and of
// weights whether theirs are; `record` is memory for what is kept of every step, as far as it is wanted.
nb::object backward(bool in_order, const NativeCell& cell, nb::tuple steps, int threads, nb::handle x, nb::handle h0,
                    nb::handle c0, nb::tuple weights, nb::tuple made, nb::tuple gradients, nb::tuple needed,
                    nb::tuple record) {
  Layer layer{};
  Plain of_made[3]{}, given[5]{}, record_of[all_of_record]{};
  if (!layer.read(in_order, cell, steps, x, h0, c0, weights)) return refused(in_order);
  if (!layer.may_find_all(made, 0, of_made, 3) || !layer.may_find_all(gradients, 0, given, 5) ||
      !layer.may_find_all(record, 0, record_of, all_of_record)) {
    return refused(in_order);
  }
  const Shape& shape = layer.shape;
  const auto needs = [&](int i) { return PyTuple_GetItem(needed.ptr(), i) == Py_True; };
  const nb::object found = nb::steal(PyTuple_New(3 + shape.directions * parts));
  if (!found.is_valid()) nb::raise_python_error();
  int next = 0;
  const auto gradient_of = [&](const Plain& source, bool wanted) {
    Plain gradient{};
    nb::object tensor = wanted && source.present() ? layer.make_like(source, gradient) : nb::none();
    PyTuple_SetItem(found.ptr(), next++, tensor.release().ptr());
    return gradient;
  };
  BackwardCall call{};
  call.shape = shape;
  call.tokens = layer.tokens;
  call.threads = threads;
  call.x = layer.x.data;
  call.y = of_made[0].data;
  call.dy = given[0].data;
  call.dx = gradient_of(layer.x, needs(0)).data;
  const Plain dh0 = gradient_of(layer.h0, needs(1)), dc0 = gradient_of(layer.c0, needs(1));
  for (int d = 0; d < shape.directions; ++d) {
    BackwardDirection& direction = call.direction[d];
    direction.weights = layer.weights_of(d);
    direction.h0 = layer.part(layer.h0, d);
    direction.c0 = layer.part(layer.c0, d);
    direction.c = layer.part(of_made[1], d);
    direction.gates = layer.part(of_made[2], d);
    direction.dh_n = layer.part(given[1], d);
    direction.dc_n = layer.part(given[2], d);
    direction.dc = layer.part(given[3], d);
    direction.dgates = layer.part(given[4], d);
    direction.dh0 = layer.part(dh0, d);
    direction.dc0 = layer.part(dc0, d);
    const auto gradient = [&](Part part) { return gradient_of(layer.weights[d][part], needs(2)).data; };
    direction.dw_ih = gradient(ih);
    direction.dw_hh = gradient(hh);
    direction.db_ih = gradient(bias_ih);
    direction.db_hh = gradient(bias_hh);
    direction.dw_hr = gradient(hr);
    direction.d_own = gradient(own);
    direction.dcontext = gradient(context);
    direction.dh_steps = layer.part(record_of[dh_steps], d);
    direction.dc_steps = layer.part(record_of[dc_steps], d);
    direction.dpre = layer.part(record_of[dpre], d);
    direction.kept = layer.part(record_of[bounded], d);
    direction.summary = layer.part(record_of[summary], d);
  }
  {
    const nb::gil_scoped_release released;
    recurrent_backward(call);
  }
  return found;
}

}  // namespace

void bind_layer(nb::module_& m) {
  m.def("recurrent_layer_forward", &forward, nb::arg("in_order"), nb::arg("save"), nb::arg("cell"), nb::arg("steps"),
        nb::arg("threads"), nb::arg("x"), nb::arg("h0").none(), nb::arg("c0").none(), nb::arg("weights"),
        "(y, h_n, c_n, c, gates) of one layer, or None where a tensor is unusual.");
  m.def("recurrent_layer_backward", &backward, nb::arg("in_order"), nb::arg("cell"), nb::arg("steps"),
        nb::arg("threads"), nb::arg("x"), nb::arg("h0").none(), nb::arg("c0").none(), nb::arg("weights"),
        nb::arg("made"), nb::arg("gradients"), nb::arg("needed"), nb::arg("record"),
        "Gradients of x, h0, c0 and all weights, or None where a tensor is unusual.");
}

}  // namespace throughtime
