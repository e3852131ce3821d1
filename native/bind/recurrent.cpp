#include "bind/recurrent.h"

#include "bind/tensors.h"
#include "kernels/offsets.h"

namespace nb = nanobind;

namespace throughtime {

bool find_offsets(Look look, nb::handle offsets, std::int64_t total, Tokens& tokens) {
  Plain found{};
  if (!look(offsets, found) || !found.is_integer || found.sizes != 1) return false;
  const auto* const index = static_cast<const std::int64_t*>(found.data);
  tokens = {Order::ragged, found.size[0] - 1, 0, index};
  return check_offsets(index, found.size[0], total).fault == OffsetsFault::none;
}

}  // namespace throughtime
