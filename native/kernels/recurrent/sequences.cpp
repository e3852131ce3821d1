#include "kernels/recurrent/sequences.h"

#include <algorithm>
#include <numeric>

namespace throughtime {
namespace {

// The numbers of sequences of these lengths, longest first; of equal ones the first first.
std::vector<std::int64_t> longest_first(const std::vector<std::int64_t>& length) {
  std::vector<std::int64_t> id(length.size());
  std::iota(id.begin(), id.end(), std::int64_t{0});
  if (!std::is_sorted(length.begin(), length.end(), std::greater<>())) {
    std::stable_sort(id.begin(), id.end(), [&](std::int64_t a, std::int64_t b) {
      return length[static_cast<std::size_t>(a)] > length[static_cast<std::size_t>(b)];
    });
  }
  return id;
}

}  // namespace

SortedSequences::SortedSequences(const Tokens& tokens) {
  const std::size_t batch = static_cast<std::size_t>(tokens.batch);
  id_.resize(batch);
  std::iota(id_.begin(), id_.end(), std::int64_t{0});
  length_.assign(batch, tokens.length);
  first_ = id_;
  switch (tokens.order) {
    case Order::ragged: {
      std::vector<std::int64_t> length(batch);
      for (std::size_t b = 0; b < batch; ++b) length[b] = tokens.index[b + 1] - tokens.index[b];
      sort(length, tokens.index);
      break;
    }
    case Order::strided:
      sort({tokens.index + batch, tokens.index + 2 * batch}, tokens.index);
      stride_ = tokens.length;
      break;
    case Order::time_major:
      stride_ = tokens.batch;
      break;
    case Order::batch_first:
      for (std::size_t b = 0; b < batch; ++b) first_[b] = static_cast<std::int64_t>(b) * tokens.length;
      break;
    case Order::packed: {
      // Batch sizes never increase, so sequence b ends where they fall to b.
      time_first_.resize(static_cast<std::size_t>(tokens.length));
      std::int64_t rows = 0;
      std::size_t alive = batch;
      for (std::int64_t t = 0; t < tokens.length; ++t) {
        time_first_[static_cast<std::size_t>(t)] = rows;
        rows += tokens.index[t];
        while (alive > static_cast<std::size_t>(tokens.index[t])) length_[--alive] = t;
      }
      break;
    }
  }
  total_ = std::accumulate(length_.begin(), length_.end(), std::int64_t{0});
}

void SortedSequences::sort(const std::vector<std::int64_t>& length, const std::int64_t* first) {
  id_ = longest_first(length);
  for (std::size_t a = 0; a < id_.size(); ++a) {
    length_[a] = length[static_cast<std::size_t>(id_[a])];
    first_[a] = first[id_[a]];
  }
}

Sequences SortedSequences::view() const {
  return {static_cast<std::int64_t>(id_.size()),
          length_.data(),
          first_.data(),
          id_.data(),
          stride_,
          time_first_.empty() ? nullptr : time_first_.data(),
          total_};
}

}  // namespace throughtime
