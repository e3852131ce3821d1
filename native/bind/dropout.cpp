#include "bind/dropout.h"

#include <string>

#include "bind/tensors.h"
#include "kernels/dropout/dropout.h"

namespace nb = nanobind;

namespace throughtime {
namespace {

// Values of kept positions, scaled, and zeros elsewhere.
nb::object masked(nb::handle x, std::int64_t seed, std::uint32_t threshold, double scale, std::int64_t first,
                  int threads, bool in_order) {
  Plain values{};
  if (!look_at(in_order)(x, values) || values.is_integer) return unusual(in_order);
  if (first < 0) shape_error("positions of dropout begin at 0, got " + std::to_string(first));
  void* y = nullptr;
  const nb::object result = make_tensor(values.is_double, values.size, values.sizes, y);
  const Dropout call{values.is_double, static_cast<std::uint64_t>(seed), threshold, scale, first, values.count(),
                     threads,          values.data,                      y};
  {
    const nb::gil_scoped_release released;
    dropout(call);
  }
  return result;
}

}  // namespace

void bind_dropout(nb::module_& m) {
  m.def("dropout", &masked, nb::arg("x"), nb::kw_only(), nb::arg("seed"), nb::arg("threshold"), nb::arg("scale"),
        nb::arg("first"), nb::arg("threads"), nb::arg("in_order"),
        "Values at positions first, first + 1, … whose word of the generator is at least the threshold, scaled; "
        "zeros elsewhere.");
}

}  // namespace throughtime
