// Scratch memory in pieces of whole cache lines.
#pragma once

#include <cstddef>

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

}  // namespace throughtime::TT_ISA
