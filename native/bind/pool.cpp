#include "bind/pool.h"

#include "bind/reader.h"
#include "kernels/pool/pool.h"

namespace nb = nanobind;

namespace throughtime {
namespace {

PoolShape read_shape(nb::tuple tuple) {
  Reader in(tuple);
  PoolShape shape{};
  shape.is_double = in.number() != 0;
  shape.features = in.number();
  shape.size = in.number();
  shape.stride = in.number();
  shape.dilation = in.number();
  shape.left = in.number();
  return shape;
}

PoolBatch read_batch(nb::tuple tuple) {
  Reader in(tuple);
  PoolBatch batch{};
  batch.sequences = in.number();
  batch.offsets = static_cast<const std::int64_t*>(in.address());
  batch.out_offsets = static_cast<const std::int64_t*>(in.address());
  return batch;
}

std::int64_t windows(nb::tuple shape, std::int64_t right, bool ceil_mode, std::int64_t sequences,
                     std::uintptr_t offsets, std::uintptr_t out_offsets) {
  return pool_windows({read_shape(shape), right, ceil_mode, sequences, static_cast<const std::int64_t*>(at(offsets)),
                       static_cast<std::int64_t*>(to(out_offsets))});
}

void max(nb::tuple shape, nb::tuple batch, int threads, double nothing, int index_bytes, std::uintptr_t x,
         std::uintptr_t y, std::uintptr_t index) {
  const PoolMax call{read_shape(shape), read_batch(batch), threads, nothing, index_bytes, at(x), to(y), to(index)};
  const nb::gil_scoped_release released;
  pool_max(call);
}

void max_gradient(nb::tuple shape, nb::tuple batch, int threads, int index_bytes, std::uintptr_t dy,
                  std::uintptr_t index, std::uintptr_t dx) {
  const PoolMaxGradient call{read_shape(shape), read_batch(batch), threads, index_bytes, at(dy), at(index), to(dx)};
  const nb::gil_scoped_release released;
  pool_max_gradient(call);
}

void sum(nb::tuple shape, nb::tuple batch, int threads, int divisor, std::int64_t right, std::uintptr_t x,
         std::uintptr_t y) {
  const PoolSum call{read_shape(shape), read_batch(batch), threads, static_cast<PoolDivisor>(divisor), right, at(x), to(y)};
  const nb::gil_scoped_release released;
  pool_sum(call);
}

void sum_gradient(nb::tuple shape, nb::tuple batch, int threads, int divisor, std::int64_t right, std::uintptr_t dy,
                  std::uintptr_t dx) {
  const PoolSumGradient call{read_shape(shape), read_batch(batch), threads, static_cast<PoolDivisor>(divisor), right,
                             at(dy), to(dx)};
  const nb::gil_scoped_release released;
  pool_sum_gradient(call);
}

}  // namespace

void bind_pool(nb::module_& m) {
  m.def("pool_windows", &windows,
        "Writes the offsets of the windows, and returns how many there are. Tuples hold the fields of "
        "kernels/pool/pool.h in its order, as do the others.");
  m.def("pool_max", &max, "The largest value of each window.");
  m.def("pool_max_gradient", &max_gradient, "Its gradient.");
  m.def("pool_sum", &sum, "The sum or mean of each window.");
  m.def("pool_sum_gradient", &sum_gradient, "Its gradient.");
}

}  // namespace throughtime
