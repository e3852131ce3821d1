// The part of DLPack's C interface that is used here: inspecting a tensor in one call, and creating one from memory.
//
// Layouts and names of fields are those of DLPack 1.3 (https://dmlc.github.io/dlpack), where a framework's tensor
// class has the table of functions as `__dlpack_c_exchange_api__`. PyTorch 2.13 has it; without it,
// tensors.cpp reads attributes by name.
#pragma once

#include <cstdint>

namespace throughtime::dlpack {

inline constexpr const char* attribute = "__dlpack_c_exchange_api__";
inline constexpr const char* capsule = "dlpack_exchange_api";
inline constexpr std::uint32_t major = 1;
inline constexpr std::int32_t cpu = 1;
inline constexpr std::uint8_t integer = 0, floating = 2;

struct Version {
  std::uint32_t major, minor;
};

struct Device {
  std::int32_t type, id;
};

struct DataType {
  std::uint8_t code, bits;
  std::uint16_t lanes;
};

struct Tensor {
  void* data;
  Device device;
  std::int32_t ndim;
  DataType dtype;
  std::int64_t *shape, *strides;  // in elements
  std::uint64_t byte_offset;
};

struct Managed {
  Version version;
  void* manager_ctx;
  void (*deleter)(Managed*);
  std::uint64_t flags;
  Tensor tensor;
};

struct Exchange {
  Version version;
  Exchange* previous;
  void* allocate;
  void* own;
  int (*import)(Managed*, void** object);  // takes what it is given
  int (*look)(void* object, Tensor*);      // borrows, as long as nobody else runs
  void* stream;
};

}  // namespace throughtime::dlpack
