// Packs weights into the panels that the product reads: row k of a panel holds one value for each of its
// columns, so that a tile reads memory sequentially. Columns beyond the matrix are zero.
#pragma once

#include "kernels/product.h"
#include "kernels/range.h"
#include "kernels/transpose.h"

namespace throughtime::TT_ISA {

inline std::ptrdiff_t round_up(std::ptrdiff_t x, std::ptrdiff_t unit) { return (x + unit - 1) / unit * unit; }

// Rows of scratch matrices are one vector longer than they need be: a power of two would put the rows of a
// tile into the same few lines of the first cache.
template <class T>
std::ptrdiff_t row_length(std::ptrdiff_t columns) {
  return round_up(columns, lanes<T>) + lanes<T>;
}

// Panels over N columns in whole vectors, `vectors` to a panel, the last one perhaps narrower.
template <class T>
struct Panels {
  std::ptrdiff_t columns;  // N
  int vectors;

  std::ptrdiff_t count() const { return (columns + width() - 1) / width(); }
  std::ptrdiff_t width() const { return vectors * lanes<T>; }
  std::ptrdiff_t first(std::ptrdiff_t panel) const { return panel * width(); }
  int vectors_of(std::ptrdiff_t panel) const {
    const std::ptrdiff_t left = round_up(columns, lanes<T>) - first(panel);
    return static_cast<int>(left < width() ? left / lanes<T> : vectors);
  }
  int columns_of(std::ptrdiff_t panel) const {
    const std::ptrdiff_t left = columns - first(panel);
    return static_cast<int>(left < width() ? left : width());
  }
  std::ptrdiff_t padded() const { return round_up(columns, lanes<T>); }
};

// One vector of columns from rows of the matrix: to[k · ldp + l] = from[l · ld + k] for l < count, else 0.
template <class T>
void pack_transposed(const T* from, std::ptrdiff_t ld, int count, std::ptrdiff_t depth, T* to,
                     std::ptrdiff_t ldp) {
  constexpr int L = lanes<T>;
  std::ptrdiff_t k = 0;
  if (count == L) {
    for (; k + L <= depth; k += L) {
      Vec<T> columns[L];
      transposed_square(from + k, ld, columns);
#pragma GCC unroll 16
      for (int i = 0; i < L; ++i) store<T>(to + (k + i) * ldp, columns[i]);
    }
  }
  for (; k < depth; ++k) {
    for (int l = 0; l < count; ++l) to[k * ldp + l] = from[l * ld + k];
    for (int l = count; l < L; ++l) to[k * ldp + l] = T(0);
  }
}

// Rows of the matrix as they are: to[k · ldp + n] = from[k · ld + n] for n < columns, else 0 up to ldp.
template <class T>
void pack_rows(const T* from, std::ptrdiff_t ld, std::ptrdiff_t columns, std::ptrdiff_t depth, T* to,
               std::ptrdiff_t ldp) {
  for (std::ptrdiff_t k = 0; k < depth; ++k) {
    std::memcpy(to + k * ldp, from + k * ld, sizeof(T) * static_cast<std::size_t>(columns));
    for (std::ptrdiff_t n = columns; n < ldp; ++n) to[k * ldp + n] = T(0);
  }
}

// Part `index` of `parts` nearly equal ranges of 0 … count.
inline Range part_of(std::ptrdiff_t count, int index, int parts) {
  return {count * index / parts, count * (index + 1) / parts};
}

// The columns of panels begin … end.
template <class T>
Range columns_of(const Panels<T>& panels, Range own) {
  const std::ptrdiff_t end = panels.first(own.end);
  return {panels.first(own.begin), end < panels.columns ? end : panels.columns};
}

// Copies these columns of a row; a missing row is zeros.
template <class T>
void copy_columns(const T* from, Range columns, T* to) {
  if (columns.end <= columns.begin) return;
  const std::size_t bytes = sizeof(T) * static_cast<std::size_t>(columns.end - columns.begin);
  if (from == nullptr) {
    std::memset(to + columns.begin, 0, bytes);
  } else {
    std::memcpy(to + columns.begin, from + columns.begin, bytes);
  }
}

}  // namespace throughtime::TT_ISA
