#include "bind/embedding.h"

#include "bind/tensors.h"
#include "kernels/embedding/embedding.h"

namespace nb = nanobind;

namespace throughtime {
namespace {

// Rows of the table; None where a tensor is unusual or a token is no row, whatever the caller does then.
nb::object forward(nb::handle table, nb::handle tokens, int threads) {
  Plain rows{}, token{};
  if (!is_usual(table, rows) || rows.is_integer || rows.sizes != 2 || !is_usual(tokens, token) || !token.is_integer ||
      token.sizes != 1) {
    return nb::none();
  }
  const EmbeddingTokens which{token.size[0], static_cast<const std::int64_t*>(token.data)};
  if (!are_within(which, rows.size[0])) return nb::none();
  void* y = nullptr;
  const nb::object result = make_tensor(rows.is_double, {token.size[0], rows.size[1]}, y);
  const Embedding call{rows.is_double, which, rows.size[1], threads, rows.data, y};
  {
    const nb::gil_scoped_release released;
    embedding(call);
  }
  return result;
}

// The gradient of the table.
nb::object backward(nb::handle dy, nb::handle tokens, std::int64_t rows, std::int64_t padding, int threads,
                    bool in_order) {
  const LookAt look = look_at(in_order);
  Plain gradient{}, token{};
  if (!look(dy, gradient) || gradient.is_integer || !look(tokens, token) || !token.is_integer) return unusual(in_order);
  const EmbeddingTokens which{token.size[0], static_cast<const std::int64_t*>(token.data)};
  if (token.sizes != 1 || gradient.sizes != 2 || gradient.size[0] != which.count || !are_within(which, rows)) {
    shape_error("an embedding of tokens (T,) below " + std::to_string(rows) + " has a gradient (T, D), got " +
                shown(token) + " and " + shown(gradient));
  }
  void* dtable = nullptr;
  const nb::object result = make_tensor(gradient.is_double, {rows, gradient.size[1]}, dtable);
  const EmbeddingGradient call{gradient.is_double, which, rows, gradient.size[1], padding, threads, gradient.data,
                               dtable};
  {
    const nb::gil_scoped_release released;
    embedding_gradient(call);
  }
  return result;
}

}  // namespace

void bind_embedding(nb::module_& m) {
  const auto tokens = nb::arg("tokens"), threads = nb::arg("threads");
  m.def("embedding_forward", &forward, nb::arg("table"), tokens, nb::kw_only(), threads, "Rows of a table by token.");
  m.def("embedding_gradient", &backward, nb::arg("dy"), tokens, nb::kw_only(), nb::arg("rows"), nb::arg("padding"),
        threads, nb::arg("in_order"), "The gradient of the table.");
}

}  // namespace throughtime
