// The callers in Python have looked at shapes; what is looked at here is whether the kernels can read a tensor as it
// is. Anything else is None, and they bring it into order first.
#include "bind/layer.h"

#include <cstdint>

#include "bind/reader.h"
#include "bind/recurrent.h"
#include "bind/tensors.h"

namespace nb = nanobind;

namespace throughtime {
namespace {

// The parts of `Weights` in ops/steps.py.
enum Part { ih, hh, bias_ih, bias_hh, hr, peephole, context, parts };

using AllParts = Plain[2][parts];

struct Layer {
  Shape shape;
  Tokens tokens;
  std::int64_t total, saved;
  bool gated;
  Plain x, h0, c0;
  AllParts weights;

  // False where a tensor is unusual. `cell`: how much of each step is kept, whether there is a c, and what
  // recurrent.h calls cell and options; `steps` and `flat` are `Steps` and the fields of `Weights` in ops/steps.py.
  bool read(nb::tuple cell, nb::tuple steps, nb::handle given_x, nb::handle given_h0, nb::handle given_c0,
            nb::tuple flat) {
    if (!torch_lends() || !is_either(given_x, x) || x.is_integer) return false;
    if (!may_find(given_h0, h0) || !may_find(given_c0, c0)) return false;
    shape.directions = static_cast<int>(flat.size()) / parts;
    for (int d = 0; d < shape.directions; ++d) {
      for (int part = 0; part < parts; ++part) {
        if (!may_find(PyTuple_GetItem(flat.ptr(), d * parts + part), weights[d][part])) return false;
      }
    }
    Reader in(cell);
    saved = in.number();
    gated = in.number() != 0;
    shape.cell = static_cast<Cell>(in.number());
    read_options(in, shape.options);
    shape.is_double = x.is_double;
    shape.inputs = static_cast<int>(x.size[x.sizes - 1]);
    shape.state = static_cast<int>(weights[0][hh].size[1]);
    shape.hidden = weights[0][hr].data == nullptr ? shape.state : static_cast<int>(weights[0][hr].size[1]);
    total = 1;
    for (int i = 0; i < x.sizes - 1; ++i) total *= x.size[i];
    return read_steps(steps);
  }

  // None is a part that is not there.
  bool may_find(nb::handle object, Plain& found) const {
    if (object.is_none()) return true;
    return is_either(object, found) && !found.is_integer && found.is_double == x.is_double;
  }

  bool read_steps(nb::tuple steps) {
    Reader in(steps);
    tokens.order = static_cast<Order>(in.number());
    tokens.batch = in.number();
    tokens.length = in.number();
    const nb::object index = in.object();
    if (tokens.order == Order::ragged) return find_offsets(index, total, tokens);
    if (index.is_none()) return true;
    Plain found{};
    if (!is_tensor(index, found) || !found.is_integer) return false;
    tokens.index = static_cast<const std::int64_t*>(found.data);
    return true;
  }

  Weights weights_of(int d) const {
    const Plain* const own = weights[d];
    return {own[ih].data, own[hh].data, own[bias_ih].data, own[bias_hh].data, own[hr].data, own[peephole].data};
  }

  // Bytes of one direction's part of an array with so many values to a row.
  std::size_t part_of(std::int64_t rows, std::int64_t width) const {
    return static_cast<std::size_t>(rows * width) * (shape.is_double ? 8 : 4);
  }

  nb::object make(std::initializer_list<std::int64_t> size, void*& place) const {
    return make_tensor(shape.is_double, size.begin(), static_cast<int>(size.size()), place);
  }

