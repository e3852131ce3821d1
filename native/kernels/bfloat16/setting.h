// The environment variable that chooses how products of bfloat16 are computed.
#pragma once

#include <cstdlib>
#include <cstring>

namespace throughtime {

inline bool is_setting(const char* value) {
  const char* const setting = std::getenv("THROUGHTIME_BFLOAT16");
  return setting != nullptr && std::strcmp(setting, value) == 0;
}

}  // namespace throughtime
