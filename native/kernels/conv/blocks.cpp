#include "kernels/conv/blocks.h"

#include <algorithm>

namespace throughtime {

RowBlocks::RowBlocks(std::int64_t sequences, const std::int64_t* offsets, std::int64_t cut, std::int64_t most,
                     std::int64_t before, std::int64_t after) {
  first_.push_back(0);
  std::int64_t rows = 0;
  const auto add = [&](std::int64_t sequence, std::int64_t begin, std::int64_t end) {
    if (rows > 0 && rows + end - begin > most) {
      first_.push_back(static_cast<std::int64_t>(segments_.size()));
      rows = 0;
    }
    segments_.push_back({sequence, begin, end});
    rows += end - begin;
  };
  for (std::int64_t b = 0; b < sequences; ++b) {
    const std::int64_t length = offsets[b + 1] - offsets[b];
    if (length == 0) continue;
    for (std::int64_t t = -before; t < 0; t += cut) add(b, t, std::min<std::int64_t>(t + cut, 0));
    for (std::int64_t t = 0; t < length; t += cut) add(b, t, std::min(t + cut, length));
    for (std::int64_t t = length; t < length + after; t += cut) add(b, t, std::min(t + cut, length + after));
  }
  if (rows > 0) first_.push_back(static_cast<std::int64_t>(segments_.size()));
}

}  // namespace throughtime