  nb::object make_like(const Plain& part, void*& place) const {
    return make_tensor(shape.is_double, part.size, part.sizes, place);
  }
};

// y, h_n, c_n, c and gates; None for what the cell does not have, or for all of them.
nb::object forward(nb::tuple cell, nb::tuple steps, int threads, nb::handle x, nb::handle h0, nb::handle c0,
                   nb::tuple weights) {
  Layer layer{};
  if (!layer.read(cell, steps, x, h0, c0, weights)) return nb::none();
  const Shape& shape = layer.shape;
  const std::int64_t D = shape.directions, B = layer.tokens.batch, T = layer.total, H = shape.hidden, P = shape.state;
  Plain y_like = layer.x;
  y_like.size[y_like.sizes - 1] = D * P;
  void *y_place = nullptr, *h_place = nullptr, *c_n_place = nullptr, *c_place = nullptr, *gates_place = nullptr;
  const nb::object y = layer.make_like(y_like, y_place), h_n = layer.make({D, B, P}, h_place);
  const nb::object c_n = layer.gated ? layer.make({D, B, H}, c_n_place) : nb::none();
  const nb::object c = layer.gated ? layer.make({D, T, H}, c_place) : nb::none();
  const nb::object gates = layer.saved > 0 ? layer.make({D, T, layer.saved, H}, gates_place) : nb::none();
  ForwardCall call{};
  call.shape = shape;
  call.tokens = layer.tokens;
  call.threads = threads;
  call.x = layer.x.data;
  call.y = y_place;
  for (int d = 0; d < shape.directions; ++d) {
    ForwardDirection& direction = call.direction[d];
    const std::size_t number = static_cast<std::size_t>(d);
    direction.weights = layer.weights_of(d);
    direction.h0 = behind<const void>(layer.h0.data, number * layer.part_of(B, P));
    direction.c0 = behind<const void>(layer.c0.data, number * layer.part_of(B, H));
    direction.h_n = behind(h_place, number * layer.part_of(B, P));
    direction.c_n = behind(c_n_place, number * layer.part_of(B, H));
    direction.c = behind(c_place, number * layer.part_of(T, H));
    direction.gates = behind(gates_place, number * layer.part_of(T, layer.saved * H));
    direction.context = layer.weights[d][context].data;
  }
  {
    const nb::gil_scoped_release released;
    recurrent_forward(call);
  }
  return nb::make_tuple(y, h_n, c_n, c, gates);
}

// The gradients of x, h0, c0 and every part of `weights`; None for what is not needed or not there, or for all.
nb::object backward(nb::tuple cell, nb::tuple steps, int threads, nb::handle x, nb::handle h0, nb::handle c0,
                    nb::tuple weights, nb::tuple made, nb::tuple gradients, nb::tuple needed) {
  Layer layer{};
  Plain of_made[3]{}, given[3]{};
  if (!layer.read(cell, steps, x, h0, c0, weights)) return nb::none();
  for (int i = 0; i < 3; ++i) {
    if (!layer.may_find(PyTuple_GetItem(made.ptr(), i), of_made[i])) return nb::none();
    if (!layer.may_find(PyTuple_GetItem(gradients.ptr(), i), given[i])) return nb::none();
  }
  const Shape& shape = layer.shape;
  const std::int64_t B = layer.tokens.batch, T = layer.total, H = shape.hidden, P = shape.state;
  const auto needs = [&](int i) { return PyTuple_GetItem(needed.ptr(), i) == Py_True; };
  const nb::object found = nb::steal(PyTuple_New(3 + shape.directions * parts));
  if (!found.is_valid()) nb::raise_python_error();
  int next = 0;
  const auto gradient_of = [&](const Plain& part, bool wanted) {
    void* place = nullptr;
    nb::object gradient = wanted && part.data != nullptr ? layer.make_like(part, place) : nb::none();
    PyTuple_SetItem(found.ptr(), next++, gradient.release().ptr());
    return place;
  };
  BackwardCall call{};
  call.shape = shape;
  call.tokens = layer.tokens;
  call.threads = threads;
  call.x = layer.x.data;
  call.y = of_made[0].data;
  call.dy = given[0].data;
  call.dx = gradient_of(layer.x, needs(0));
  void* const dh0 = gradient_of(layer.h0, needs(1));
  void* const dc0 = gradient_of(layer.c0, needs(1));
  for (int d = 0; d < shape.directions; ++d) {
    BackwardDirection& direction = call.direction[d];
    const std::size_t number = static_cast<std::size_t>(d);
    const std::size_t of_h = number * layer.part_of(B, P), of_c = number * layer.part_of(B, H);
    direction.weights = layer.weights_of(d);
    direction.h0 = behind<const void>(layer.h0.data, of_h);
    direction.c0 = behind<const void>(layer.c0.data, of_c);
    direction.c = behind<const void>(of_made[1].data, number * layer.part_of(T, H));
    direction.gates = behind<const void>(of_made[2].data, number * layer.part_of(T, layer.saved * H));
    direction.dh_n = behind<const void>(given[1].data, of_h);
    direction.dc_n = behind<const void>(given[2].data, of_c);
    direction.dh0 = behind(dh0, of_h);
    direction.dc0 = behind(dc0, of_c);
    const bool wanted = needs(2);
    const Plain* const own = layer.weights[d];
    direction.dw_ih = gradient_of(own[ih], wanted);
    direction.dw_hh = gradient_of(own[hh], wanted);
    direction.db_ih = gradient_of(own[bias_ih], wanted);
    direction.db_hh = gradient_of(own[bias_hh], wanted);
    direction.dw_hr = gradient_of(own[hr], wanted);
    direction.dpeephole = gradient_of(own[peephole], wanted);
    direction.dcontext = gradient_of(own[context], wanted);
  }
  {
    const nb::gil_scoped_release released;
    recurrent_backward(call);
  }
  return found;
}

}  // namespace

void bind_layer(nb::module_& m) {
  m.def("recurrent_layer_forward", &forward, nb::arg("cell"), nb::arg("steps"), nb::arg("threads"), nb::arg("x"),
        nb::arg("h0").none(), nb::arg("c0").none(), nb::arg("weights"),
        "(y, h_n, c_n, c, gates) of one layer, or None where a tensor is unusual.");
  m.def("recurrent_layer_backward", &backward, nb::arg("cell"), nb::arg("steps"), nb::arg("threads"), nb::arg("x"),
        nb::arg("h0").none(), nb::arg("c0").none(), nb::arg("weights"), nb::arg("made"), nb::arg("gradients"),
        nb::arg("needed"), "Gradients of x, h0, c0 and all weights, or None where a tensor is unusual.");
}

}  // namespace throughtime
