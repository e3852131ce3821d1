#include "kernels/offsets.h"

namespace throughtime {

OffsetsCheck check_offsets(const std::int64_t* offsets, std::int64_t count, std::int64_t total) {
  std::int64_t longest = 0;
  if (offsets[0] != 0) return {OffsetsFault::first_not_zero, 0, longest};
  for (std::int64_t i = 1; i < count; ++i) {
    // Compared before subtracted: the difference of two arbitrary int64 may overflow.
    if (offsets[i] < offsets[i - 1]) return {OffsetsFault::decreasing, i, longest};
    const std::int64_t length = offsets[i] - offsets[i - 1];
    if (length > longest) longest = length;
  }
  if (total >= 0 && offsets[count - 1] != total) {
    return {OffsetsFault::last_not_total, count - 1, longest};
  }
  return {OffsetsFault::none, 0, longest};
}

}  // namespace throughtime
