// The forward loop over time, for all cells. A step is a list of phases, each with a product and a pointwise
// part; a cell provides the pointwise part (cells/).
//
//   gates   pre += h_{t−1} · W_hhᵀ, then the cell                      (every cell)
//   parts   after the product, parts of the cell that read whole rows  (LSTM with LayerNorm)
//   second  h_t = (output of the cell) · W_hrᵀ, then a copy            (LSTM with a projection)
//           candidate = (r ⊙ h_{t−1}) · W_hnᵀ, then the cell's finish  (reset-before GRU)
//
// The input's product is computed ahead for a block of steps that fits in cache, or together with that of h if a
// step has enough rows. Sequences are sorted by length, so those that have not ended come first; each group of
// threads has its own sequences (grid.h).
#pragma once

#include "kernels/recurrent/forward/one_step.h"
#include "kernels/recurrent/forward/weights.h"

namespace throughtime::TT_ISA {

template <class T, class Cell>
struct Forward {
  using Plan = ForwardPlan<T>;
  static constexpr int L = lanes<T>;

  static bool has_second(const Plan& plan) { return plan.second != nullptr; }

  struct Member {
    const Plan* plan;
    Share share;
    int unit, units;          // this thread and how many of its group
    Range gates, second;      // its panels
    Barrier* barrier;         // of the group
    T *pre, *x_rows, *h, *c, *factor, *candidate;
    Bfloat16 *rounded_x, *rounded_h, *rounded_factor;
    std::ptrdiff_t rounded_turn;
    std::int64_t* token;
    std::ptrdiff_t turn;      // from one half of h to the other
    std::int64_t block_rows;
  };

  static void run(const Plan& plan, int member, int team) {
    ForwardWeights<T, Cell>::pack(plan, member, team);
    plan.barrier[0].wait(member, team);
    const Grid grid = make_grid(team, plan.sequences, plan.weight_bytes, plan.gate_panels.count());
    const int group = member / grid.units;
    if (group >= grid.groups) return;
    Member m{};
    m.plan = &plan;
    m.share = share_of(plan.sequences, group, grid.groups);
    m.unit = member % grid.units;
    m.units = grid.units;
    m.gates = part_of(plan.gate_panels.count(), m.unit, m.units);
    m.second = part_of(plan.state_panels.count(), m.unit, m.units);
    m.barrier = plan.barrier + 1 + group;
    const std::int64_t rows = (plan.sequences.count + grid.groups - 1) / grid.groups;
    m.block_rows = plan.block_rows < rows ? rows : plan.block_rows;
    m.turn = rows * plan.ld_h;
    m.pre = plan.pre + group * m.block_rows * plan.ld_pre;
    m.h = plan.h + 2 * group * m.turn;
    m.c = plan.c + group * rows * plan.ld_c;
    m.factor = plan.factor + group * rows * plan.ld_c;
    m.candidate = plan.candidate + group * rows * plan.ld_c;
    m.token = plan.token + member * rows;
    if (plan.rounds()) {
      const RoundedForward& rounded = plan.rounded;
      m.rounded_turn = rows * rounded.ld_h;
      m.rounded_x = rounded.x_rows + member * m.block_rows * rounded.ld_x;
      m.rounded_h = rounded.h + 2 * group * m.rounded_turn;
      m.rounded_factor = rounded.factor + group * rows * rounded.ld_factor;
      rounded.kernels->begin();
      loop(m);
      rounded.kernels->end();
    } else {
      m.x_rows = plan.x_rows + member * m.block_rows * plan.ld_x;
      loop(m);
    }
    finish_streams();
  }

