#include "bind/recurrent.h"

#include "bind/reader.h"
#include "bind/tensors.h"
#include "kernels/offsets.h"

namespace nb = nanobind;

namespace throughtime {

void read_options(Reader& in, Options& options) {
  if (in.ended()) return;  // a plain cell has none
  for (int i = 0; i < 3; ++i) {
    options.activation[i] = static_cast<Activation>(in.number());
    options.alpha[i] = in.real();
    options.beta[i] = in.real();
  }
  options.clip = in.real();
  options.cell_clip = in.real();
  options.update_new = in.number() != 0;
  options.gradient_value = in.real();
  options.gradient_norm = in.real();
}

bool find_offsets(Look look, nb::handle offsets, std::int64_t total, Tokens& tokens) {
  Plain found{};
  if (!look(offsets, found) || !found.is_integer || found.sizes != 1) return false;
  const auto* const index = static_cast<const std::int64_t*>(found.data);
  tokens = {Order::ragged, found.size[0] - 1, 0, index};
  return check_offsets(index, found.size[0], total).fault == OffsetsFault::none;
}

}  // namespace throughtime
