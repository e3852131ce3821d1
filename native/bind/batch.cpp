#include "bind/batch.h"

#include <string>

#include "kernels/offsets.h"
#include "kernels/pool/pool.h"

namespace nb = nanobind;

namespace throughtime {
namespace {

// Products of two such numbers and sums of some of them fit into 64 bits.
constexpr std::int64_t most = (std::int64_t{1} << 31) - 1;

// Offsets that may end at any number of tokens.
constexpr std::int64_t any_total = -1;

bool read_pair(bool in_order, nb::handle offsets, std::int64_t total, nb::handle out_offsets, std::int64_t out_total,
               Batch& batch) {
  Plain tokens{}, windows{};
  if (!read_offsets(in_order, offsets, total, tokens)) return false;
  if (!read_offsets(in_order, out_offsets, out_total, windows)) return false;
  if (tokens.size[0] != windows.size[0]) {
    shape_error("offsets of tokens and of windows are of one batch, got " + std::to_string(tokens.size[0] - 1) +
                " sequences and " + std::to_string(windows.size[0] - 1));
  }
  batch = {tokens.size[0] - 1, static_cast<const std::int64_t*>(tokens.data),
           static_cast<const std::int64_t*>(windows.data)};
  return true;
}

void make_windows(Windows* place, std::int64_t size, std::int64_t stride, std::int64_t dilation, std::int64_t left,
                  std::int64_t right, bool replicate) {
  for (const std::int64_t number : {size, stride, dilation, left, right}) {
    if (number > most || number < -most) shape_error("windows are measured in numbers below 2^31");
  }
  if (size < 0 || stride < 1 || dilation < 1) {
    shape_error("windows have a size of at least 0, a stride and a dilation of at least 1, got size=" +
                std::to_string(size) + ", stride=" + std::to_string(stride) + ", dilation=" + std::to_string(dilation));
  }
  new (place) Windows{size, stride, dilation, left, right, replicate};
}

nb::object window_offsets(nb::handle offsets, const Windows& windows, bool ceil_mode, bool in_order) {
  Plain found{};
  if (!read_offsets(in_order, offsets, any_total, found)) return unusual(in_order);
  void* data = nullptr;
  const nb::object out = make_integers(8, found.size, 1, data);
  const PoolShape shape{false, 0, windows.size, windows.stride, windows.dilation, windows.left};
  const std::int64_t total =
      pool_windows({shape, windows.right, ceil_mode, found.size[0] - 1, static_cast<const std::int64_t*>(found.data),
                    static_cast<std::int64_t*>(data)});
  return nb::make_tuple(out, total);
}

nb::object first_without_windows(nb::handle offsets, nb::handle out_offsets, bool in_order) {
  Batch batch{};
  if (!read_pair(in_order, offsets, any_total, out_offsets, any_total, batch)) return unusual(in_order);
  for (std::int64_t b = 0; b < batch.sequences; ++b) {
    const bool has_tokens = batch.offsets[b + 1] > batch.offsets[b];
    if (has_tokens && batch.out_offsets[b + 1] == batch.out_offsets[b]) return nb::int_(b);
  }
  return nb::int_(-1);
}

}  // namespace

bool read_offsets(bool in_order, nb::handle object, std::int64_t total, Plain& found) {
  const bool readable = look_at(in_order)(object, found);
  if (!readable && !in_order) return false;
  if (readable && found.is_integer && found.sizes == 1 && found.size[0] > 0 &&
      check_offsets(static_cast<const std::int64_t*>(found.data), found.size[0], total).fault == OffsetsFault::none) {
    return true;
  }
  shape_error("the offsets of this Ragged do not match its " + (total < 0 ? "" : std::to_string(total) + " ") +
              "tokens: they must be int64, start at 0, not decrease, and end at the number of tokens; create the batch "
              "with Ragged(values, offsets)");
}

bool read_batch(bool in_order, nb::handle offsets, std::int64_t total, nb::handle out_offsets, std::int64_t out_total,
                Batch& batch) {
  if (total < 0 || out_total < 0) shape_error("a batch has at least 0 tokens and windows");
  return read_pair(in_order, offsets, total, out_offsets, out_total, batch);
}

void bind_batch(nb::module_& m) {
  nb::class_<Windows>(m, "Windows", "Windows in time as native code reads them; see throughtime.ops.windows.Windows.")
      .def("__init__", &make_windows, nb::kw_only(), nb::arg("size"), nb::arg("stride"), nb::arg("dilation"),
           nb::arg("left"), nb::arg("right"), nb::arg("replicate"));
  m.def("window_offsets", &window_offsets, nb::arg("offsets"), nb::kw_only(), nb::arg("windows"), nb::arg("ceil_mode"),
        nb::arg("in_order"), "The offsets (B + 1,) of the windows of each sequence, and the number of all windows.");
  m.def("first_without_windows", &first_without_windows, nb::arg("offsets"), nb::arg("out_offsets"), nb::kw_only(),
        nb::arg("in_order"), "The first sequence that has tokens but no window, or -1.");
}

}  // namespace throughtime
