#include "bind/pool.h"

#include <string>

#include "bind/batch.h"
#include "bind/tensors.h"
#include "kernels/pool/pool.h"

namespace nb = nanobind;

namespace throughtime {
namespace {

// Taps are numbered with one byte where that is enough.
constexpr std::int64_t most_of_a_byte = 127;

PoolShape shape_of(const Windows& windows, const Plain& tokens) {
  std::int64_t features = 1;
  for (int i = 1; i < tokens.sizes; ++i) features *= tokens.size[i];
  return {tokens.is_double, features, windows.size, windows.stride, windows.dilation, windows.left};
}

// (rows, *D) where another tensor is (*, *D).
Plain with_rows(const Plain& like, std::int64_t rows) {
  Plain sizes = like;
  sizes.size[0] = rows;
  return sizes;
}

nb::object make(const Plain& sizes, void*& data) {
  return make_tensor(sizes.is_double, sizes.size, sizes.sizes, data);
}

// y (total, *D), and the tap of each value, None unless `index`.
nb::object max(nb::handle x, nb::handle offsets, nb::handle out_offsets, const Windows& windows, std::int64_t total,
               double nothing, bool index, int threads, bool in_order) {
  Plain tokens{};
  Batch batch{};
  if (!look_at(in_order)(x, tokens) || tokens.is_integer) return unusual(in_order);
  if (!read_batch(in_order, offsets, tokens.size[0], out_offsets, total, batch)) return unusual(in_order);
  const Plain sizes = with_rows(tokens, total);
  const int bytes = windows.size <= most_of_a_byte ? 1 : 4;
  void *y = nullptr, *taps = nullptr;
  const nb::object values = make(sizes, y);
  const nb::object of_taps = index ? make_integers(bytes, sizes.size, sizes.sizes, taps) : nb::none();
  const PoolMax call{shape_of(windows, tokens), {batch.sequences, batch.offsets, batch.out_offsets},
                     threads, nothing, bytes, tokens.data, y, taps};
  {
    const nb::gil_scoped_release released;
    pool_max(call);
  }
  return nb::make_tuple(values, of_taps);
}

nb::object max_gradient(nb::handle dy, nb::handle index, nb::handle offsets, nb::handle out_offsets,
                        const Windows& windows, std::int64_t total, int threads, bool in_order) {
  Plain gradient{}, taps{};
  Batch batch{};
  int bytes = 0;
  if (!look_at(in_order)(dy, gradient) || gradient.is_integer || !is_index(index, taps, bytes)) {
    return unusual(in_order);
  }
  bool same = gradient.sizes == taps.sizes;
  for (int i = 0; same && i < taps.sizes; ++i) same = gradient.size[i] == taps.size[i];
  if (!same) shape_error("the gradient of a maximum has the shape " + shown(taps) + ", got " + shown(gradient));
  if (!read_batch(in_order, offsets, total, out_offsets, gradient.size[0], batch)) return unusual(in_order);
  void* dx = nullptr;
  const nb::object result = make(with_rows(gradient, total), dx);
  const PoolMaxGradient call{shape_of(windows, gradient), {batch.sequences, batch.offsets, batch.out_offsets},
                             threads, bytes, gradient.data, taps.data, dx};
  const nb::gil_scoped_release released;
  pool_max_gradient(call);
  return result;
}

nb::object sum(nb::handle x, nb::handle offsets, nb::handle out_offsets, const Windows& windows, std::int64_t total,
               PoolDivisor divisor, int threads, bool in_order) {
  Plain tokens{};
  Batch batch{};
  if (!look_at(in_order)(x, tokens) || tokens.is_integer) return unusual(in_order);
  if (!read_batch(in_order, offsets, tokens.size[0], out_offsets, total, batch)) return unusual(in_order);
  void* y = nullptr;
  const nb::object result = make(with_rows(tokens, total), y);
  const PoolSum call{shape_of(windows, tokens), {batch.sequences, batch.offsets, batch.out_offsets},
                     threads, divisor, windows.right, tokens.data, y};
  const nb::gil_scoped_release released;
  pool_sum(call);
  return result;
}

nb::object sum_gradient(nb::handle dy, nb::handle offsets, nb::handle out_offsets, const Windows& windows,
                        std::int64_t total, PoolDivisor divisor, int threads, bool in_order) {
  Plain gradient{};
  Batch batch{};
  if (!look_at(in_order)(dy, gradient) || gradient.is_integer) return unusual(in_order);
  if (!read_batch(in_order, offsets, total, out_offsets, gradient.size[0], batch)) return unusual(in_order);
  void* dx = nullptr;
  const nb::object result = make(with_rows(gradient, total), dx);
  const PoolSumGradient call{shape_of(windows, gradient), {batch.sequences, batch.offsets, batch.out_offsets},
                             threads, divisor, windows.right, gradient.data, dx};
  const nb::gil_scoped_release released;
  pool_sum_gradient(call);
  return result;
}

}  // namespace

void bind_pool(nb::module_& m) {
  nb::enum_<PoolDivisor>(m, "PoolDivisor", "What the sum of a window is divided by.")
      .value("ONE", PoolDivisor::one, "1: the sum itself.")
      .value("REAL", PoolDivisor::real, "The number of its taps in the sequence.")
      .value("BORDER", PoolDivisor::border, "The number of its taps in the sequence and its borders.");
  const auto x = nb::arg("x"), dy = nb::arg("dy"), offsets = nb::arg("offsets"), out_offsets = nb::arg("out_offsets"),
             windows = nb::arg("windows"), total = nb::arg("total"), divisor = nb::arg("divisor"),
             threads = nb::arg("threads"), in_order = nb::arg("in_order");
  m.def("pool_max", &max, x, offsets, out_offsets, nb::kw_only(), windows, total, nb::arg("nothing"), nb::arg("index"),
        threads, in_order, "The largest value of each window, (total, *D), and its tap, None unless `index`.");
  m.def("pool_max_gradient", &max_gradient, dy, nb::arg("index"), offsets, out_offsets, nb::kw_only(), windows, total,
        threads, in_order, "Its gradient, (total, *D).");
  m.def("pool_sum", &sum, x, offsets, out_offsets, nb::kw_only(), windows, total, divisor, threads, in_order,
        "The sum or mean of each window, (total, *D).");
  m.def("pool_sum_gradient", &sum_gradient, dy, offsets, out_offsets, nb::kw_only(), windows, total, divisor, threads,
        in_order, "Its gradient, (total, *D).");
}

}  // namespace throughtime
