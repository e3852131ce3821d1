// Numbers and addresses of a Python tuple, one after the other.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>

namespace throughtime {

class Reader {
 public:
  explicit Reader(nanobind::handle tuple) : tuple_(nanobind::borrow<nanobind::tuple>(tuple)) {}
  std::int64_t number() { return nanobind::cast<std::int64_t>(tuple_[next_++]); }
  double real() { return nanobind::cast<double>(tuple_[next_++]); }
  nanobind::object object() { return tuple_[next_++]; }
  bool ended() const { return next_ >= tuple_.size(); }
  void* address() { return reinterpret_cast<void*>(nanobind::cast<std::uintptr_t>(tuple_[next_++])); }

 private:
  nanobind::tuple tuple_;
  std::size_t next_ = 0;
};

// Addresses as they come one by one.
inline const void* at(std::uintptr_t address) { return reinterpret_cast<const void*>(address); }
inline void* to(std::uintptr_t address) { return reinterpret_cast<void*>(address); }

}  // namespace throughtime
