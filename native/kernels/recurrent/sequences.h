// The sequences of a batch, longest first, and the positions of their tokens.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/recurrent/recurrent.h"

namespace throughtime {

// A view for the kernels; the arrays have `count` entries, in the order of decreasing length.
struct Sequences {
  std::int64_t count;              // B, empty ones included
  const std::int64_t* length;
  const std::int64_t* first;       // row of the token at position 0, or what is added to time_first
  const std::int64_t* id;          // number of the sequence in the caller's batch
  std::int64_t stride;             // rows from one token to the next, unless time_first is given
  const std::int64_t* time_first;  // packed order: row of position p is first + time_first[p]; else null
  std::int64_t total;              // T
  const std::int8_t* reset;        // as of Tokens
};

// Owns the arrays behind a view.
class SortedSequences {
 public:
  explicit SortedSequences(const Tokens& tokens);
  Sequences view() const;

 private:
  std::vector<std::int64_t> length_, first_, id_, time_first_;
  std::int64_t stride_ = 1;
  std::int64_t total_ = 0;
  const std::int8_t* reset_;
};

}  // namespace throughtime
