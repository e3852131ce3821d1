// A step at batch size 1, or a call on a short sequence, takes a few microseconds of arithmetic. Checking a dozen
// tensors in Python would take longer.
#include "bind/stack.h"

#include <cstdint>
#include <optional>

#include "bind/cell.h"
#include "bind/recurrent.h"
#include "bind/tensors.h"
#include "kernels/scratch.h"

namespace nb = nanobind;

namespace throughtime {
namespace {

constexpr int most_layers = 16;
constexpr int most_directions = 2;
constexpr int weights_of_one = 5 + most_own;

// What came in, looked at.
struct Input {
  Plain x;
  Tokens tokens;
  bool batched;  // states have a dimension for sequences
  bool is_cell;  // states have none for layers
  std::int64_t total;
};

// Parameters in use, which another thread may exchange meanwhile.
class Held {
 public:
  Held() {}
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() {
    for (int i = 0; i < count_; ++i) Py_DECREF(object_[i]);
  }
  void add(PyObject* object) {
    Py_INCREF(object);
    object_[count_++] = object;
  }
  nb::handle at(int place) const { return object_[place]; }

 private:
  PyObject* object_[most_layers * most_directions * weights_of_one];
  int count_ = 0;
};

// What else a run reads. Kilobytes, of which a call writes those of the layers that there are.
struct Found {
  const void *h0 = nullptr, *c0 = nullptr;
  Weights weights[most_layers][most_directions];
  Held held;
};

// The layers of a module, of which nothing changes but the parameters.
class Stack {
 public:
  // `names`: for each layer and direction those of its parameters: the products, the biases, a projection and the
  // cell's own, as far as there are any.
  Stack(int inputs, int hidden, int state, int layers, int directions, bool biased, bool projects, nb::tuple names,
        const NativeCell& cell)
      : layers_(layers),
        directions_(directions),
        gates_(cell.gates),
        has_c_(cell.has_c),
        biased_(biased),
        projects_(projects),
        usable_(layers <= most_layers),
        names_(names) {
    shape_.inputs = inputs;
    shape_.hidden = hidden;
    shape_.state = state;
    shape_.directions = directions;
    shape_.cell = cell.cell;
    shape_.options = cell.options;
  }

  // One token of each stream, (B, I) or (I,).
  nb::object step(nb::dict parameters, int threads, nb::handle x, nb::handle state) const {
    Input input{};
    return find_token(x, input) ? run(input, parameters, threads, state) : nb::none();
  }

  // The same of one layer, whose state is (B, H) or (H,): h and, of an LSTM, c.
  nb::object cell(nb::dict parameters, int threads, nb::handle x, nb::handle state) const {
    Input input{};
    Found found;
    input.is_cell = true;
    if (layers_ != 1 || !find_token(x, input) || !find(input, parameters, state, found)) return nb::none();
    void *h_place = nullptr, *c_place = nullptr;
    ForwardCall call = call_on(input, threads);
    const nb::object h = make_output(input, shape_.state, h_place);
    const nb::object c = has_c_ ? make_output(input, shape_.hidden, c_place) : nb::none();
    const Scratch h_n(static_cast<std::size_t>(input.total * shape_.state) * (input.x.is_double ? 8 : 4));
    run_layers(call, found, input.total, h_place, h_n.data(), c_place);
    return nb::make_tuple(h, c);
  }

  // Sequences of one length, (L, I), (L, B, I) or (B, L, I).
  nb::object dense(nb::dict parameters, int threads, nb::handle x, bool batch_first, nb::handle state) const {
    Input input{};
    return find_dense(x, batch_first, input) ? run(input, parameters, threads, state) : nb::none();
  }

  // Sequences end to end, (T, I), and where they begin, (B + 1,).
  nb::object ragged(nb::dict parameters, int threads, nb::handle values, nb::handle offsets, nb::handle state) const {
    Input input{};
    return find_ragged(values, offsets, input) ? run(input, parameters, threads, state) : nb::none();
  }

  // The weights that those would run with: for each layer the fields of `Weights` in ops/recurrent/weights.py, of each
  // direction, where several own parameters are a tuple. None where anything is unusual.
  nb::object cell_weights(nb::dict parameters, nb::handle x, nb::handle state) const {
    Input input{};
    Found found;
    input.is_cell = true;
    return weights_if(layers_ == 1 && find_token(x, input) && find(input, parameters, state, found), found);
  }

  nb::object dense_weights(nb::dict parameters, nb::handle x, bool batch_first, nb::handle state) const {
    Input input{};
    Found found;
    return weights_if(find_dense(x, batch_first, input) && find(input, parameters, state, found), found);
  }

  nb::object ragged_weights(nb::dict parameters, nb::handle values, nb::handle offsets, nb::handle state) const {
    Input input{};
    Found found;
    return weights_if(find_ragged(values, offsets, input) && find(input, parameters, state, found), found);
  }

 private:
  bool find_token(nb::handle x, Input& input) const {
    if (!usable_ || directions_ != 1 || !is_tensor(x, input.x) || input.x.sizes > 2) return false;
    input.batched = input.x.sizes == 2;
    input.total = input.batched ? input.x.size[0] : 1;
    input.tokens = {Order::time_major, input.total, 1, nullptr};
    return true;
  }

