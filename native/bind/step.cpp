// A step at batch 1 is a few microseconds of arithmetic: looking at a dozen tensors in Python would take longer. They
// are asked the same questions here, by their public names.
#include "bind/step.h"

#include <cstdint>
#include <initializer_list>

#include "bind/reader.h"
#include "bind/recurrent.h"

namespace nb = nanobind;

namespace throughtime {
namespace {

// What is asked of tensors, and their classes. Made at the first step, and never destroyed: the interpreter may go
// first.
struct Torch {
  PyObject *tensor, *parameter, *float32, *float64;
  PyObject *dtype, *shape, *is_cpu, *is_contiguous, *data_ptr, *new_empty;
};

PyObject* interned(const char* name) { return PyUnicode_InternFromString(name); }

const Torch& torch() {
  static const Torch* const found = [] {
    const nb::module_ module = nb::module_::import_("torch");
    const nb::object parameter = module.attr("nn").attr("Parameter");
    return new Torch{nb::object(module.attr("Tensor")).release().ptr(),
                     nb::object(parameter).release().ptr(),
                     nb::object(module.attr("float32")).release().ptr(),
                     nb::object(module.attr("float64")).release().ptr(),
                     interned("dtype"),
                     interned("shape"),
                     interned("is_cpu"),
                     interned("is_contiguous"),
                     interned("data_ptr"),
                     interned("new_empty")};
  }();
  return *found;
}

nb::object attribute(nb::handle object, PyObject* name) {
  PyObject* const found = PyObject_GetAttr(object.ptr(), name);
  if (found == nullptr) nb::raise_python_error();
  return nb::steal(found);
}

// A method, with at most three numbers.
nb::object called(nb::handle object, PyObject* name, const std::int64_t* numbers = nullptr, std::size_t count = 0) {
  nb::object given[3];
  PyObject* arguments[4] = {object.ptr()};
  for (std::size_t i = 0; i < count; ++i) {
    given[i] = nb::int_(numbers[i]);
    arguments[i + 1] = given[i].ptr();
  }
  PyObject* const found = PyObject_VectorcallMethod(name, arguments, count + 1, nullptr);
  if (found == nullptr) nb::raise_python_error();
  return nb::steal(found);
}

std::uintptr_t address_of(nb::handle tensor) { return nb::cast<std::uintptr_t>(called(tensor, torch().data_ptr)); }

// The sizes of a tensor, at most three.
struct Sizes {
  std::int64_t size[3];
  std::size_t count;

  bool are(std::initializer_list<std::int64_t> expected) const {
    if (count != expected.size()) return false;
    std::size_t i = 0;
    for (const std::int64_t one : expected) {
      if (size[i++] != one) return false;
    }
    return true;
  }
};

// Whether this is a contiguous tensor on the CPU, of exactly this class and this type, and has at most three sizes.
bool is_plain(nb::handle object, PyObject* type, nb::handle dtype, Sizes& sizes) {
  const Torch& names = torch();
  if (reinterpret_cast<PyObject*>(Py_TYPE(object.ptr())) != type) return false;
  if (attribute(object, names.dtype).ptr() != dtype.ptr()) return false;
  if (attribute(object, names.is_cpu).ptr() != Py_True) return false;
  if (called(object, names.is_contiguous).ptr() != Py_True) return false;
  const nb::tuple shape = nb::borrow<nb::tuple>(attribute(object, names.shape));
  sizes.count = shape.size();
  if (sizes.count > 3) return false;
  for (std::size_t i = 0; i < sizes.count; ++i) sizes.size[i] = nb::cast<std::int64_t>(shape[i]);
  return true;
}

// What of a layer is the same at every step; its fields in the order of `StepPlan` in ops/_recurrent_native.py.
struct Plan {
  Shape shape;
  std::int64_t layers;
  bool gated, biased, projects;
  std::int64_t gates, peepholes;
  nb::tuple names;

