// Sums over the chunks of a segment and the features of a group, and the factor of each feature.
#pragma once

#include "kernels/chunks.h"
#include "kernels/norm/norm.h"

namespace throughtime::TT_ISA {

inline constexpr std::int64_t columns_at_once = 16;

// Groups are dealt to threads in blocks: of one group, or of some that together have few features.
struct GroupBlocks {
  std::int64_t features_of_a_group, groups, groups_of_a_block, blocks;

  explicit GroupBlocks(const NormShape& shape)
      : features_of_a_group(shape.groups == 0 ? 1 : shape.features / shape.groups), groups(shape.groups) {
    groups_of_a_block = features_of_a_group < columns_at_once ? columns_at_once / features_of_a_group : 1;
    blocks = (groups + groups_of_a_block - 1) / groups_of_a_block;
  }

  // Calls body(segment, groups) for the blocks of a thread.
  template <class Body>
  void each(std::int64_t segments, int rank, int size, const Body& body) const {
    const std::int64_t all = segments * blocks, end = all * (rank + 1) / size;
    for (std::int64_t item = all * rank / size; item < end; ++item) {
      const std::int64_t begin = item % blocks * groups_of_a_block;
      const std::int64_t stop = begin + groups_of_a_block;
      body(item / blocks, Range{begin, stop < groups ? stop : groups});
    }
  }

  // Calls body(feature, number of its group within the block, sum over the chunks of value(at, feature, rows)), in
  // double; `at` is where the chunk's row of C values begins.
  template <class Value, class Body>
  void sums(const Chunks& chunks, std::int64_t segment, Range block, std::int64_t features, const Value& value,
            const Body& body) const {
    const std::int64_t end = block.end * features_of_a_group;
    for (std::int64_t c = block.begin * features_of_a_group; c < end; c += columns_at_once) {
      const std::int64_t width = end - c < columns_at_once ? end - c : columns_at_once;
      double sum[columns_at_once] = {};
      for (std::int64_t n = chunks.first[segment]; n < chunks.first[segment + 1]; ++n) {
        const double rows = static_cast<double>(chunks.rows(segment, n));
        const std::int64_t at = n * features + c;
        for (std::int64_t j = 0; j < width; ++j) sum[j] += value(at + j, c + j, rows);
      }
      for (std::int64_t j = 0; j < width; ++j) {
        body(c + j, (c + j) / features_of_a_group - block.begin, sum[j]);
      }
    }
  }
};

// y = factor · x + addend for the features of a block, in rows of C. Both passes make the same numbers of the same
// statistics. `call` is that of either.
template <class T, class Call>
void lay_out_factors(const Call& call, const GroupBlocks& blocks, std::int64_t segment, Range block, T* factors,
                     T* addends) {
  const T *const gamma = static_cast<const T*>(call.gamma), *const beta = static_cast<const T*>(call.beta);
  const std::int64_t width = blocks.features_of_a_group;
  for (std::int64_t c = block.begin * width; c < block.end * width; ++c) {
    const std::int64_t own = segment * call.shape.features + c, at = segment * call.shape.groups + c / width;
    const T scale = static_cast<const T*>(call.scale)[at];
    const T factor = gamma == nullptr ? scale : gamma[c] * scale;
    const T product = static_cast<const T*>(call.mean)[at] * factor;
    factors[own] = factor;
    addends[own] = (beta == nullptr ? T(0) : beta[c]) - product;
  }
}

}  // namespace throughtime::TT_ISA
