// Inspects and creates plain tensors of torch, in a few tens of nanoseconds each.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <initializer_list>
#include <string>

namespace throughtime {

inline constexpr int most_sizes = 4;

// A contiguous tensor on the CPU; one that is not there has no sizes. It is the caller's.
struct Plain {
  void* data;       // null of an empty one
  bool is_integer;  // 64 bits
  bool is_double;   // else it is a float, if it is no integer
  int sizes;
  std::int64_t size[most_sizes];

  bool present() const { return sizes > 0; }

  std::int64_t count() const {
    std::int64_t product = 1;
    for (int i = 0; i < sizes; ++i) product *= size[i];
    return product;
  }

  bool is(std::initializer_list<std::int64_t> expected) const {
    if (sizes != static_cast<int>(expected.size())) return false;
    int i = 0;
    for (const std::int64_t one : expected) {
      if (size[i++] != one) return false;
    }
    return true;
  }
};

// False where the object is anything else, of a subclass, or has fewer than two numbers: of one nobody can tell whether
// it is stored with its sign.
bool is_tensor(nanobind::handle object, Plain& found);
bool is_parameter(nanobind::handle object, Plain& found);
bool is_either(nanobind::handle object, Plain& found);

// Subclasses and any count, too, of what the caller has brought into order: contiguous, and stored with its sign.
bool is_in_order(nanobind::handle object, Plain& found);

// As `is_either`, but of any count: where there is one number alone, torch is asked how it is stored.
bool is_usual(nanobind::handle object, Plain& found);

// As `is_in_order` or `is_usual`, of a matrix whose rows need not lie one behind the other: `stride` numbers apart.
bool are_rows(bool in_order, nanobind::handle object, Plain& found, std::int64_t& stride);

// A tensor of 8 or 32 bit integers, contiguous; `bytes` is 1 or 4.
bool is_index(nanobind::handle object, Plain& found, int& bytes);

// Looks at a tensor that comes as it is, or in order.
using LookAt = bool (*)(nanobind::handle object, Plain& found);
inline LookAt look_at(bool in_order) { return in_order ? &is_in_order : &is_usual; }

// The same of one that may be None, and has the dtype of another if it is there.
bool may_be(LookAt look, nanobind::handle object, bool is_double, Plain& found);

// The result where a tensor is unusual: None, so that the caller brings all into order and calls again, or an error if
// it has done so.
nanobind::object unusual(bool in_order);

// (11, 4), as torch shows it.
std::string shown(const Plain& tensor);

// Raises throughtime.errors.ShapeError.
[[noreturn]] void shape_error(const std::string& message);

// torch is looked up at the first call; this one lets that be a time when no other thread calls.
void find_torch();

// A new tensor of one to four sizes, and its memory.
nanobind::object make_tensor(bool is_double, const std::int64_t* size, int sizes, void*& data);
nanobind::object make_tensor(bool is_double, std::initializer_list<std::int64_t> size, void*& data);

// The same of integers of so many bytes, 1, 4 or 8.
nanobind::object make_integers(int bytes, const std::int64_t* size, int sizes, void*& data);

}  // namespace throughtime
