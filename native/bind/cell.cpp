#include "bind/cell.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cstddef>
#include <string>
#include <tuple>
#include <vector>

namespace nb = nanobind;

namespace throughtime {
namespace {

NativeCell cell_of(const std::string& kernel) {
#define THROUGHTIME_FIND(name, type, gates, saved, has_c, least_own, most_own) \
  if (kernel == #name) return {Cell::name, {}, gates, saved, has_c, least_own, most_own};
  THROUGHTIME_CELLS(THROUGHTIME_FIND)
#undef THROUGHTIME_FIND
  throw nb::value_error(("no kernel is called " + kernel + "; see native/kernels/recurrent/cells.h").c_str());
}

Activation activation_of(const std::string& given) {
#define THROUGHTIME_FIND(name) \
  if (given == #name) return Activation::name;
  THROUGHTIME_ACTIVATIONS(THROUGHTIME_FIND)
#undef THROUGHTIME_FIND
  throw nb::value_error(("no activation is called " + given).c_str());
}

using Activations = std::vector<std::tuple<std::string, double, double>>;

// Rows of each of the cell's own parameters, of which a kernel reads all or, if it can do without, none.
void set_own_rows(NativeCell& cell, const std::string& kernel, const std::vector<int>& rows) {
  int total = 0;
  for (const int count : rows) total += count;
  if (rows.size() > most_own || (total != cell.least_own && total != cell.most_own)) {
    throw nb::value_error(("the kernel " + kernel + " reads " + std::to_string(cell.most_own) +
                           " rows of its own parameters, got " + std::to_string(total))
                              .c_str());
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i] < 1) throw nb::value_error("a parameter of a cell has at least one row");
    cell.options.own_rows[i] = rows[i];
  }
}

void make(NativeCell* self, const std::string& kernel, const Activations& activations, double clip, double cell_clip,
          bool update_new, double epsilon, const std::vector<int>& own_rows, double gradient_value,
          double gradient_norm, bool bfloat16) {
  NativeCell cell = cell_of(kernel);
  Options& options = cell.options;
  constexpr std::size_t most = sizeof options.activation / sizeof options.activation[0];
  if (activations.empty() || activations.size() > most) throw nb::value_error("a cell has one to three activations");
  for (std::size_t i = 0; i < most; ++i) {
    // Those that a cell does not have are never read.
    const auto& [name, alpha, beta] = activations[i < activations.size() ? i : 0];
    options.activation[i] = activation_of(name);
    options.alpha[i] = alpha;
    options.beta[i] = beta;
  }
  options.clip = clip;
  options.cell_clip = cell_clip;
  options.update_new = update_new;
  options.epsilon = epsilon;
  set_own_rows(cell, kernel, own_rows);
  options.gradient_value = gradient_value;
  options.gradient_norm = gradient_norm;
  options.bfloat16 = bfloat16;
  new (self) NativeCell(cell);
}

}  // namespace

void bind_cell(nb::module_& m) {
  nb::class_<NativeCell>(m, "RecurrentCell", "A cell by the name of its kernel, with its options.")
      .def("__init__", &make, nb::kw_only(), nb::arg("kernel"), nb::arg("activations"), nb::arg("clip"),
           nb::arg("cell_clip"), nb::arg("update_new"), nb::arg("epsilon"), nb::arg("own_rows"),
           nb::arg("gradient_value"), nb::arg("gradient_norm"), nb::arg("bfloat16"))
      .def_ro("gates", &NativeCell::gates)
      .def_ro("saved", &NativeCell::saved)
      .def_ro("has_c", &NativeCell::has_c);
}

}  // namespace throughtime
