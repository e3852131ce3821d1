#include "kernels/recurrent/sequences.h"

#include <algorithm>
#include <numeric>

namespace throughtime {

SortedSequences::SortedSequences(const Tokens& tokens) : reset_(tokens.reset) {
  const std::size_t batch = static_cast<std::size_t>(tokens.batch);
  id_.resize(batch);
  std::iota(id_.begin(), id_.end(), std::int64_t{0});
  length_.assign(batch, tokens.length);
  first_ = id_;
  switch (tokens.order) {
    case Order::ragged: {
      std::vector<std::int64_t> length(batch);
      for (std::size_t b = 0; b < batch; ++b) length[b] = tokens.index[b + 1] - tokens.index[b];
      if (!std::is_sorted(length.begin(), length.end(), std::greater<>())) {
        std::stable_sort(id_.begin(), id_.end(), [&](std::int64_t a, std::int64_t b) {
          return length[static_cast<std::size_t>(a)] > length[static_cast<std::size_t>(b)];
        });
      }
      for (std::size_t a = 0; a < batch; ++a) {
        length_[a] = length[static_cast<std::size_t>(id_[a])];
        first_[a] = tokens.index[id_[a]];
      }
      break;
    }
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

Sequences SortedSequences::view() const {
  return {static_cast<std::int64_t>(id_.size()),
          length_.data(),
          first_.data(),
          id_.data(),
          stride_,
          time_first_.empty() ? nullptr : time_first_.data(),
          total_,
          reset_};
}

}  // namespace throughtime
