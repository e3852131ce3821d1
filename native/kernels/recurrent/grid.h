// The division of a direction's work among threads: groups of sequences, and within a group hidden units.
//
// Groups never wait for each other. The threads of one group synchronise at every step, so groups have several
// threads only if there are too few sequences for all threads, or so few that each thread would read all weights
// for few rows.
#pragma once

#include "kernels/pack.h"
#include "kernels/recurrent/sequences.h"

namespace throughtime::TT_ISA {

struct Grid {
  int groups;
  int units;  // threads of a group
};

// Recurrent weights of this size do not stay in a core's own cache: every step reads them anew. With fewer rows than
// these to a thread that takes longer than the multiplications, and half of the weights for twice the rows takes less.
inline constexpr std::ptrdiff_t shared_bytes = std::ptrdiff_t{2} << 20;
inline constexpr std::int64_t rows_worth_reading = 16;
inline constexpr std::int64_t most_shared = 1024;  // sequences whose rows of x each thread of a group may copy

// A thread with less to do than this at a step, rows times bytes of weights, is done before the others know.
inline constexpr std::ptrdiff_t least_bytes = std::ptrdiff_t{40} << 10;

// Rows at a step, on average, and how many a thread should have. `weights` in bytes, here and below.
struct Rows {
  std::int64_t all, least;
};

inline Rows rows_of(const Sequences& sequences, std::ptrdiff_t weights, std::int64_t least_rows = 2) {
  const bool reads = weights >= shared_bytes && sequences.total > 0 && sequences.count <= most_shared;
  if (!reads) return {sequences.count, least_rows};
  return {sequences.total / sequences.length[0], rows_worth_reading};
}

// Whether threads share hidden units in some team of so many or fewer.
inline bool may_share(int threads, const Sequences& sequences, std::ptrdiff_t weights) {
  const Rows rows = rows_of(sequences, weights);
  return rows.all < rows.least * threads;
}

// `panels` is how many threads of a group can have a part of them; `least` bytes are worth a thread. Where weights stay in
// the cache of a core, a group has `least_rows` or more.
inline Grid make_grid(int team, const Sequences& sequences, std::ptrdiff_t weights, std::ptrdiff_t panels,
                      std::ptrdiff_t least = least_bytes, std::int64_t least_rows = 2) {
  const Rows rows = rows_of(sequences, weights, least_rows);
  int groups = 1;
  for (int candidate = 2; candidate <= team; ++candidate) {
    if (team % candidate == 0 && rows.least * candidate <= rows.all) groups = candidate;
  }
  const std::ptrdiff_t worth = rows.all / groups * weights / least;
  std::ptrdiff_t units = team / groups;
  if (units > worth) units = worth;
  if (units > panels) units = panels;
  return {groups, units < 1 ? 1 : static_cast<int>(units)};
}

// Vectors of a panel over so many columns: where the threads of a group share hidden units, each needs panels
// of its own.
template <class T>
int fair_vectors(std::ptrdiff_t columns, int team, const Sequences& sequences, std::ptrdiff_t weights) {
  const std::ptrdiff_t vectors = round_up(columns, lanes<T>) / lanes<T>;
  const int units = make_grid(team, sequences, weights, vectors).units;
  const std::ptrdiff_t fair = (vectors + units - 1) / units;
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
  // Whether the state before time t is one of zeros, because of a flag.
  bool restarts(std::int64_t row, std::int64_t t, bool reverse) const {
    if (all->reset == nullptr || (reverse && t == 0)) return false;
    return all->reset[token(row, reverse ? t - 1 : t, reverse)] != 0;
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
