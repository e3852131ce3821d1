#include "bind/recurrent.h"

#include "bind/reader.h"
#include "bind/tensors.h"
#include "kernels/offsets.h"

namespace nb = nanobind;

namespace throughtime {

void read_options(Reader& in, Options& options) {
  if (in.ended()) return;  // a plain cell has none
  for (int i = 0; i < 3; ++i) {
    options.activation[i] = static_cast<Activation>(in.number());
    options.alpha[i] = in.real();
    options.beta[i] = in.real();
  }
  options.clip = in.real();
  options.cell_clip = in.real();
  options.update_new = in.number() != 0;
  options.gradient_value = in.real();
  options.gradient_norm = in.real();
}

bool find_offsets(nb::handle offsets, std::int64_t total, Tokens& tokens) {
  Plain found{};
  if (!is_tensor(offsets, found) || !found.is_integer || found.sizes != 1) return false;
  const auto* const index = static_cast<const std::int64_t*>(found.data);
  tokens = {Order::ragged, found.size[0] - 1, 0, index};
  return check_offsets(index, found.size[0], total).fault == OffsetsFault::none;
}

namespace {

Shape read_shape(nb::tuple tuple, std::size_t directions) {
  Reader in(tuple);
  Shape shape{};
  shape.cell = static_cast<Cell>(in.number());
  shape.is_double = in.number() != 0;
  shape.inputs = static_cast<int>(in.number());
  shape.hidden = static_cast<int>(in.number());
  shape.state = static_cast<int>(in.number());
  shape.directions = static_cast<int>(directions);
  read_options(in, shape.options);
  return shape;
}

Tokens read_tokens(nb::tuple tuple) {
  Reader in(tuple);
  Tokens tokens{};
  tokens.order = static_cast<Order>(in.number());
  tokens.batch = in.number();
  tokens.length = in.number();
  tokens.index = static_cast<const std::int64_t*>(in.address());
  return tokens;
}

Weights read_weights(Reader& in) {
  Weights weights{};
  weights.ih = in.address();
  weights.hh = in.address();
  weights.bias_ih = in.address();
  weights.bias_hh = in.address();
  weights.hr = in.address();
  weights.peephole = in.address();
  return weights;
}

void forward(nb::tuple shape, nb::tuple tokens, int threads, std::uintptr_t x, std::uintptr_t y,
             nb::tuple directions) {
  ForwardCall call{};
  call.shape = read_shape(shape, directions.size());
  call.tokens = read_tokens(tokens);
  call.threads = threads;
  call.x = at(x);
  call.y = to(y);
  for (int d = 0; d < call.shape.directions; ++d) {
    Reader in(directions[static_cast<std::size_t>(d)]);
    ForwardDirection& direction = call.direction[d];
    direction.weights = read_weights(in);
    direction.h0 = in.address();
    direction.c0 = in.address();
    direction.h_n = in.address();
    direction.c_n = in.address();
    direction.c = in.address();
    direction.gates = in.address();
    direction.context = in.address();
  }
  const nb::gil_scoped_release released;
  recurrent_forward(call);
}

void backward(nb::tuple shape, nb::tuple tokens, int threads, std::uintptr_t x, std::uintptr_t y,
              std::uintptr_t dy, std::uintptr_t dx, nb::tuple directions) {
  BackwardCall call{};
  call.shape = read_shape(shape, directions.size());
  call.tokens = read_tokens(tokens);
  call.threads = threads;
  call.x = at(x);
  call.y = at(y);
  call.dy = at(dy);
  call.dx = to(dx);
  for (int d = 0; d < call.shape.directions; ++d) {
    Reader in(directions[static_cast<std::size_t>(d)]);
    BackwardDirection& direction = call.direction[d];
    direction.weights = read_weights(in);
    direction.h0 = in.address();
    direction.c0 = in.address();
    direction.c = in.address();
    direction.gates = in.address();
    direction.dh_n = in.address();
    direction.dc_n = in.address();
    direction.dc = in.address();
    direction.dgates = in.address();
    direction.dh0 = in.address();
    direction.dc0 = in.address();
    direction.dw_ih = in.address();
    direction.dw_hh = in.address();
    direction.db_ih = in.address();
    direction.db_hh = in.address();
    direction.dw_hr = in.address();
    direction.dh_steps = in.address();
    direction.dc_steps = in.address();
    direction.dpre = in.address();
    direction.kept = in.address();
    direction.summary = in.address();
    direction.dpeephole = in.address();
    direction.dcontext = in.address();
  }
  const nb::gil_scoped_release released;
  recurrent_backward(call);
}

}  // namespace

void bind_recurrent(nb::module_& m) {
  m.def("recurrent_forward", &forward,
        "One recurrent layer, forward. Tuples hold the fields of kernels/recurrent/recurrent.h in its order.");
  m.def("recurrent_backward", &backward,
        "One recurrent layer, backward. Tuples hold the fields of kernels/recurrent/recurrent.h in its order.");
}

}  // namespace throughtime
