#include "bind/scan.h"

#include <string>

#include "bind/batch.h"
#include "bind/tensors.h"
#include "kernels/scan/scan.h"

namespace nb = nanobind;

namespace throughtime {
namespace {

struct Kind {
  ScanGates gates;
  ScanCandidate candidate;
  bool from_end;
};

// What both passes read: coefficients (T, blocks · D), offsets, and a state (B, D) or None.
struct Reader {
  Plain a, h0;
  ScanShape shape;
  ScanBatch batch;

  // False where a tensor is unusual.
  bool read(bool in_order, nb::handle given_a, nb::handle given_h0, nb::handle offsets, const Kind& kind) {
    const LookAt look = look_at(in_order);
    Plain found{};
    if (!look(given_a, a) || a.is_integer || !may_be(look, given_h0, a.is_double, h0)) return false;
    const int blocks = kind.gates == ScanGates::given ? 1 : scan_blocks(kind.gates);
    if (a.sizes != 2 || a.size[1] % blocks != 0) {
      shape_error("a linear recurrence takes coefficients (T, D), or pre-activations of " + std::to_string(blocks) +
                  " blocks of D, got " + shown(a));
    }
    if (!read_offsets(in_order, offsets, a.size[0], found)) return false;
    shape = {a.is_double, kind.from_end, kind.gates, kind.candidate, a.size[1] / blocks};
    batch = {found.size[0] - 1, static_cast<const std::int64_t*>(found.data)};
    check_state(h0, "h0");
    return true;
  }

  void check_state(const Plain& state, const char* name) const {
    check(state, name, batch.sequences);
  }
  void check_tokens(const Plain& tokens, const char* name) const { check(tokens, name, a.size[0]); }

 private:
  void check(const Plain& tensor, const char* name, std::int64_t rows) const {
    if (!tensor.present() || tensor.is({rows, shape.features})) return;
    shape_error(std::string("the ") + name + " of this linear recurrence has shape (" + std::to_string(rows) + ", " +
                std::to_string(shape.features) + "), got " + shown(tensor));
  }
};

// h (T, D), and h after each sequence's last step (B, D).
nb::object forward(nb::handle a, nb::handle b, nb::handle h0, nb::handle offsets, ScanGates gates,
                   ScanCandidate candidate, bool from_end, int threads, bool in_order) {
  Reader reader{};
  Plain of_b{};
  if (!reader.read(in_order, a, h0, offsets, {gates, candidate, from_end})) return unusual(in_order);
  if (!may_be(look_at(in_order), b, reader.a.is_double, of_b)) return unusual(in_order);
  if (of_b.present() != (gates == ScanGates::given)) shape_error("a linear recurrence takes either b or gates");
  reader.check_tokens(of_b, "b");
  void *h = nullptr, *last = nullptr;
  const std::int64_t D = reader.shape.features;
  const nb::object states = make_tensor(reader.a.is_double, {reader.a.size[0], D}, h);
  const nb::object final = make_tensor(reader.a.is_double, {reader.batch.sequences, D}, last);
  const ScanForward call{reader.shape, reader.batch, threads, reader.a.data, of_b.data, reader.h0.data, h, last};
  {
    const nb::gil_scoped_release released;
    scan_forward(call);
  }
  return nb::make_tuple(states, final);
}

// The gradients of a, b (None with gates) and h0; None, too, for those that are not needed.
nb::object backward(nb::handle a, nb::handle h0, nb::handle h, nb::handle dh, nb::handle dlast, nb::handle offsets,
                    ScanGates gates, ScanCandidate candidate, bool from_end, bool a_needed, bool b_needed, int threads,
                    bool in_order) {
  Reader reader{};
  Plain states{}, of_h{}, of_last{};
  if (!reader.read(in_order, a, h0, offsets, {gates, candidate, from_end})) return unusual(in_order);
  const LookAt look = look_at(in_order);
  const bool is_double = reader.a.is_double;
  if (!look(h, states) || states.is_integer || states.is_double != is_double || !may_be(look, dh, is_double, of_h) ||
      !may_be(look, dlast, is_double, of_last)) {
    return unusual(in_order);
  }
  reader.check_tokens(states, "h");
  reader.check_tokens(of_h, "gradient of h");
  reader.check_state(of_last, "gradient of the last h");
  void *da = nullptr, *db = nullptr, *dh0 = nullptr;
  const std::int64_t D = reader.shape.features;
  const nb::object of_a = a_needed ? make_tensor(is_double, reader.a.size, 2, da) : nb::none();
  const nb::object of_b = b_needed ? make_tensor(is_double, {reader.a.size[0], D}, db) : nb::none();
  const nb::object of_h0 = make_tensor(is_double, {reader.batch.sequences, D}, dh0);
  const ScanBackward call{reader.shape, reader.batch, threads, reader.a.data, reader.h0.data, states.data,
                          of_h.data,    of_last.data, da,      db,            dh0};
  {
    const nb::gil_scoped_release released;
    scan_backward(call);
  }
  return nb::make_tuple(of_a, of_b, of_h0);
}

// What both passes of the output read: u (T, blocks · D), h (T, D), and the other input or None.
struct OutputReader {
  Plain u, h, skip;
  OutputShape shape;