  bool find_dense(nb::handle x, bool batch_first, Input& input) const {
    if (!usable_ || !is_tensor(x, input.x) || input.x.sizes < 2 || input.x.sizes > 3) return false;
    const std::int64_t* const size = input.x.size;
    input.batched = input.x.sizes == 3;
    const bool turned = input.batched && batch_first;
    const std::int64_t length = size[turned ? 1 : 0], batch = input.batched ? size[turned ? 0 : 1] : 1;
    input.tokens = {turned ? Order::batch_first : Order::time_major, batch, length, nullptr};
    input.total = batch * length;
    return true;
  }

  bool find_ragged(nb::handle values, nb::handle offsets, Input& input) const {
    if (!usable_ || !is_tensor(values, input.x) || input.x.sizes != 2) return false;
    input.batched = true;
    input.total = input.x.size[0];
    return find_offsets(&is_tensor, offsets, input.total, input.tokens);
  }

  // What comes back is (y, state), the state of an LSTM a pair; None where anything is unusual.
  nb::object run(const Input& input, nb::dict parameters, int threads, nb::handle state) const {
    Found found;
    if (!find(input, parameters, state, found)) return nb::none();
    void *y_place = nullptr, *h_place = nullptr, *c_place = nullptr;
    ForwardCall call = call_on(input, threads);
    const nb::object y = make_output(input, static_cast<std::int64_t>(directions_) * shape_.state, y_place);
    const nb::object h_n = make_state(input, shape_.state, h_place);
    const nb::object c_n = has_c_ ? make_state(input, shape_.hidden, c_place) : nb::none();
    run_layers(call, found, input.total, y_place, h_place, c_place);
    return nb::make_tuple(y, has_c_ ? nb::object(nb::make_tuple(h_n, c_n)) : h_n);
  }

  ForwardCall call_on(const Input& input, int threads) const {
    ForwardCall call{};
    call.shape = shape_;
    call.shape.is_double = input.x.is_double;
    call.tokens = input.tokens;
    call.threads = threads;
    call.x = input.x.data;
    return call;
  }

  // So many values in place of the features of x.
  nb::object make_output(const Input& input, std::int64_t width, void*& place) const {
    std::int64_t size[3] = {input.x.size[0], input.x.size[1], input.x.size[2]};
    size[input.x.sizes - 1] = width;
    return make_tensor(input.x.is_double, size, input.x.sizes, place);
  }

  bool find(const Input& input, nb::dict parameters, nb::handle state, Found& found) const {
    const Plain& x = input.x;
    if (x.is_integer || x.size[x.sizes - 1] != shape_.inputs) return false;
    if (!state.is_none() && !find_state(input, state, found.h0, found.c0)) return false;
    for (int layer = 0; layer < layers_; ++layer) {
      for (int d = 0; d < directions_; ++d) {
        if (!find_weights(parameters, layer, d, x.is_double, found.weights[layer][d], found.held)) return false;
      }
    }
    return true;
  }

  bool find_state(const Input& input, nb::handle state, const void*& h0, const void*& c0) const {
    nb::handle h = state, c;
    if (has_c_) {
      if (!PyTuple_CheckExact(state.ptr()) || PyTuple_Size(state.ptr()) != 2) return false;
      h = PyTuple_GetItem(state.ptr(), 0);
      c = PyTuple_GetItem(state.ptr(), 1);
    }
    const std::int64_t count = static_cast<std::int64_t>(layers_) * directions_, batch = input.tokens.batch;
    const auto find = [&](nb::handle part, std::int64_t width, const void*& place) {
      Plain found{};
      if (!is_tensor(part, found) || found.is_integer || found.is_double != input.x.is_double) return false;
      place = found.data;
      if (input.is_cell) return input.batched ? found.is({batch, width}) : found.is({width});
      return input.batched ? found.is({count, batch, width}) : found.is({count, width});
    };
    return find(h, shape_.state, h0) && (!has_c_ || find(c, shape_.hidden, c0));
  }

  bool find_weights(nb::dict parameters, int layer, int direction, bool is_double, Weights& weights, Held& held) const {
    const std::int64_t H = shape_.hidden, P = shape_.state, rows = gates_ * H;
    const std::int64_t features = layer == 0 ? shape_.inputs : directions_ * P;
    weights = {};
    PyObject* const names = PyTuple_GetItem(names_.ptr(), layer * directions_ + direction);
    Py_ssize_t next = 0;
    const auto find = [&](const void*& place, std::initializer_list<std::int64_t> expected) {
      PyObject* const parameter = PyDict_GetItemWithError(parameters.ptr(), PyTuple_GetItem(names, next++));
      Plain found{};
      if (parameter == nullptr || !is_parameter(parameter, found)) return false;
      held.add(parameter);
      place = found.data;
      return !found.is_integer && found.is_double == is_double && found.is(expected);
    };
    if (!find(weights.ih, {rows, features}) || !find(weights.hh, {rows, P})) return false;
    if (biased_ && !(find(weights.bias_ih, {rows}) && find(weights.bias_hh, {rows}))) return false;
    if (projects_ && !find(weights.hr, {P, H})) return false;
    const std::int32_t* const own_rows = shape_.options.own_rows;
    for (int i = 0; i < most_own && own_rows[i] > 0; ++i) {
      if (!find(weights.own[i], {own_rows[i] * H})) return false;
    }
    return true;
  }

