// Scratch memory of a call, from a bounded pool: a fresh allocation of megabytes costs its page faults on
// every call.
#pragma once

#include <cstddef>

namespace throughtime {

// One block of 64-byte aligned, uninitialised memory, returned to the pool at the end of its life. Filled
// with NaN bytes at birth where THROUGHTIME_POISON is set (tests): what nobody wrote must not be read.
class Scratch {
 public:
  explicit Scratch(std::size_t bytes);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  void* data() const { return data_; }

 private:
  void* data_;
  std::size_t bytes_;
};

}  // namespace throughtime
