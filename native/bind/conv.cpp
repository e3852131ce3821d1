#include "bind/conv.h"

#include "bind/reader.h"
#include "kernels/conv/conv.h"

namespace nb = nanobind;

namespace throughtime {
namespace {

ConvShape read_shape(nb::tuple tuple) {
  Reader in(tuple);
  ConvShape shape{};
  shape.is_double = in.number() != 0;
  shape.replicate = in.number() != 0;
  shape.channels = in.number();
  shape.outputs = in.number();
  shape.groups = in.number();
  shape.width = in.number();
  shape.stride = in.number();
  shape.dilation = in.number();
  shape.left = in.number();
  return shape;
}

ConvBatch read_batch(nb::tuple tuple) {
  Reader in(tuple);
  ConvBatch batch{};
  batch.sequences = in.number();
  batch.offsets = static_cast<const std::int64_t*>(in.address());
  batch.out_offsets = static_cast<const std::int64_t*>(in.address());
  return batch;
}

void forward(nb::tuple shape, nb::tuple batch, int threads, std::uintptr_t x, std::uintptr_t weight,
             std::uintptr_t bias, bool relu, std::uintptr_t y) {
  const ConvForward call{read_shape(shape), read_batch(batch), threads, at(x), at(weight), at(bias), relu, to(y)};
  const nb::gil_scoped_release released;
  conv_forward(call);
}

void input_gradient(nb::tuple shape, nb::tuple batch, int threads, std::uintptr_t dy, std::uintptr_t weight,
                    std::uintptr_t start, std::uintptr_t dx) {
  const ConvInputGradient call{read_shape(shape), read_batch(batch), threads, at(dy), at(weight), at(start), to(dx)};
  const nb::gil_scoped_release released;
  conv_input_gradient(call);
}

void weight_gradient(nb::tuple shape, nb::tuple batch, int threads, std::uintptr_t x, std::uintptr_t dy,
                     std::uintptr_t dw, std::uintptr_t db) {
  const ConvWeightGradient call{read_shape(shape), read_batch(batch), threads, at(x), at(dy), to(dw), to(db)};
  const nb::gil_scoped_release released;
  conv_weight_gradient(call);
}

}  // namespace

void bind_conv(nb::module_& m) {
  m.def("conv_forward", &forward,
        "Correlation in time. Tuples hold the fields of kernels/conv/conv.h in its order, as do the others.");
  m.def("conv_input_gradient", &input_gradient, "The gradient of its input; the transposed convolution.");
  m.def("conv_weight_gradient", &weight_gradient, "The gradients of its weight and bias.");
}

}  // namespace throughtime