  static void loop(const Member& m) {
    const Plan& plan = *m.plan;
    begin(m);
    StepForward<T> s = step_of(m);
    std::int64_t alive = m.share.count();
    while (alive > 0 && m.share.length(alive - 1) == 0) --alive;
    std::int64_t t = 0;
    std::int64_t start[most_block_steps], rows_at[most_block_steps];
    while (alive > 0) {
      const bool joined = plan.joins && m.units == 1 && alive >= rows_to_join;
      const int most = joined ? 1 : most_block_steps;
      int steps = 0;
      std::int64_t rows = 0;
      while (alive > 0 && steps < most && (steps == 0 || rows + alive <= m.block_rows)) {
        start[steps] = rows;
        rows_at[steps] = alive;
        rows += alive;
        ++steps;
        while (alive > 0 && m.share.length(alive - 1) <= t + steps) --alive;
      }
      copy_inputs(m, t, steps, start, rows_at);
      // The others may still read what this thread is about to overwrite: their units are not those of its panels.
      if (Cell::before && t > 0) m.barrier->wait(m.unit, m.units);
      if (!joined) project_inputs(m, steps, rows_at, rows);
      for (int i = 0; i < steps; ++i) {
        const std::int64_t left = i + 1 < steps ? rows_at[i + 1] : alive;
        step(m, s, t + i, rows_at[i], m.pre + start[i] * plan.ld_pre, joined);
        end(m, t + i, left, rows_at[i]);
      }
      t += steps;
    }
  }

  // h and c before the first step, and the last of empty sequences; each thread does its own columns.
  static void begin(const Member& m) {
    const Plan& plan = *m.plan;
    const ForwardDirection& d = *plan.direction;
    const bool gated = d.c_n != nullptr;
    const Range h_columns = state_columns(m), c_columns = unit_columns(m);
    for (std::int64_t row = 0; row < m.share.count(); ++row) {
      const std::int64_t id = m.share.id(row);
      const bool empty = m.share.length(row) == 0;
      const T* h0 = d.h0 == nullptr ? nullptr : static_cast<const T*>(d.h0) + id * plan.state;
      T* const h = empty ? static_cast<T*>(d.h_n) + id * plan.state : m.h + row * plan.ld_h;
      copy_columns(h0, h_columns, h);
      if (!gated) continue;
      const T* c0 = d.c0 == nullptr ? nullptr : static_cast<const T*>(d.c0) + id * plan.hidden;
      T* const c = empty ? static_cast<T*>(d.c_n) + id * plan.hidden : m.c + row * plan.ld_c;
      copy_columns(c0, c_columns, c);
      if (!empty && c_columns.begin < c_columns.end && c_columns.end == plan.hidden) {
        for (std::ptrdiff_t u = plan.hidden; u < plan.padded; ++u) c[u] = T(0);
      }
    }
  }

  // The last state of the sequences that end with step t: rows left … rows.
  static void end(const Member& m, std::int64_t t, std::int64_t left, std::int64_t rows) {
    const Plan& plan = *m.plan;
    const ForwardDirection& d = *plan.direction;
    const T* h = m.h + ((t + 1) % 2) * m.turn;
    for (std::int64_t row = left; row < rows; ++row) {
      const std::int64_t id = m.share.id(row);
      copy_columns(h + row * plan.ld_h, state_columns(m), static_cast<T*>(d.h_n) + id * plan.state);
      if (d.c_n != nullptr) {
        copy_columns(m.c + row * plan.ld_c, unit_columns(m), static_cast<T*>(d.c_n) + id * plan.hidden);
      }
    }
  }

  static Range unit_columns(const Member& m) { return columns_of(m.plan->gate_panels, m.gates); }

  static Range state_columns(const Member& m) {
    return has_second(*m.plan) ? columns_of(m.plan->state_panels, m.second) : unit_columns(m);
  }

  // The rows of x of a block, one below the other.
  static void copy_inputs(const Member& m, std::int64_t t, int steps, const std::int64_t* start,
                          const std::int64_t* rows_at) {
    const Plan& plan = *m.plan;
    const std::size_t bytes = sizeof(T) * static_cast<std::size_t>(plan.inputs);
    for (int i = 0; i < steps; ++i) {
      for (std::int64_t row = 0; row < rows_at[i]; ++row) {
        if (row + 4 < rows_at[i]) {
          prefetch(plan.x + m.share.token(row + 4, t + i, plan.reverse) * plan.inputs, plan.inputs);
        }
        const T* from = plan.x + m.share.token(row, t + i, plan.reverse) * plan.inputs;
        if (plan.rounds()) {
          round_row(from, {0, plan.inputs}, plan.inputs, m.rounded_x + (start[i] + row) * plan.rounded.ld_x);
        } else {
          std::memcpy(m.x_rows + (start[i] + row) * plan.ld_x, from, bytes);
        }
      }
    }
  }

