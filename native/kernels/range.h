// A half-open range of rows, columns, units or taps.
#pragma once

#include <cstddef>

namespace throughtime::TT_ISA {

struct Range {
  std::ptrdiff_t begin, end;
  std::ptrdiff_t count() const { return end - begin; }
};

}  // namespace throughtime::TT_ISA
