// Memory from a bounded pool. Without it, page faults of newly allocated memory take up to a third of the forward
// pass of a training step. Huge pages are requested if the system supports it.
#pragma once

#include <cstddef>

namespace throughtime {

// 64-byte aligned, uninitialised memory of at least so many bytes, filled with NaN bytes where
// THROUGHTIME_POISON is set (tests): uninitialised memory must not be read. `bytes` becomes what it really has,
// which release needs to know. The pool keeps at most THROUGHTIME_POOL_MB (512) of what was released.
void* acquire(std::size_t& bytes);
void release(void* data, std::size_t bytes);

// Such a block for the life of an object: scratch memory of a call.
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