  static void round_row(const T* from, Range own, std::ptrdiff_t columns, Bfloat16* to) {
    round_columns(reinterpret_cast<const float*>(from), own, columns, to);
  }

  // out = start + a · panels, or added to `out`, for a panel of tiles that begins with this column.
  static void multiply_rounded(const Member& m, const Bfloat16* a, std::ptrdiff_t lda, const Bfloat16* packed,
                               std::ptrdiff_t depth, int vectors, std::ptrdiff_t rows, T* out, std::ptrdiff_t ld,
                               const T* start) {
    m.plan->rounded.kernels->multiply(
        {a, lda, packed, depth, rows, vectors, reinterpret_cast<float*>(out), ld, reinterpret_cast<const float*>(start)});
  }

  // pre = bias + x · W_ihᵀ for the rows of a block.
  static void project_inputs(const Member& m, int steps, const std::int64_t* rows_at, std::int64_t rows) {
    const Plan& plan = *m.plan;
    const bool far = is_far<T>(plan.padded * Cell::gates * plan.inputs);
    for (std::ptrdiff_t panel = m.gates.begin; panel < m.gates.end; ++panel) {
      const std::ptrdiff_t first = plan.gate_panels.first(panel);
      const int vectors = Cell::gates * plan.gate_panels.vectors_of(panel);
      if (plan.rounds()) {
        const std::ptrdiff_t offset = first * Cell::slots + Cell::input_slot * L;
        multiply_rounded(m, m.rounded_x, plan.rounded.ld_x, plan.rounded.w_ih + first * Cell::gates * plan.rounded.inputs,
                         plan.rounded.inputs, vectors, rows, m.pre + offset, plan.ld_pre, plan.bias + offset);
      } else {
        Tile<T> tile = input_tile(m, first, vectors);
        multiply_all<T, Factors::rows>(rows, vectors, tile, far,
                                       [&](std::ptrdiff_t r) { return m.pre + r * plan.ld_pre; });
      }
      if constexpr (Cell::slots > Cell::gates) {
        constexpr int late = Cell::whole_rows ? Cell::gates : Cell::slots - 1;
        for (int slot = late; slot < Cell::slots; ++slot) {
          const Vec<T> start = load(plan.bias + first * Cell::slots + slot * L);
          T* place = m.pre + first * Cell::slots + slot * L;
          for (std::int64_t row = 0; row < rows; ++row, place += plan.ld_pre) store(place, start);
        }
      }
      if (plan.context != nullptr) {
        T* place = m.pre + first * Cell::slots + bias_slot<Cell> * L;
        for (int i = 0; i < steps; ++i) {
          for (std::int64_t row = 0; row < rows_at[i]; ++row, place += plan.ld_pre) {
            const T* own = plan.context + (m.share.id(row) * plan.padded + first) * Cell::gates;
            for (int v = 0; v < vectors; ++v) store<T>(place + v * L, load(place + v * L) + load(own + v * L));
          }
        }
      }
    }
  }

  // A panel of W_ih, and the first rows of x.
  static Tile<T> input_tile(const Member& m, std::ptrdiff_t first, int vectors) {
    const Plan& plan = *m.plan;
    Tile<T> tile{};
    tile.a = m.x_rows;
    tile.lda = plan.ld_x;
    tile.depth = plan.inputs;
    tile.panel = plan.w_ih + first * Cell::gates * plan.inputs;
    tile.ldp = vectors * L;
    tile.offset = first * Cell::slots + Cell::input_slot * L;
    tile.columns = vectors * L;
    tile.start = plan.bias + tile.offset;
    return tile;
  }

