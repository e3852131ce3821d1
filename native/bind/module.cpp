// The seam between Python and the kernels. Buffers cross it as raw addresses (0.1 us each, where an
// nb::ndarray argument costs 2.5): the caller in Python owns them, and has checked dtype and contiguity.
#include <nanobind/nanobind.h>
#include <nanobind/stl/tuple.h>

#include <cstdint>
#include <tuple>

#include "kernels/offsets.h"

namespace nb = nanobind;

namespace {

std::tuple<int, std::int64_t, std::int64_t> check_offsets(std::uintptr_t address, std::int64_t count,
                                                          std::int64_t total) {
  const auto result = throughtime::check_offsets(
      reinterpret_cast<const std::int64_t*>(address), count, total);
  return {static_cast<int>(result.fault), result.index, result.longest};
}

}  // namespace

NB_MODULE(_native, m) {
  m.doc() = "Native kernels of throughtime. Addresses in, numbers out; not a public interface.";
  m.def("check_offsets", &check_offsets, nb::arg("address"), nb::arg("count"), nb::arg("total"),
        "Check int64 offsets: (fault, index, longest); fault 0 none, 1 first is not 0, "
        "2 decreasing at index, 3 last is not total (a negative total leaves the end unchecked).");
}
