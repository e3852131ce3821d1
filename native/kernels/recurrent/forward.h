// The forward loop over time. It exists once: a step is a list of phases, each a product and a pointwise
// part, and a cell fills in the pointwise part (cells.h).
//
//   gates   pre += h_{t−1} · W_hhᵀ, then the cell                      (every cell)
//   second  h_t = (what the cell made) · W_hrᵀ, then a copy            (LSTM with a projection)
//           candidate = (r ⊙ h_{t−1}) · W_hnᵀ, then the cell's finish  (reset-before GRU)
//
// The input's product runs ahead for a block of steps that stays in cache. Sequences are sorted by length,
// so those alive at a step come first; each group of threads has its own (grid.h).
#pragma once

#include "kernels/parallel.h"
#include "kernels/recurrent/cells/step.h"
#include "kernels/recurrent/grid.h"
#include "kernels/scratch.h"

namespace throughtime::TT_ISA {

inline constexpr int most_block_steps = 256;

template <class T>
struct ForwardPlan {
  // Dimensions, see recurrent.h; `padded` sizes are in whole vectors.
  std::ptrdiff_t inputs, hidden, state, padded;
  bool reverse;
  Sequences sequences;
  const T* x;
  T* y;
  std::ptrdiff_t ld_y;
  const ForwardDirection* direction;
  Panels<T> gate_panels;   // over units; of a cell with several gates a panel holds one vector of each
  Panels<T> state_panels;  // over the second product's columns
  bool projects;           // with an LSTM's projection
  const T* second;         // (P, H): the weights of the second product, or null
  Choices<T> choices;
  // Scratch.
  T *w_ih, *w_hh, *w_second;  // packed
  T *bias, *late_bias;     // (padded · gates) what the input's product starts from; GRU: of the last slot
  T* pre;                  // (groups, block rows, ld_pre)
  T* x_rows;               // (threads, block rows, ld_x)
  T* h;                    // (groups, 2, group rows, ld_h): in turns
  T* c;                    // (groups, group rows, ld_c)
  T* factor;               // (groups, group rows, ld_c): what the second product reads
  T* candidate;            // (groups, group rows, ld_c): what it makes of r ⊙ h
  T* peephole;             // (·, padded)
  T* context;              // (B, padded · gates), laid out as the bias
  std::int64_t* token;     // (threads, group rows)
  std::ptrdiff_t ld_pre, ld_x, ld_h, ld_c;
  std::int64_t block_rows;  // of a block, unless a single step has more
  Barrier* barrier;         // [0] of the whole team, [1 + g] of a group
};

// Rows of a block: enough to use each weight often, few enough to stay in cache.
template <class T>
std::int64_t forward_block_rows(std::ptrdiff_t ld_pre) {
  const std::int64_t fit = (std::int64_t{384} << 10) / static_cast<std::int64_t>(ld_pre * sizeof(T));
  return fit < 24 ? 24 : fit > most_block_steps ? most_block_steps : fit;
}

template <class T, class Cell>
struct Forward {
  using Plan = ForwardPlan<T>;
  static constexpr int L = lanes<T>;
  // A panel of a gated cell is one vector of units with all gates; of a plain one, up to four vectors.
  static constexpr int unit_vectors = Cell::gates == 1 ? max_vectors : 1;

  static bool has_second(const Plan& plan) { return plan.second != nullptr; }

  // ------------------------------------------------------------------------------------------- weights

  // `gates` of the weights' gates as one panel.
  static void pack_gates(const Plan& plan, const void* from_weights, std::ptrdiff_t depth, int gates,
                         const int* gate_of_slot, std::ptrdiff_t panel, T* packed) {
    const T* weights = static_cast<const T*>(from_weights);
    const std::ptrdiff_t first = plan.gate_panels.first(panel);
    const std::ptrdiff_t ldp = gates * plan.gate_panels.vectors_of(panel) * L;
    T* const to = packed + first * gates * depth;
    for (int v = 0; v < plan.gate_panels.vectors_of(panel); ++v) {
      const std::ptrdiff_t unit = first + v * L;
      const int count = static_cast<int>(plan.hidden - unit < L ? plan.hidden - unit : L);
      for (int s = 0; s < gates; ++s) {
        const T* from = weights + (gate_of_slot[s] * plan.hidden + unit) * depth;
        pack_transposed(from, depth, count, depth, to + (v * gates + s) * L, ldp);
      }
    }
  }