  // What is the same at every step.
  static StepForward<T> step_of(const Member& m) {
    const Plan& plan = *m.plan;
    StepForward<T> s{};
    s.hidden = plan.hidden;
    s.token = m.token;
    s.ld_pre = plan.ld_pre;
    s.ld_h = plan.projects ? plan.ld_c : plan.ld_h;
    s.c = m.c;
    s.ld_c = plan.ld_c;
    s.y = plan.projects ? nullptr : plan.y;
    s.ld_y = plan.ld_y;
    s.c_out = static_cast<T*>(plan.direction->c);
    s.gates = static_cast<T*>(plan.direction->gates);
    s.choices = &plan.choices;
    s.own = plan.own;
    s.padded = plan.padded;
    s.reset = m.factor;
    s.ld_reset = plan.ld_c;
    s.candidate = m.candidate;
    s.ld_candidate = plan.ld_c;
    return s;
  }

  // `joined`: pre does not hold the input's product yet.
  static void step(const Member& m, StepForward<T>& s, std::int64_t t, std::int64_t rows, T* pre, bool joined) {
    const Plan& plan = *m.plan;
    T* const h_next = m.h + ((t + 1) % 2) * m.turn;
    for (std::int64_t row = 0; row < rows; ++row) m.token[row] = m.share.token(row, t, plan.reverse);
    const bool resets = plan.sequences.reset != nullptr;
    if (resets) restart(m, t, rows, state_columns(m), m.h + (t % 2) * m.turn, plan.ld_h);
    if (plan.rounds()) round_h(m, t, rows);
    m.barrier->wait(m.unit, m.units);
    // Only now, as others may have read whole rows of c in the step before.
    if (resets && plan.direction->c_n != nullptr) restart(m, t, rows, unit_columns(m), m.c, plan.ld_c);
    s.pre = pre;
    s.h_prev = m.h + (t % 2) * m.turn;
    // What the others wrote comes from their caches: all lines at once.
    for (std::int64_t row = 0; m.units > 1 && row < rows; ++row) prefetch(s.h_prev + row * plan.ld_h, plan.state);
    s.h_next = plan.projects ? m.factor : h_next;
    if (plan.rounds()) {
      rounded_gates_phase(m, s, m.rounded_h + (t % 2) * m.rounded_turn, rows);
    } else if constexpr (same_slots<Cell> || staggered<Cell>) {
      joined ? joined_phase(m, s, rows) : gates_phase(m, s, rows);
    } else {
      gates_phase(m, s, rows);
    }
    if constexpr (Cell::whole_rows) row_parts(m, s, rows);
    if (has_second(plan)) {
      if (plan.rounds()) round_factor(m, rows);
      m.barrier->wait(m.unit, m.units);
      second_phase(m, s, h_next, rows);
    }
  }

  // Zeros in the rows of a state before this step where a flag says so; each thread does its own columns.
  static void restart(const Member& m, std::int64_t t, std::int64_t rows, Range own, T* state, std::ptrdiff_t ld) {
    for (std::int64_t row = 0; row < rows; ++row) {
      if (m.share.restarts(row, t, m.plan->reverse)) copy_columns<T>(nullptr, own, state + row * ld);
    }
  }

  // What the products of this step read, each thread its own columns.
  static void round_h(const Member& m, std::int64_t t, std::int64_t rows) {
    const Plan& plan = *m.plan;
    const T* h = m.h + (t % 2) * m.turn;
    Bfloat16* to = m.rounded_h + (t % 2) * m.rounded_turn;
    const Range own = state_columns(m);
    for (std::int64_t row = 0; row < rows; ++row, h += plan.ld_h, to += plan.rounded.ld_h) {
      round_row(h, own, plan.state, to);
    }
  }

  static void round_factor(const Member& m, std::int64_t rows) {
    const Plan& plan = *m.plan;
    const Range own = unit_columns(m);
    for (std::int64_t row = 0; row < rows; ++row) {
      round_row(m.factor + row * plan.ld_c, own, plan.hidden, m.rounded_factor + row * plan.rounded.ld_factor);
    }
  }

