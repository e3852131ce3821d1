#include "bind/tensors.h"

#include <nanobind/ndarray.h>

#include <cstddef>
#include <exception>
#include <new>

#include "bind/dlpack.h"
#include "kernels/scratch.h"

namespace nb = nanobind;

namespace throughtime {
namespace {

// Made at the first call, and never destroyed: the interpreter may go first.
struct Torch {
  PyObject *tensor, *parameter;
  const dlpack::Exchange* exchange;
};

const Torch& torch() {
  static const Torch* const found = [] {
    const nb::module_ module = nb::module_::import_("torch");
    const nb::object tensor = module.attr("Tensor"), parameter = module.attr("nn").attr("Parameter");
    const nb::object table = nb::getattr(tensor, dlpack::attribute, nb::none());
    const dlpack::Exchange* exchange = nullptr;
    if (PyCapsule_IsValid(table.ptr(), dlpack::capsule)) {
      exchange = static_cast<const dlpack::Exchange*>(PyCapsule_GetPointer(table.ptr(), dlpack::capsule));
    }
    while (exchange != nullptr && exchange->version.major != dlpack::major) exchange = exchange->previous;
    if (exchange != nullptr && exchange->look == nullptr) exchange = nullptr;
    return new Torch{nb::object(tensor).release().ptr(), nb::object(parameter).release().ptr(), exchange};
  }();
  return *found;
}

// What torch lends: a few loads.
bool lent(nb::handle object, Plain& found, std::int64_t* strides, dlpack::DataType& dtype) {
  dlpack::Tensor seen;
  if (torch().exchange->look(object.ptr(), &seen) != 0) {  // sparse, for example
    PyErr_Clear();
    return false;
  }
  dtype = seen.dtype;
  if (seen.device.type != dlpack::cpu || seen.ndim < 1 || seen.ndim > most_sizes || dtype.lanes != 1 ||
      seen.strides == nullptr) {
    return false;
  }
  found.sizes = seen.ndim;
  for (int i = 0; i < seen.ndim; ++i) {
    found.size[i] = seen.shape[i];
    strides[i] = seen.strides[i];
  }
  found.data = static_cast<char*>(seen.data) + seen.byte_offset;
  return true;
}

struct NamedDtype {
  const char* name;
  std::uint8_t code, bits;
};
constexpr NamedDtype known_dtypes[] = {{"float32", dlpack::floating, 32},
                                       {"float64", dlpack::floating, 64},
                                       {"int64", dlpack::integer, 64},
                                       {"int32", dlpack::integer, 32},
                                       {"int8", dlpack::integer, 8}};

// The same of a torch that lends nothing: asked for by name.
bool asked(nb::handle object, Plain& found, std::int64_t* strides, dlpack::DataType& dtype) {
  try {
    const nb::module_ module = nb::module_::import_("torch");
    const nb::object torch_dtype = object.attr("dtype");
    if (!object.attr("layout").is(module.attr("strided")) || !nb::cast<bool>(object.attr("is_cpu")) ||
        nb::cast<bool>(object.attr("is_neg")())) {
      return false;
    }
    dtype = {dlpack::integer, 0, 1};
    for (const auto& [name, code, bits] : known_dtypes) {
      if (torch_dtype.is(module.attr(name))) dtype = {code, bits, 1};
    }
    if (dtype.bits == 0) return false;
    const nb::object shape = object.attr("shape"), steps = object.attr("stride")();
    found.sizes = static_cast<int>(nb::len(shape));
    if (found.sizes < 1 || found.sizes > most_sizes) return false;
    for (int i = 0; i < found.sizes; ++i) {
      found.size[i] = nb::cast<std::int64_t>(shape[i]);
      strides[i] = nb::cast<std::int64_t>(steps[i]);
    }
    found.data = reinterpret_cast<void*>(nb::cast<std::uintptr_t>(object.attr("data_ptr")()));
    return true;
  } catch (const std::exception&) {  // it has no memory, for example
    return false;
  }
}

bool is_contiguous(nb::handle object, Plain& found, dlpack::DataType& dtype) {
  std::int64_t strides[most_sizes];
  if (!(torch().exchange == nullptr ? asked : lent)(object, found, strides, dtype)) return false;
  found.is_integer = dtype.code == dlpack::integer && dtype.bits == 64;
  found.is_double = dtype.code == dlpack::floating && dtype.bits == 64;
  if (found.count() == 0) {
    found.data = nullptr;
    return true;
  }
  std::int64_t count = 1;
  for (int i = found.sizes - 1; i >= 0; --i) {
    if (found.size[i] != 1 && strides[i] != count) return false;
    count *= found.size[i];
  }
  return true;
}

// The same of a dtype that `Plain` knows.
bool is_contiguous(nb::handle object, Plain& found) {
  dlpack::DataType dtype;
  return is_contiguous(object, found, dtype) &&
         (found.is_integer || found.is_double || (dtype.code == dlpack::floating && dtype.bits == 32));
}

bool is_subclass(nb::handle object) {
  return PyType_IsSubtype(Py_TYPE(object.ptr()), reinterpret_cast<PyTypeObject*>(torch().tensor)) != 0;
}

bool is_plain(nb::handle object, PyObject* type, Plain& found) {
  if (reinterpret_cast<PyObject*>(Py_TYPE(object.ptr())) != type) return false;
  return is_contiguous(object, found) && found.count() > 1;
}

// What a tensor of ours owns: itself with its sizes, and its numbers behind that, or large ones in the kernels' pool.
struct Owned {
  dlpack::Managed managed;
  std::int64_t size[most_sizes], strides[most_sizes];
  void* pooled;
  std::size_t bytes;
};

// From here on fresh memory costs more in page faults than the detour through the pool.
constexpr std::size_t pooled_bytes = std::size_t{1} << 19;
constexpr std::size_t line = 64;
constexpr std::size_t head = (sizeof(Owned) + line - 1) / line * line;

void destroy(dlpack::Managed* managed) {
  Owned* const owned = reinterpret_cast<Owned*>(managed);
  if (owned->pooled != nullptr) release(owned->pooled, owned->bytes);
  ::operator delete(owned, std::align_val_t{line});
}

// Given to a torch that does not take it that way by nanobind.
nb::object given_slowly(Owned* owned) {
  const dlpack::Tensor& tensor = owned->managed.tensor;
  std::size_t shape[most_sizes];
  for (int i = 0; i < tensor.ndim; ++i) shape[i] = static_cast<std::size_t>(owned->size[i]);
  const nb::capsule owner(owned, [](void* place) noexcept { destroy(static_cast<dlpack::Managed*>(place)); });
  return nb::ndarray<nb::pytorch>(tensor.data, static_cast<std::size_t>(tensor.ndim), shape, owner, nullptr,
                                  nb::dlpack::dtype{tensor.dtype.code, tensor.dtype.bits, 1})
      .cast();
}

nb::object make(dlpack::DataType dtype, const std::int64_t* size, int sizes, void*& data) {
  std::size_t bytes = dtype.bits / 8;
  for (int i = 0; i < sizes; ++i) bytes *= static_cast<std::size_t>(size[i]);
  const bool pools = bytes >= pooled_bytes;
  const std::size_t block = head + (pools ? 0 : (bytes + line - 1) / line * line);
  void* const place = ::operator new(block, std::align_val_t{line});
  Owned* const owned = new (place) Owned{};
  if (pools) {
    owned->bytes = bytes;
    owned->pooled = acquire(owned->bytes);
  }
  data = pools ? owned->pooled : static_cast<char*>(place) + head;
  std::int64_t stride = 1;
  for (int i = sizes - 1; i >= 0; --i) {
    owned->size[i] = size[i];
    owned->strides[i] = stride;
    stride *= size[i];
  }
  owned->managed.deleter = &destroy;
  owned->managed.tensor = {data, {dlpack::cpu, 0}, sizes, dtype, owned->size, owned->strides, 0};
  if (torch().exchange == nullptr) return given_slowly(owned);
  owned->managed.version = {dlpack::major, torch().exchange->version.minor};
  void* made = nullptr;
  if (torch().exchange->import(&owned->managed, &made) != 0) nb::raise_python_error();
  return nb::steal(static_cast<PyObject*>(made));
}

}  // namespace

void find_torch() { torch(); }

bool is_tensor(nb::handle object, Plain& found) { return is_plain(object, torch().tensor, found); }

bool is_parameter(nb::handle object, Plain& found) { return is_plain(object, torch().parameter, found); }

bool is_either(nb::handle object, Plain& found) { return is_tensor(object, found) || is_parameter(object, found); }

bool is_in_order(nb::handle object, Plain& found) { return is_subclass(object) && is_contiguous(object, found); }

bool is_usual(nb::handle object, Plain& found) {
  PyObject* const type = reinterpret_cast<PyObject*>(Py_TYPE(object.ptr()));
  if ((type != torch().tensor && type != torch().parameter) || !is_contiguous(object, found)) return false;
  return found.count() != 1 || !nb::cast<bool>(object.attr("is_neg")());
}

bool are_rows(bool in_order, nb::handle object, Plain& found, std::int64_t& stride) {
  const bool is_whole = look_at(in_order)(object, found);
  stride = found.sizes == 2 ? found.size[1] : 0;
  PyObject* const type = reinterpret_cast<PyObject*>(Py_TYPE(object.ptr()));
  if (is_whole || (type != torch().tensor && type != torch().parameter)) return is_whole;
  std::int64_t strides[most_sizes];
  dlpack::DataType dtype;
  if (!(torch().exchange == nullptr ? asked : lent)(object, found, strides, dtype)) return false;
  // A single column could be stored with its other sign.
  if (found.sizes != 2 || found.size[1] < 2 || strides[1] != 1 || dtype.code != dlpack::floating) return false;
  found.is_integer = false;
  found.is_double = dtype.bits == 64;
  stride = strides[0];
  return found.count() > 1 && (found.is_double || dtype.bits == 32);
}

bool is_index(nb::handle object, Plain& found, int& bytes) {
  dlpack::DataType dtype;
  if (!is_subclass(object) || !is_contiguous(object, found, dtype)) return false;
  bytes = dtype.bits / 8;
  return dtype.code == dlpack::integer && (bytes == 1 || bytes == 4);
}

bool may_be(LookAt look, nb::handle object, bool is_double, Plain& found) {
  if (object.is_none()) return true;
  return look(object, found) && !found.is_integer && found.is_double == is_double;
}

nb::object unusual(bool in_order) {
  if (!in_order) return nb::none();
  throw nb::type_error("tensors must be contiguous, on the CPU, and all float32 or all float64");
}

std::string shown(const Plain& tensor) {
  std::string text = "(";
  for (int i = 0; i < tensor.sizes; ++i) text += (i == 0 ? "" : ", ") + std::to_string(tensor.size[i]);
  return text + (tensor.sizes == 1 ? ",)" : ")");
}

void shape_error(const std::string& message) {
  const nb::object type = nb::module_::import_("throughtime.errors").attr("ShapeError");
  PyErr_SetString(type.ptr(), message.c_str());
  nb::raise_python_error();
}

nb::object make_tensor(bool is_double, const std::int64_t* size, int sizes, void*& data) {
  return make({dlpack::floating, static_cast<std::uint8_t>(is_double ? 64 : 32), 1}, size, sizes, data);
}

nb::object make_tensor(bool is_double, std::initializer_list<std::int64_t> size, void*& data) {
  return make_tensor(is_double, size.begin(), static_cast<int>(size.size()), data);
}

nb::object make_integers(int bytes, const std::int64_t* size, int sizes, void*& data) {
  return make({dlpack::integer, static_cast<std::uint8_t>(8 * bytes), 1}, size, sizes, data);
}

}  // namespace throughtime