  bool read(bool in_order, nb::handle given_u, nb::handle given_h, nb::handle given_skip, int threads) {
    const LookAt look = look_at(in_order);
    if (!look(given_u, u) || u.is_integer || !look(given_h, h) || h.is_integer || h.is_double != u.is_double) return false;
    if (!may_be(look, given_skip, u.is_double, skip)) return false;
    const bool fits = h.sizes == 2 && u.sizes == 2 && u.size[0] == h.size[0] &&
                      (u.size[1] == h.size[1] || (u.size[1] == 2 * h.size[1] && !skip.present())) &&
                      (!skip.present() || skip.is({h.size[0], h.size[1]}));
    if (!fits) shape_error("a gated output takes u (T, D) or (T, 2D) and h (T, D), got " + shown(u) + " and " + shown(h));
    shape = {u.is_double, threads, u.size[1] == h.size[1] ? 1 : 2, h.size[0], h.size[1]};
    return true;
  }
};

nb::object output(nb::handle u, nb::handle h, nb::handle skip, int threads, bool in_order) {
  OutputReader reader{};
  if (!reader.read(in_order, u, h, skip, threads)) return unusual(in_order);
  void* y = nullptr;
  const nb::object result = make_tensor(reader.u.is_double, {reader.shape.tokens, reader.shape.features}, y);
  const GatedOutput call{reader.shape, reader.u.data, reader.h.data, reader.skip.data, y};
  {
    const nb::gil_scoped_release released;
    gated_output(call);
  }
  return result;
}

// The gradients of u, h, and the other input (None if there is none).
nb::object output_backward(nb::handle u, nb::handle h, nb::handle skip, nb::handle dy, int threads, bool in_order) {
  OutputReader reader{};
  Plain of_y{};
  if (!reader.read(in_order, u, h, skip, threads)) return unusual(in_order);
  const bool is_double = reader.u.is_double;
  if (!look_at(in_order)(dy, of_y) || of_y.is_integer || of_y.is_double != is_double) return unusual(in_order);
  const std::int64_t T = reader.shape.tokens, D = reader.shape.features;
  if (!of_y.is({T, D})) shape_error("the gradient of a gated output has its shape, got " + shown(of_y));
  void *du = nullptr, *dh = nullptr, *dskip = nullptr;
  const nb::object of_u = make_tensor(is_double, {T, reader.shape.blocks * D}, du);
  const nb::object of_h = make_tensor(is_double, {T, D}, dh);
  const nb::object of_skip = reader.skip.present() ? make_tensor(is_double, {T, D}, dskip) : nb::none();
  const GatedOutputBackward call{reader.shape, reader.u.data, reader.h.data, reader.skip.data, of_y.data, du, dh, dskip};
  {
    const nb::gil_scoped_release released;
    gated_output_backward(call);
  }
  return nb::make_tuple(of_u, of_h, of_skip);
}

}  // namespace

void bind_scan(nb::module_& m) {
  nb::enum_<ScanGates>(m, "ScanGates", "How a linear recurrence gets its coefficients; see kernels/scan/scan.h.")
      .value("GIVEN", ScanGates::given, "As tensors a and b.")
      .value("FORGET", ScanGates::forget, "a = σ(f), b = (1 − a) φ(c).")
      .value("UPDATE", ScanGates::update, "a = 1 − σ(z), b = σ(z) φ(c).")
      .value("SEPARATE", ScanGates::separate, "a = σ(f), b = σ(i) φ(c).")
      .value("NORMALIZED", ScanGates::normalized, "a = σ(f) / (σ(f) + σ(i)), b = (1 − a) φ(c).");
  nb::enum_<ScanCandidate>(m, "ScanCandidate", "φ, the activation of the candidate c.")
      .value("IDENTITY", ScanCandidate::identity, "c.")
      .value("TANH", ScanCandidate::tanh, "tanh c.")
      .value("POSITIVE", ScanCandidate::positive, "c + 1/2 for c >= 0, σ(c) below.");
  const auto a = nb::arg("a"), offsets = nb::arg("offsets"), gates = nb::arg("gates"),
             candidate = nb::arg("candidate"), from_end = nb::arg("from_end"), threads = nb::arg("threads"),
             in_order = nb::arg("in_order");
  const auto h0 = nb::arg("h0").none();
  m.def("scan_forward", &forward, a, nb::arg("b").none(), h0, offsets, nb::kw_only(), gates, candidate, from_end,
        threads, in_order, "h (T, D) of a diagonal linear recurrence, and h after each sequence's last step (B, D).");
  m.def("scan_backward", &backward, a, h0, nb::arg("h"), nb::arg("dh").none(), nb::arg("dlast").none(), offsets,
        nb::kw_only(), gates, candidate, from_end, nb::arg("a_needed"), nb::arg("b_needed"), threads, in_order,
        "The gradients of a, b and h0.");
  const auto u = nb::arg("u"), h = nb::arg("h");
  m.def("gated_output", &output, u, h, nb::arg("skip").none(), nb::kw_only(), threads, in_order,
        "σ(g) ⊙ h, or σ(g) ⊙ h + (1 − σ(g)) ⊙ s, of u = [g] or [g, s] and, in place of s, a tensor of its own.");
  m.def("gated_output_backward", &output_backward, u, h, nb::arg("skip").none(), nb::arg("dy"), nb::kw_only(), threads,
        in_order, "The gradients of u, h and skip.");
}

}  // namespace throughtime
