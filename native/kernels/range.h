// A half-open range of rows, columns, units or taps.
#pragma once

#include <cstddef>
#include <cstdint>

namespace throughtime::TT_ISA {

struct Range {
  std::ptrdiff_t begin, end;
  std::ptrdiff_t count() const { return end - begin; }
};

// Which of `count` ranges that lie end to end holds an index: bounds[i] ≤ index < bounds[i + 1].
inline std::int64_t range_with(const std::int64_t* bounds, std::int64_t count, std::int64_t index) {
  std::int64_t low = 0, high = count;
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (bounds[middle] <= index ? low : high) = middle;
  }
  return low;
}

}  // namespace throughtime::TT_ISA