  explicit Plan(nb::handle tuple) {
    Reader in(tuple);
    gated = in.number() != 0;
    shape.inputs = static_cast<int>(in.number());
    shape.hidden = static_cast<int>(in.number());
    shape.state = static_cast<int>(in.number());
    shape.directions = 1;
    layers = in.number();
    gates = in.number();
    peepholes = in.number();
    biased = in.number() != 0;
    projects = in.number() != 0;
    names = nb::borrow<nb::tuple>(in.object());
    Reader cell(in.object());
    shape.cell = static_cast<Cell>(cell.number());
    read_options(cell, shape.options);
  }
};

// The weights of a layer; false where one is missing or unusual.
bool find_weights(const Plan& plan, nb::dict parameters, nb::handle dtype, std::int64_t layer, Weights& weights) {
  const std::int64_t H = plan.shape.hidden, P = plan.shape.state, rows = plan.gates * H;
  const nb::tuple names = nb::borrow<nb::tuple>(plan.names[static_cast<std::size_t>(layer)]);
  std::size_t next = 0;
  const auto find = [&](const void*& place, std::initializer_list<std::int64_t> expected) {
    PyObject* const found = PyDict_GetItemWithError(parameters.ptr(), nb::object(names[next++]).ptr());
    Sizes sizes{};
    if (found == nullptr || !is_plain(found, torch().parameter, dtype, sizes) || !sizes.are(expected)) return false;
    place = at(address_of(found));
    return true;
  };
  if (!find(weights.ih, {rows, layer == 0 ? plan.shape.inputs : P}) || !find(weights.hh, {rows, P})) return false;
  if (plan.biased && !(find(weights.bias_ih, {rows}) && find(weights.bias_hh, {rows}))) return false;
  if (plan.projects && !find(weights.hr, {P, H})) return false;
  return plan.peepholes == 0 || find(weights.peephole, {plan.peepholes * H});
}

// Every layer writes y, and the last one's stays; the next one reads the state of this one.
void run_layers(ForwardCall& call, const Plan& plan, const Weights* weights, std::uintptr_t source,
                std::uintptr_t h_from, std::uintptr_t c_from, std::uintptr_t h_to, std::uintptr_t c_to) {
  const nb::gil_scoped_release released;
  const std::uintptr_t row = static_cast<std::uintptr_t>(call.tokens.batch) * (call.shape.is_double ? 8 : 4);
  const std::uintptr_t of_h = static_cast<std::uintptr_t>(call.shape.state) * row;
  const std::uintptr_t of_c = static_cast<std::uintptr_t>(call.shape.hidden) * row;
  call.x = at(source);
  for (std::int64_t layer = 0; layer < plan.layers; ++layer) {
    ForwardDirection& direction = call.direction[0];
    direction.weights = weights[layer];
    direction.h0 = at(h_from);
    direction.c0 = at(c_from);
    direction.h_n = to(h_to);
    direction.c_n = to(c_to);
    recurrent_forward(call);
    call.x = direction.h_n;
    call.shape.inputs = call.shape.state;
    h_from += h_from == 0 ? 0 : of_h;
    c_from += c_from == 0 ? 0 : of_c;
    h_to += of_h;
    c_to += c_to == 0 ? 0 : of_c;
  }
}

// y and the next state of x, (B, I) or (I,), and a state; None where the general path must decide.
nb::object step(nb::tuple fields, nb::dict parameters, int threads, nb::handle x, nb::handle state) {
  const Torch& names = torch();
  if (reinterpret_cast<PyObject*>(Py_TYPE(x.ptr())) != names.tensor) return nb::none();
  const nb::object dtype = attribute(x, names.dtype);
  if (dtype.ptr() != names.float32 && dtype.ptr() != names.float64) return nb::none();
  Plan plan(fields);
  Shape& shape = plan.shape;
  shape.is_double = dtype.ptr() == names.float64;
  Sizes sizes{};
  if (!is_plain(x, names.tensor, dtype, sizes) || sizes.count < 1 || sizes.count > 2) return nb::none();
  if (sizes.size[sizes.count - 1] != shape.inputs) return nb::none();
  const bool single = sizes.count == 1;
  const std::int64_t batch = single ? 1 : sizes.size[0];
  const auto fits = [&](nb::handle part, std::int64_t width) {
    Sizes own{};
    if (!is_plain(part, names.tensor, dtype, own)) return false;
    return single ? own.are({plan.layers, width}) : own.are({plan.layers, batch, width});
  };

  nb::handle h, c;
  if (!state.is_none() && plan.gated) {
    if (!PyTuple_CheckExact(state.ptr()) || PyTuple_Size(state.ptr()) != 2) return nb::none();
    h = PyTuple_GetItem(state.ptr(), 0);
    c = PyTuple_GetItem(state.ptr(), 1);
    if (!fits(c, shape.hidden)) return nb::none();
  } else if (!state.is_none()) {
    h = state;
  }
  if (h.is_valid() && !fits(h, shape.state)) return nb::none();

  // All layers' weights, before anything is made.
  constexpr std::int64_t most_layers = 16;
  if (plan.layers > most_layers) return nb::none();
  Weights weights[most_layers]{};
  for (std::int64_t layer = 0; layer < plan.layers; ++layer) {
    if (!find_weights(plan, parameters, dtype, layer, weights[layer])) return nb::none();
  }

  const auto made = [&](std::int64_t width, bool of_layers) {
    const std::int64_t size[] = {plan.layers, batch, width};
    if (!single) return of_layers ? called(x, names.new_empty, size, 3) : called(x, names.new_empty, size + 1, 2);
    const std::int64_t of_one[] = {plan.layers, width};
    return of_layers ? called(x, names.new_empty, of_one, 2) : called(x, names.new_empty, of_one + 1, 1);
  };
  const nb::object y = made(shape.state, false), h_n = made(shape.state, true);
  const nb::object c_n = plan.gated ? made(shape.hidden, true) : nb::none();

  ForwardCall call{};
  call.shape = shape;
  call.tokens = {Order::time_major, batch, 1, nullptr};
  call.threads = threads;
  call.y = to(address_of(y));
  const std::uintptr_t source = address_of(x), h_from = h.is_valid() ? address_of(h) : 0;
  const std::uintptr_t c_from = c.is_valid() ? address_of(c) : 0, h_to = address_of(h_n);
  const std::uintptr_t c_to = plan.gated ? address_of(c_n) : 0;
  run_layers(call, plan, weights, source, h_from, c_from, h_to, c_to);
  return nb::make_tuple(y, plan.gated ? nb::object(nb::make_tuple(h_n, c_n)) : h_n);
}

}  // namespace

void bind_step(nb::module_& m) {
  m.def("recurrent_step", &step, nb::arg("plan"), nb::arg("parameters"), nb::arg("threads"), nb::arg("x"),
        nb::arg("state").none(),
        "All layers on one token of each stream: (y, state), or None where something is unusual.");
}

}  // namespace throughtime
