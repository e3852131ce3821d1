// Checks whether offsets are valid for a batch; every constructor of Ragged calls it.
#pragma once

#include <cstdint>

namespace throughtime {

enum class OffsetsFault : std::int32_t {
  none = 0,
  first_not_zero = 1,   // offsets[0] != 0
  decreasing = 2,       // offsets[index] < offsets[index - 1]
  last_not_total = 3,   // offsets[count - 1] != total
};

struct OffsetsCheck {
  OffsetsFault fault;
  std::int64_t index;    // where the fault is; 0 if there is none
  std::int64_t longest;  // the longest sequence up to the fault, in tokens
};

// offsets  count values, count >= 1, read only, owned by the caller; any alignment of int64.
// total    the number of tokens that the offsets must end at, or negative to leave the end unchecked.
OffsetsCheck check_offsets(const std::int64_t* offsets, std::int64_t count, std::int64_t total);

}  // namespace throughtime