  static void rounded_gates_phase(const Member& m, const StepForward<T>& s, const Bfloat16* h, std::int64_t rows) {
    const Plan& plan = *m.plan;
    constexpr std::int64_t most = 2 * tile_rows;
    for (std::ptrdiff_t panel = m.gates.begin; panel < m.gates.end; ++panel) {
      const std::ptrdiff_t first = plan.gate_panels.first(panel);
      const std::ptrdiff_t last = first + plan.gate_panels.columns_of(panel);
      const int vectors = Cell::recurrent * plan.gate_panels.vectors_of(panel);
      const Bfloat16* const weights = plan.rounded.w_hh + first * Cell::recurrent * plan.rounded.state;
      T* const out = s.pre + first * Cell::slots + Cell::recurrent_slot * L;
      for (std::int64_t row = 0; row < rows; row += most) {
        const std::int64_t count = rows - row < most ? rows - row : most;
        multiply_rounded(m, h + row * plan.rounded.ld_h, plan.rounded.ld_h, weights, plan.rounded.state, vectors, count,
                         out + row * plan.ld_pre, plan.ld_pre, nullptr);
        cells(s, row, row + count, first, last);
      }
    }
  }

  static void gates_phase(const Member& m, const StepForward<T>& s, std::int64_t rows) {
    const Plan& plan = *m.plan;
    const bool far = plan.weight_bytes >= far_bytes;
    for (std::ptrdiff_t panel = m.gates.begin; panel < m.gates.end; ++panel) {
      const std::ptrdiff_t first = plan.gate_panels.first(panel);
      const std::ptrdiff_t last = first + plan.gate_panels.columns_of(panel);
      const int vectors = Cell::recurrent * plan.gate_panels.vectors_of(panel);
      Tile<T> tile{};
      tile.a = s.h_prev;
      tile.lda = plan.ld_h;
      tile.depth = plan.state;
      tile.panel = plan.w_hh + first * Cell::recurrent * plan.state;
      tile.ldp = vectors * L;
      tile.offset = first * Cell::slots + Cell::recurrent_slot * L;
      tile.columns = vectors * L;
      multiply_all<T, Factors::rows>(
          rows, vectors, tile, far, [&](std::ptrdiff_t r) { return s.pre + r * plan.ld_pre; },
          [&](std::ptrdiff_t row, std::ptrdiff_t end) { cells(s, row, end, first, last); });
    }
  }

  // Both products at once. A function of its own: a loop that holds both ways is slower for a single row.
  __attribute__((noinline)) static void joined_phase(const Member& m, const StepForward<T>& s, std::int64_t rows) {
    const Plan& plan = *m.plan;
    for (std::ptrdiff_t panel = m.gates.begin; panel < m.gates.end; ++panel) {
      const std::ptrdiff_t first = plan.gate_panels.first(panel);
      const std::ptrdiff_t last = first + plan.gate_panels.columns_of(panel);
      const int vectors = Cell::gates * plan.gate_panels.vectors_of(panel);
      const T* const weights = plan.w_hh + first * Cell::recurrent * plan.state;
      Tile<T> tile = input_tile(m, first, vectors);
      const Run runs[2] = {{0, 0, plan.inputs}, {s.h_prev - m.x_rows, weights - tile.panel, plan.state}};
      each_tile<T, Factors::rows>(
          rows, staggered<Cell> ? vectors + 1 : vectors, tile,
          [&](std::ptrdiff_t r) { return s.pre + r * plan.ld_pre; },
          [&](int count) {
            if constexpr (staggered<Cell>) {
              multiply_staggered<T, Factors::rows, Cell::gates>(count, tile, runs);
            } else {
              multiply_runs<T, Factors::rows>(count, vectors, tile, runs, 2, false);
            }
          },
          [&](std::ptrdiff_t row, std::ptrdiff_t end) { cells(s, row, end, first, last); });
    }
  }

