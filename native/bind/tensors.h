// Plain tensors of torch, looked at and made in a few tens of nanoseconds each.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <initializer_list>

namespace throughtime {

// A contiguous tensor on the CPU of at least two numbers, with at most four sizes. It is the caller's.
struct Plain {
  void* data;
  bool is_integer;  // 64 bits
  bool is_double;   // else it is a float, if it is no integer
  int sizes;
  std::int64_t size[4];

  bool is(std::initializer_list<std::int64_t> expected) const {
    if (sizes != static_cast<int>(expected.size())) return false;
    int i = 0;
    for (const std::int64_t one : expected) {
      if (size[i++] != one) return false;
    }
    return true;
  }
};

// Whether torch lends its tensors this way.
bool torch_lends();

// False where the object is anything else. Of one number nobody can tell whether it is stored with its sign.
bool is_tensor(nanobind::handle object, Plain& found);
bool is_parameter(nanobind::handle object, Plain& found);
bool is_either(nanobind::handle object, Plain& found);

// A new tensor of at most four sizes, and its memory.
nanobind::object make_tensor(bool is_double, const std::int64_t* size, int sizes, void*& data);

}  // namespace throughtime