  // What the preactivations of a panel start from: both biases, but those that meet a gate of their own.
  static void pack_bias(const Plan& plan, std::ptrdiff_t panel) {
    const T* b_ih = static_cast<const T*>(plan.direction->weights.bias_ih);
    const T* b_hh = static_cast<const T*>(plan.direction->weights.bias_hh);
    constexpr bool late = Cell::slots > Cell::gates;
    const std::ptrdiff_t first = plan.gate_panels.first(panel);
    const std::ptrdiff_t end = first + plan.gate_panels.vectors_of(panel) * L;
    for (std::ptrdiff_t unit = first; unit < end; ++unit) {
      const bool real = unit < plan.hidden && b_ih != nullptr;
      for (int s = 0; s < Cell::gates; ++s) {
        const std::ptrdiff_t gate = Cell::input_gate[s] * plan.hidden + unit;
        const bool alone = late && s == 0;
        T* const place = plan.bias + unit / L * L * Cell::gates + s * L + unit % L;
        *place = !real ? T(0) : alone ? b_ih[gate] : b_ih[gate] + b_hh[gate];
        if (alone) plan.late_bias[unit] = real ? b_hh[gate] : T(0);
      }
    }
  }

  static void pack(const Plan& plan, int member, int team) {
    const ForwardDirection& d = *plan.direction;
    for (std::ptrdiff_t panel = member; panel < plan.gate_panels.count(); panel += team) {
      pack_gates(plan, d.weights.ih, plan.inputs, Cell::gates, Cell::input_gate, panel, plan.w_ih);
      pack_gates(plan, d.weights.hh, plan.state, Cell::recurrent, Cell::recurrent_gate, panel, plan.w_hh);
      pack_bias(plan, panel);
    }
    if (plan.context != nullptr) {
      const Range own = part_of(plan.sequences.count, member, team);
      for (std::ptrdiff_t b = own.begin; b < own.end; ++b) pack_context(plan, b);
    }
    if (plan.peephole != nullptr && member == 0) {
      pack_rows(static_cast<const T*>(d.weights.peephole), plan.hidden, plan.hidden, Cell::peepholes,
                plan.peephole, plan.padded);
    }
    if (!has_second(plan)) return;
    for (std::ptrdiff_t panel = member; panel < plan.state_panels.count(); panel += team) {
      const std::ptrdiff_t first = plan.state_panels.first(panel);
      const std::ptrdiff_t ldp = plan.state_panels.vectors_of(panel) * L;
      for (int v = 0; v < plan.state_panels.vectors_of(panel); ++v) {
        const std::ptrdiff_t column = first + v * L;
        const int count = static_cast<int>(plan.state - column < L ? plan.state - column : L);
        const T* from = plan.second + column * plan.hidden;
        pack_transposed(from, plan.hidden, count, plan.hidden, plan.w_second + first * plan.hidden + v * L, ldp);
      }
    }
  }

  // What every step of a sequence adds to its preactivations.
  static void pack_context(const Plan& plan, std::ptrdiff_t sequence) {
    const T* from = static_cast<const T*>(plan.direction->context) + sequence * Cell::gates * plan.hidden;
    T* const to = plan.context + sequence * plan.padded * Cell::gates;
    for (std::ptrdiff_t unit = 0; unit < plan.padded; ++unit) {
      for (int s = 0; s < Cell::gates; ++s) {
        to[unit / L * L * Cell::gates + s * L + unit % L] =
            unit < plan.hidden ? from[Cell::input_gate[s] * plan.hidden + unit] : T(0);
      }
    }
  }

