#include "kernels/bfloat16/setting.h"

#include "kernels/bfloat16/tiles.h"

namespace throughtime {

bool rounds_factors(bool has_their_vectors) {
  static const bool always = is_setting("always") || is_setting("vectors"), never = is_setting("never");
  return always || (!never && has_their_vectors && amx_kernels() != nullptr);
}

}  // namespace throughtime
