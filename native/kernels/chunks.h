// Divides segments into chunks of rows. A sum over a segment is the sum of the sums over its chunks, in double
// precision. Its bits depend neither on the threads nor on other segments, and rounding errors do not grow with
// the length.
#pragma once

#include <cstdint>

#include "kernels/range.h"

namespace throughtime::TT_ISA {

inline constexpr std::int64_t rows_of_a_chunk = 64;

inline std::int64_t chunks_within(std::int64_t rows) { return (rows + rows_of_a_chunk - 1) / rows_of_a_chunk; }

// Chunk i of segment s has number first[s] + i.
struct Chunks {
  const std::int64_t* offsets;
  std::int64_t segments;
  std::int64_t* first;  // S + 1, scratch

  void count() const {
    first[0] = 0;
    for (std::int64_t s = 0; s < segments; ++s) first[s + 1] = first[s] + chunks_within(rows(s));
  }

  std::int64_t rows(std::int64_t segment) const { return offsets[segment + 1] - offsets[segment]; }
  // Of one chunk of the segment, counted from the first chunk of all.
  std::int64_t rows(std::int64_t segment, std::int64_t number) const {
    const std::int64_t left = rows(segment) - (number - first[segment]) * rows_of_a_chunk;
    return left < rows_of_a_chunk ? left : rows_of_a_chunk;
  }

  // Calls body(segment, number, rows) for the chunks of a thread, the same ones in every pass.
  template <class Body>
  void each(int rank, int size, const Body& body) const {
    const std::int64_t all = first[segments], end = all * (rank + 1) / size;
    std::int64_t number = all * rank / size;
    if (number == end) return;
    for (std::int64_t s = range_with(first, segments, number); number < end; ++s) {
      for (; number < end && number < first[s + 1]; ++number) {
        const std::int64_t begin = offsets[s] + (number - first[s]) * rows_of_a_chunk;
        body(s, number, Range{begin, begin + rows(s, number)});
      }
    }
  }

  // Calls body(number, rows) for the chunks of a segment.
  template <class Body>
  void each_of(std::int64_t segment, const Body& body) const {
    std::int64_t begin = offsets[segment];
    for (std::int64_t number = first[segment]; number < first[segment + 1]; ++number) {
      const std::int64_t count = rows(segment, number);
      body(number, Range{begin, begin + count});
      begin += count;
    }
  }

  // The segments that a thread has if none is divided: those whose first chunk is in its share of all chunks.
  Range segments_of(int rank, int size) const {
    const std::int64_t all = first[segments];
    std::int64_t begin = 0;
    while (begin < segments && first[begin] < all * rank / size) ++begin;
    std::int64_t end = begin;
    while (end < segments && (rank == size - 1 || first[end] < all * (rank + 1) / size)) ++end;
    return {begin, end};
  }

  // Whether no thread has more than 9/8 of an equal share if no segment is divided.
  bool divide_evenly(int size) const {
    const std::int64_t all = first[segments];
    for (int rank = 0; rank < size; ++rank) {
      const Range own = segments_of(rank, size);
      if ((first[own.end] - first[own.begin]) * size * 8 > all * 9) return false;
    }
    return true;
  }
};

// The upper bound of chunks for so many segments and tokens.
inline std::int64_t most_chunks(std::int64_t segments, std::int64_t tokens) {
  return segments + tokens / rows_of_a_chunk;
}

}  // namespace throughtime::TT_ISA
