// How the threads of a direction share its work: groups of sequences, and within a group hidden units.
//
// Groups never wait for each other. The threads of one group meet at every step, so they are used only
// where there are too few sequences to go round.
#pragma once

#include "kernels/pack.h"
#include "kernels/recurrent/sequences.h"

namespace throughtime::TT_ISA {

struct Grid {
  int groups;
  int units;  // threads of a group
};

inline Grid make_grid(int team, std::int64_t batch, std::ptrdiff_t panels) {
  if (batch >= 2 * team) return {team, 1};
  int groups = 1;
  for (int candidate = 1; candidate <= team; ++candidate) {
    if (team % candidate == 0 && 2 * candidate <= batch) groups = candidate;
  }
  const std::ptrdiff_t units = team / groups;
  return {groups, static_cast<int>(units < panels ? units : panels)};
}

// Vectors of a panel over so many columns: where the threads of a group share hidden units, each needs panels
// of its own.
template <class T>
int fair_vectors(std::ptrdiff_t columns, std::int64_t batch, int threads) {
  if (batch >= 2 * threads) return max_vectors;
  const std::ptrdiff_t vectors = round_up(columns, lanes<T>) / lanes<T>;
  const std::ptrdiff_t fair = (vectors + threads - 1) / threads;
  return static_cast<int>(fair < 1 ? 1 : fair < max_vectors ? fair : max_vectors);
}

// The sequences of one group. Of unequal ones every `step`-th of the sorted order, so that each group has as
// many long and short ones as any other. Equal ones are cut into runs: in the usual orders their tokens lie
// side by side, and two threads that write neighbouring lines hinder each other.
struct Share {
  const Sequences* all;
  std::int64_t begin;
  std::int64_t step;
  std::int64_t most;  // sequences at most

  std::int64_t count() const { return alive_of(all->count); }
  // Of the first n sequences, how many are in this share.
  std::int64_t alive_of(std::int64_t n) const {
    const std::int64_t found = n <= begin ? 0 : (n - begin + step - 1) / step;
    return found < most ? found : most;
  }
  std::int64_t number(std::int64_t row) const { return begin + row * step; }
  std::int64_t length(std::int64_t row) const { return all->length[number(row)]; }
  std::int64_t id(std::int64_t row) const { return all->id[number(row)]; }
  // Row of the token that is read at time t, in the order of this direction.
  std::int64_t token(std::int64_t row, std::int64_t t, bool reverse) const {
    const std::int64_t a = number(row);
    const std::int64_t position = reverse ? all->length[a] - 1 - t : t;
    return all->first[a] + (all->time_first == nullptr ? position * all->stride : all->time_first[position]);
  }
};

inline bool equal_lengths(const Sequences& all) {
  return all.count == 0 || all.length[0] == all.length[all.count - 1];
}

inline Share share_of(const Sequences& all, int group, int groups) {
  if (!equal_lengths(all)) return {&all, group, groups, all.count};
  const Range run = part_of(all.count, group, groups);
  return {&all, run.begin, 1, run.end - run.begin};
}

// Of the first n sequences, how many are in the shares of the groups before this one.
inline std::int64_t alive_before(const Sequences& all, int group, int groups, std::int64_t n) {
  if (!equal_lengths(all)) return group * (n / groups) + (group < n % groups ? group : n % groups);
  const std::int64_t begin = part_of(all.count, group, groups).begin;
  return n < begin ? n : begin;
}

}  // namespace throughtime::TT_ISA
