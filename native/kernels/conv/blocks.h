// Divides the rows of a batch into blocks, which threads take one after the other.
//
// Blocks are aligned to their sequence, so that a sequence is divided into the same tiles in any batch.
#pragma once

#include <cstdint>
#include <vector>

namespace throughtime {

// Rows begin … end of a sequence. Rows below 0 or from its length on lie beyond its ends.
struct Segment {
  std::int64_t sequence, begin, end;
};

// A view for the kernels: block i is the segments first[i] … first[i + 1].
struct Blocks {
  const Segment* segments;
  const std::int64_t* first;
  std::int64_t count;
};

// Owns the arrays behind a view.
class RowBlocks {
 public:
  // Segments of at most `cut` rows, blocks of at most `most`. Each sequence that has tokens also gets `before`
  // and `after` rows beyond its ends, as segments of their own.
  RowBlocks(std::int64_t sequences, const std::int64_t* offsets, std::int64_t cut, std::int64_t most,
            std::int64_t before = 0, std::int64_t after = 0);
  Blocks view() const { return {segments_.data(), first_.data(), static_cast<std::int64_t>(first_.size()) - 1}; }

 private:
  std::vector<Segment> segments_;
  std::vector<std::int64_t> first_;
};

}  // namespace throughtime
