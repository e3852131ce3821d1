// The parameters that only one cell has, in the layout that its steps read.
#pragma once

#include "kernels/pack.h"
#include "kernels/recurrent/recurrent.h"

namespace throughtime::TT_ISA {

// Rows of H, one below the other, each in whole vectors.
template <class T>
void pack_own(const Weights& weights, const Options& options, std::ptrdiff_t hidden, T* to, std::ptrdiff_t padded) {
  for (int i = 0; i < most_own && options.own_rows[i] > 0; ++i) {
    pack_rows(static_cast<const T*>(weights.own[i]), hidden, hidden, options.own_rows[i], to, padded);
    to += options.own_rows[i] * padded;
  }
}

}  // namespace throughtime::TT_ISA
