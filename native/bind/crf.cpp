#include "bind/crf.h"

#include "bind/batch.h"
#include "bind/tensors.h"
#include "kernels/crf/crf.h"

namespace nb = nanobind;

namespace throughtime {
namespace {

// False where a tensor is unusual.
bool read_chain(bool in_order, nb::handle x, nb::handle offsets, nb::handle transitions, nb::handle start, int threads,
                Plain& tokens, CrfChain& chain) {
  Plain bounds{}, table{}, first{};
  const LookAt look = look_at(in_order);
  if (!look(x, tokens) || tokens.is_integer || !look(transitions, table) || !look(start, first)) return false;
  if (tokens.sizes != 2 || tokens.size[1] < 1) shape_error("emissions are (T, C) with at least one tag, got " + shown(tokens));
  const std::int64_t tags = tokens.size[1];
  const bool same_dtype = !table.is_integer && !first.is_integer && table.is_double == tokens.is_double &&
                          first.is_double == tokens.is_double;
  if (!same_dtype || !table.is({tags, tags}) || !first.is({tags})) {
    shape_error("transitions (C, C) and start (C,) have the dtype and the tags of the emissions " + shown(tokens) +
                ", got " + shown(table) + " and " + shown(first));
  }
  if (!read_offsets(in_order, offsets, tokens.size[0], bounds)) return false;
  chain = {tokens.is_double,  tags,       bounds.size[0] - 1, static_cast<const std::int64_t*>(bounds.data), threads,
           tokens.data, table.data, first.data};
  return true;
}

nb::object forward(nb::handle x, nb::handle offsets, nb::handle transitions, nb::handle start, bool reverse, int threads,
                   bool in_order) {
  Plain tokens{};
  CrfChain chain{};
  if (!read_chain(in_order, x, offsets, transitions, start, threads, tokens, chain)) return unusual(in_order);
  void* r = nullptr;
  const nb::object result = make_tensor(tokens.is_double, tokens.size, 2, r);
  const nb::gil_scoped_release released;
  crf_forward({chain, reverse, r});
  return result;
}

nb::object best(nb::handle x, nb::handle offsets, nb::handle transitions, nb::handle start, nb::handle end, int threads,
                bool in_order) {
  Plain tokens{}, last{};
  CrfChain chain{};
  if (!read_chain(in_order, x, offsets, transitions, start, threads, tokens, chain)) return unusual(in_order);
  if (!look_at(in_order)(end, last)) return unusual(in_order);
  if (last.is_integer || last.is_double != tokens.is_double || !last.is({chain.tags})) {
    shape_error("end (C,) has the dtype and the tags of the emissions " + shown(tokens) + ", got " + shown(last));
  }
  void* tags = nullptr;
  const nb::object result = make_integers(8, tokens.size, 1, tags);
  const nb::gil_scoped_release released;
  crf_best({chain, last.data, static_cast<std::int64_t*>(tags)});
  return result;
}

}  // namespace

void bind_crf(nb::module_& m) {
  const auto x = nb::arg("x"), offsets = nb::arg("offsets"), transitions = nb::arg("transitions"),
             start = nb::arg("start"), threads = nb::arg("threads"), in_order = nb::arg("in_order");
  m.def("crf_forward", &forward, x, offsets, transitions, start, nb::kw_only(), nb::arg("reverse"), threads, in_order,
        "The scores r of the forward algorithm, (T, C).");
  m.def("crf_best", &best, x, offsets, transitions, start, nb::arg("end"), nb::kw_only(), threads, in_order,
        "The tags of the highest score, (T,) int64.");
}

}  // namespace throughtime