  // --------------------------------------------------------------------------------------- one thread

  struct Member {
    const Plan* plan;
    Share share;
    int unit, units;          // this thread and how many of its group
    Range gates, second;      // its panels
    Barrier* barrier;         // of the group
    T *pre, *x_rows, *h, *c, *factor, *candidate;
    std::int64_t* token;
    std::ptrdiff_t turn;      // from one half of h to the other
    std::int64_t block_rows;
  };

  static void run(const Plan& plan, int member, int team) {
    pack(plan, member, team);
    plan.barrier[0].wait(team);
    const Grid grid = make_grid(team, plan.sequences.count, plan.gate_panels.count());
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
    m.x_rows = plan.x_rows + member * m.block_rows * plan.ld_x;
    m.h = plan.h + 2 * group * m.turn;
    m.c = plan.c + group * rows * plan.ld_c;
    m.factor = plan.factor + group * rows * plan.ld_c;
    m.candidate = plan.candidate + group * rows * plan.ld_c;
    m.token = plan.token + member * rows;
    loop(m);
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
      int steps = 0;
      std::int64_t rows = 0;
      while (alive > 0 && steps < most_block_steps && (steps == 0 || rows + alive <= m.block_rows)) {
        start[steps] = rows;
        rows_at[steps] = alive;
        rows += alive;
        ++steps;
        while (alive > 0 && m.share.length(alive - 1) <= t + steps) --alive;
      }
      project_inputs(m, t, steps, start, rows_at, rows);
      for (int i = 0; i < steps; ++i) {
        const std::int64_t left = i + 1 < steps ? rows_at[i + 1] : alive;
        step(m, s, t + i, rows_at[i], m.pre + start[i] * plan.ld_pre);
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

  // ------------------------------------------------------------------------------------------- phases

  // pre = bias + x · W_ihᵀ for the rows of a block.
  static void project_inputs(const Member& m, std::int64_t t, int steps, const std::int64_t* start,
                             const std::int64_t* rows_at, std::int64_t rows) {
    const Plan& plan = *m.plan;
    const std::size_t bytes = sizeof(T) * static_cast<std::size_t>(plan.inputs);
    for (int i = 0; i < steps; ++i) {
      for (std::int64_t row = 0; row < rows_at[i]; ++row) {
        if (row + 4 < rows_at[i]) {
          prefetch(plan.x + m.share.token(row + 4, t + i, plan.reverse) * plan.inputs, plan.inputs);
        }
        const T* from = plan.x + m.share.token(row, t + i, plan.reverse) * plan.inputs;
        std::memcpy(m.x_rows + (start[i] + row) * plan.ld_x, from, bytes);
      }
    }
    for (std::ptrdiff_t panel = m.gates.begin; panel < m.gates.end; ++panel) {
      const std::ptrdiff_t first = plan.gate_panels.first(panel);
      const int vectors = Cell::gates * plan.gate_panels.vectors_of(panel);
      Tile<T> tile{};
      tile.a = m.x_rows;
      tile.lda = plan.ld_x;
      tile.depth = plan.inputs;
      tile.panel = plan.w_ih + first * Cell::gates * plan.inputs;
      tile.ldp = vectors * L;
      tile.offset = first * Cell::slots + Cell::input_slot * L;
      tile.columns = vectors * L;
      tile.start = plan.bias + first * Cell::gates;
      multiply_all<T, Factors::rows>(rows, vectors, tile, [&](std::ptrdiff_t r) { return m.pre + r * plan.ld_pre; });
      if (plan.context != nullptr) {
        T* place = m.pre + tile.offset;
        for (int i = 0; i < steps; ++i) {
          for (std::int64_t row = 0; row < rows_at[i]; ++row, place += plan.ld_pre) {
            const T* own = plan.context + (m.share.id(row) * plan.padded + first) * Cell::gates;
            for (int v = 0; v < vectors; ++v) store<T>(place + v * L, load(place + v * L) + load(own + v * L));
          }
        }
      }
      if constexpr (Cell::slots > Cell::gates) {
        const Vec<T> late = load(plan.late_bias + first);
        T* place = m.pre + first * Cell::slots + (Cell::slots - 1) * L;
        for (std::int64_t row = 0; row < rows; ++row, place += plan.ld_pre) store(place, late);
      }
    }
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
    s.peephole = plan.peephole;
    s.padded = plan.padded;
    s.reset = m.factor;
    s.ld_reset = plan.ld_c;
    s.candidate = m.candidate;
    s.ld_candidate = plan.ld_c;
    return s;
  }

  static void step(const Member& m, StepForward<T>& s, std::int64_t t, std::int64_t rows, T* pre) {
    const Plan& plan = *m.plan;
    T* const h_next = m.h + ((t + 1) % 2) * m.turn;
    for (std::int64_t row = 0; row < rows; ++row) m.token[row] = m.share.token(row, t, plan.reverse);
    m.barrier->wait(m.units);
    s.pre = pre;
    s.h_prev = m.h + (t % 2) * m.turn;
    s.h_next = plan.projects ? m.factor : h_next;
    gates_phase(m, s, rows);
    if (has_second(plan)) {
      m.barrier->wait(m.units);
      second_phase(m, s, h_next, rows);
    }
  }

  static void gates_phase(const Member& m, const StepForward<T>& s, std::int64_t rows) {
    const Plan& plan = *m.plan;
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
          rows, vectors, tile, [&](std::ptrdiff_t r) { return s.pre + r * plan.ld_pre; },
          [&](std::ptrdiff_t row, std::ptrdiff_t end) {
            for (; row < end; ++row) {
              for (std::ptrdiff_t unit = first; unit < last; unit += L) {
                Cell::template forward<T>(s, row, unit, last - unit < L ? static_cast<int>(last - unit) : L);
              }
            }
          });
    }
  }