  // The pointwise part of rows and units.
  static void cells(const StepForward<T>& s, std::ptrdiff_t row, std::ptrdiff_t end, std::ptrdiff_t first,
                    std::ptrdiff_t last) {
    if constexpr (!Cell::whole_rows) {
      for (; row < end; ++row) {
        for (std::ptrdiff_t unit = first; unit < last; unit += L) {
          Cell::template forward<T>(s, row, unit, last - unit < L ? static_cast<int>(last - unit) : L);
        }
      }
    }
  }

  // The same where each part reads what all threads of the group have written of a row.
  static void row_parts(const Member& m, const StepForward<T>& s, std::int64_t rows) {
    const Range own = unit_columns(m);
    for (int part = 0; part < Cell::forward_parts; ++part) {
      m.barrier->wait(m.unit, m.units);
      for (std::int64_t row = 0; row < rows; ++row) Cell::template forward<T>(s, part, row, own.begin, own.end);
    }
  }

  static void second_phase(const Member& m, const StepForward<T>& s, T* h_next, std::int64_t rows) {
    const Plan& plan = *m.plan;
    const T zeros[max_vectors * L] = {};
    T* const out = plan.projects ? h_next : m.candidate;
    const std::ptrdiff_t ld = plan.projects ? plan.ld_h : plan.ld_c;
    const bool far = is_far<T>(plan.state_panels.padded() * plan.hidden);
    for (std::ptrdiff_t panel = m.second.begin; panel < m.second.end; ++panel) {
      const int vectors = plan.state_panels.vectors_of(panel);
      if (plan.rounds()) {
        const std::ptrdiff_t offset = plan.state_panels.first(panel), depth = plan.rounded.hidden;
        multiply_rounded(m, m.rounded_factor, plan.rounded.ld_factor, plan.rounded.w_second + offset * depth, depth, vectors,
                         rows, out + offset, ld, zeros);
        continue;
      }
      Tile<T> tile{};
      tile.a = m.factor;
      tile.lda = plan.ld_c;
      tile.depth = plan.hidden;
      tile.offset = plan.state_panels.first(panel);
      tile.panel = plan.w_second + tile.offset * plan.hidden;
      tile.ldp = vectors * L;
      tile.columns = vectors * L;
      tile.start = zeros;
      multiply_all<T, Factors::rows>(rows, vectors, tile, far, [&](std::ptrdiff_t r) { return out + r * ld; });
    }
    const Range own = state_columns(m);
    for (std::int64_t row = 0; row < rows; ++row) {
      if constexpr (Cell::before) {
        for (std::ptrdiff_t unit = own.begin; unit < own.end; unit += L) {
          Cell::template finish<T>(s, row, unit, own.end - unit < L ? static_cast<int>(own.end - unit) : L);
        }
      } else {
        copy_columns(h_next + row * plan.ld_h, own, plan.y + m.token[row] * plan.ld_y);
      }
    }
  }
};

template <class T, class Cell>
void forward_of(const ForwardCall& call, const Sequences& sequences) {
  const int directions = call.shape.directions;
  if constexpr (!Cell::general) {
    if (OneStep<T, Cell>::takes(call, sequences)) {
      for (int d = 0; d < directions; ++d) OneStep<T, Cell>::run(call, d);
      return;
    }
  }
  ForwardPlan<T> plans[2]{};
  const int barriers_of_one = 1 + call.threads;
  const Barriers barriers(directions * barriers_of_one);
  for (int d = 0; d < directions; ++d) {
    plans[d] = plan_forward<T, Cell>(call, sequences, d);
    plans[d].barrier = barriers.first() + d * barriers_of_one;
  }
  const DividedScratch scratch([&](Pieces& pieces) {
    for (int d = 0; d < directions; ++d) divide<T, Cell>(plans[d], pieces, call.threads);
  });
  auto run = [&](int rank, int size) {
    if (directions == 2 && size % 2 == 0) {
      const int half = size / 2;
      Forward<T, Cell>::run(plans[rank / half], rank % half, half);
      return;
    }
    for (int d = 0; d < directions; ++d) Forward<T, Cell>::run(plans[d], rank, size);
  };
  parallel(call.threads, run);
}

}  // namespace throughtime::TT_ISA
