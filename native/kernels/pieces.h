// Scratch memory in pieces of whole cache lines.
#pragma once

#include <cstddef>

#include "kernels/scratch.h"

namespace throughtime::TT_ISA {

// Aligned pieces of one block of scratch memory. With a null base it only counts: the same calls measure
// the block first and divide it then.
class Pieces {
 public:
  explicit Pieces(void* base) : base_(static_cast<char*>(base)) {}
  template <class T>
  T* take(std::ptrdiff_t count) {
    char* place = base_ == nullptr ? nullptr : base_ + used_;
    used_ += (static_cast<std::size_t>(count) * sizeof(T) + 63) / 64 * 64;
    return reinterpret_cast<T*>(place);
  }
  std::size_t used() const { return used_; }

 private:
  char* base_;
  std::size_t used_ = 0;
};

// A block that divide(pieces) has divided, for the life of an object.
class DividedScratch {
 public:
  template <class Divide>
  explicit DividedScratch(const Divide& divide) : scratch_(measured(divide)) {
    Pieces pieces(scratch_.data());
    divide(pieces);
  }

 private:
  template <class Divide>
  static std::size_t measured(const Divide& divide) {
    Pieces measure(nullptr);
    divide(measure);
    return measure.used();
  }

  Scratch scratch_;
};

}  // namespace throughtime::TT_ISA