  nb::object weights_if(bool fits, const Found& found) const {
    if (!fits) return nb::none();
    int next = 0;
    const auto take = [&](bool present) {
      return present ? nb::borrow(found.held.at(next++)) : nb::none();
    };
    int own_count = 0;
    while (own_count < most_own && shape_.options.own_rows[own_count] > 0) ++own_count;
    nb::list layers;
    for (int layer = 0; layer < layers_; ++layer) {
      nb::list parts;
      for (int d = 0; d < directions_; ++d) {
        for (const bool present : {true, true, biased_, biased_, projects_}) parts.append(take(present));
        nb::list own;
        for (int i = 0; i < own_count; ++i) own.append(take(true));
        parts.append(own_count > 1 ? nb::object(nb::tuple(own)) : own_count == 1 ? nb::object(own[0]) : nb::none());
        parts.append(nb::none());
      }
      layers.append(nb::tuple(parts));
    }
    return nb::tuple(layers);
  }

  nb::object make_state(const Input& input, std::int64_t width, void*& place) const {
    const std::int64_t count = static_cast<std::int64_t>(layers_) * directions_;
    const std::int64_t batched[] = {count, input.tokens.batch, width}, single[] = {count, width};
    return make_tensor(input.x.is_double, input.batched ? batched : single, input.batched ? 3 : 2, place);
  }

  // Layers write y and scratch memory in turns, the last one y.
  void run_layers(ForwardCall& call, const Found& found, std::int64_t total, void* y, void* h_n, void* c_n) const {
    const nb::gil_scoped_release released;
    const std::size_t number = call.shape.is_double ? 8 : 4;
    const std::size_t row = static_cast<std::size_t>(call.tokens.batch) * number;
    const std::size_t of_h = static_cast<std::size_t>(shape_.state) * row;
    const std::size_t of_c = static_cast<std::size_t>(shape_.hidden) * row;
    std::optional<Scratch> between;
    if (layers_ > 1) between.emplace(static_cast<std::size_t>(total * directions_ * shape_.state) * number);
    for (int layer = 0; layer < layers_; ++layer) {
      call.y = (layers_ - layer) % 2 == 1 ? y : between->data();
      for (int d = 0; d < directions_; ++d) {
        const std::size_t place = static_cast<std::size_t>(layer * directions_ + d);
        ForwardDirection& direction = call.direction[d];
        direction.weights = found.weights[layer][d];
        direction.h0 = behind(found.h0, place * of_h);
        direction.c0 = behind(found.c0, place * of_c);
        direction.h_n = behind(h_n, place * of_h);
        direction.c_n = behind(c_n, place * of_c);
      }
      recurrent_forward(call);
      call.x = call.y;
      call.shape.inputs = directions_ * shape_.state;
    }
  }

  Shape shape_{};
  int layers_, directions_, gates_;
  bool has_c_, biased_, projects_, usable_;
  nb::tuple names_;
};

}  // namespace

void bind_stack(nb::module_& m) {
  nb::class_<Stack>(m, "RecurrentStack", "A module's layers, run without gradients on the arguments of its caller.")
      .def(nb::init<int, int, int, int, int, bool, bool, nb::tuple, const NativeCell&>(), nb::kw_only(),
           nb::arg("inputs"), nb::arg("hidden"), nb::arg("state"), nb::arg("layers"), nb::arg("directions"),
           nb::arg("biased"), nb::arg("projects"), nb::arg("names"), nb::arg("cell"))
      .def("step", &Stack::step, nb::arg("parameters"), nb::arg("threads"), nb::arg("x").none(), nb::arg("state").none())
      .def("cell", &Stack::cell, nb::arg("parameters"), nb::arg("threads"), nb::arg("x").none(), nb::arg("state").none())
      .def("cell_weights", &Stack::cell_weights, nb::arg("parameters"), nb::arg("x").none(), nb::arg("state").none())
      .def("dense", &Stack::dense, nb::arg("parameters"), nb::arg("threads"), nb::arg("x").none(), nb::arg("batch_first"),
           nb::arg("state").none())
      .def("ragged", &Stack::ragged, nb::arg("parameters"), nb::arg("threads"), nb::arg("values"), nb::arg("offsets"),
           nb::arg("state").none())
      .def("dense_weights", &Stack::dense_weights, nb::arg("parameters"), nb::arg("x").none(), nb::arg("batch_first"),
           nb::arg("state").none())
      .def("ragged_weights", &Stack::ragged_weights, nb::arg("parameters"), nb::arg("values"), nb::arg("offsets"),
           nb::arg("state").none());
}

}  // namespace throughtime