  static void second_phase(const Member& m, const StepForward<T>& s, T* h_next, std::int64_t rows) {
    const Plan& plan = *m.plan;
    const T zeros[max_vectors * L] = {};
    T* const out = plan.projects ? h_next : m.candidate;
    const std::ptrdiff_t ld = plan.projects ? plan.ld_h : plan.ld_c;
    for (std::ptrdiff_t panel = m.second.begin; panel < m.second.end; ++panel) {
      const int vectors = plan.state_panels.vectors_of(panel);
      Tile<T> tile{};
      tile.a = m.factor;
      tile.lda = plan.ld_c;
      tile.depth = plan.hidden;
      tile.offset = plan.state_panels.first(panel);
      tile.panel = plan.w_second + tile.offset * plan.hidden;
      tile.ldp = vectors * L;
      tile.columns = vectors * L;
      tile.start = zeros;
      multiply_all<T, Factors::rows>(rows, vectors, tile, [&](std::ptrdiff_t r) { return out + r * ld; });
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

// -------------------------------------------------------------------------------------------- the call

template <class T, class Cell>
ForwardPlan<T> plan_forward(const ForwardCall& call, const Sequences& sequences, int number) {
  const Shape& shape = call.shape;
  ForwardPlan<T> plan{};
  plan.inputs = shape.inputs;
  plan.hidden = shape.hidden;
  plan.state = shape.state;
  plan.padded = round_up(shape.hidden, lanes<T>);
  plan.reverse = number == 1;
  plan.sequences = sequences;
  plan.x = static_cast<const T*>(call.x);
  plan.y = static_cast<T*>(call.y) + number * plan.state;
  plan.ld_y = shape.directions * plan.state;
  plan.direction = &call.direction[number];
  plan.gate_panels = {plan.hidden, Forward<T, Cell>::unit_vectors};
  plan.state_panels = {plan.state, max_vectors};
  plan.projects = plan.direction->weights.hr != nullptr;
  plan.second = static_cast<const T*>(plan.direction->weights.hr);
  if constexpr (Cell::before) {
    const T* weights = static_cast<const T*>(plan.direction->weights.hh);
    plan.second = weights + Cell::candidate_gate * plan.hidden * plan.state;
    plan.state_panels.vectors = fair_vectors<T>(plan.state, sequences.count, call.threads);
  }
  if constexpr (Cell::general) plan.choices = choices_of<T>(shape.options);
  plan.ld_pre = row_length<T>(plan.padded * Cell::slots);
  plan.ld_x = row_length<T>(plan.inputs);
  plan.ld_h = row_length<T>(plan.state);
  plan.ld_c = row_length<T>(plan.hidden);
  plan.block_rows = forward_block_rows<T>(plan.ld_pre);
  return plan;
}

template <class T, class Cell>
void divide(ForwardPlan<T>& plan, Pieces& pieces, int threads) {
  const ForwardDirection& d = *plan.direction;
  const bool second = plan.second != nullptr;
  const std::int64_t batch = plan.sequences.count;
  // Groups round their rows up; where sequences are few, every thread reads all rows of its group.
  const std::int64_t rows = batch + threads;
  const std::int64_t rows_by_thread = batch < 2 * threads ? threads * batch : rows;
  plan.w_ih = pieces.take<T>(plan.padded * Cell::gates * plan.inputs);
  plan.w_hh = pieces.take<T>(plan.padded * Cell::recurrent * plan.state);
  plan.w_second = pieces.take<T>(second ? plan.state_panels.padded() * plan.hidden : 0);
  plan.bias = pieces.take<T>(plan.padded * Cell::gates);
  plan.late_bias = pieces.take<T>(plan.padded);
  plan.pre = pieces.take<T>((threads * plan.block_rows + rows) * plan.ld_pre);
  plan.x_rows = pieces.take<T>((threads * plan.block_rows + rows_by_thread) * plan.ld_x);
  plan.h = pieces.take<T>(2 * rows * plan.ld_h);
  plan.c = pieces.take<T>(rows * plan.ld_c);
  plan.factor = pieces.take<T>(second ? rows * plan.ld_c : 0);
  plan.candidate = pieces.take<T>(Cell::before ? rows * plan.ld_c : 0);
  plan.peephole = d.weights.peephole == nullptr ? nullptr : pieces.take<T>(Cell::peepholes * plan.padded);
  plan.context = d.context == nullptr ? nullptr : pieces.take<T>(batch * plan.padded * Cell::gates);
  plan.token = pieces.take<std::int64_t>(rows_by_thread);
}

template <class T, class Cell>
struct ForwardTask {
  ForwardPlan<T> plans[2];
  int directions;

  static void body(void* context, int rank, int size) {
    const ForwardTask& task = *static_cast<ForwardTask*>(context);
    if (task.directions == 2 && size % 2 == 0) {
      const int half = size / 2;
      Forward<T, Cell>::run(task.plans[rank / half], rank % half, half);
      return;
    }
    for (int d = 0; d < task.directions; ++d) Forward<T, Cell>::run(task.plans[d], rank, size);
  }
};

template <class T, class Cell>
void forward_of(const ForwardCall& call, const Sequences& sequences) {
  ForwardTask<T, Cell> task{};
  Barrier barriers[2][1 + most_threads];
  task.directions = call.shape.directions;
  for (int d = 0; d < task.directions; ++d) {
    task.plans[d] = plan_forward<T, Cell>(call, sequences, d);
    task.plans[d].barrier = barriers[d];
  }
  Pieces measure(nullptr);
  for (int d = 0; d < task.directions; ++d) divide<T, Cell>(task.plans[d], measure, call.threads);
  const Scratch scratch(measure.used());
  Pieces pieces(scratch.data());
  for (int d = 0; d < task.directions; ++d) divide<T, Cell>(task.plans[d], pieces, call.threads);
  parallel(call.threads, &ForwardTask<T, Cell>::body, &task);
}

}  // namespace throughtime::TT_ISA
