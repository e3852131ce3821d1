// The backward loop over time: the phases of forward.h in reverse, a block of steps at a time.
//
//   gather     x and h_{t−1} of the block's rows, each into one matrix
//   steps      from the last to the first: the cell's gradient, then dh_{t−1} += dg · W_hh. With a projection
//              before it d(o ⊙ tanh c) = dh · W_hr; of a reset-before GRU in the middle d(r ⊙ h_{t−1}) = dn · W_hn
//   products   dx = dg · W_ih for the rows of the block, and dW += dgᵀ · (x, h_{t−1})
//
// So the gradients of the preactivations never exist for all tokens at once. In the first two parts each group
// of threads has rows of its own, side by side; the products are dealt to all threads anew.
#pragma once

#include "kernels/parallel.h"
#include "kernels/recurrent/cells/step.h"
#include "kernels/recurrent/grid.h"
#include "kernels/scratch.h"

namespace throughtime::TT_ISA {

inline constexpr int most_backward_steps = 1024;
inline constexpr int rows_ahead = 2;  // of the one at work, for which memory is asked

template <class T>
struct BackwardPlan {
  std::ptrdiff_t inputs, hidden, state, padded;
  bool reverse, adds_to_dx, projects;
  Sequences sequences;
  const BackwardCall* call;
  const BackwardDirection* direction;
  const T *y, *dy;
  std::ptrdiff_t ld_y;
  Panels<T> state_panels, hidden_panels, input_panels;  // columns of W_hh, the second product's weights, W_ih
  const T* second;  // (P, H): W_hr or W_hn, or null
  Choices<T> choices;
  std::int64_t block_rows;
  // Scratch. Matrices by block row: dg (·, ld_dg), x (·, ld_x), h_prev (·, ld_h), with a projection dh_total
  // (·, ld_h), and factor (·, ld_c), what the second product read. By sequence, group after group: dh (·, ld_h),
  // dc (·, ld_c), d_factor (·, ld_c), d_context (·, gates · padded). By group: dpeephole (·, padded).
  T *w_ih, *w_hh, *w_second;
  T *dg, *x_rows, *h_prev, *dh_total, *factor;
  T *dh, *dc, *d_factor, *d_context;
  T *peephole, *dpeephole;
  T* factors;  // (threads, 2, batch): by how much a gradient that passes on is scaled
  T gradient_value, gradient_norm;  // bounds; infinity for none
  T* nothing;                    // a row of zeros
  std::int64_t* token;           // by block row: its token's row
  std::int64_t* token_before;    // by block row: of the token before, or −1
  const T** c_start;             // by sequence, as dh
  std::ptrdiff_t ld_dg, ld_x, ld_h, ld_c;
  Barrier* barrier;
};

// Rows of a block: long sums for the weights' gradients, and matrices that stay in cache.
inline std::int64_t backward_block_rows(std::size_t row_bytes) {
  const std::int64_t fit = static_cast<std::int64_t>((std::size_t{1} << 20) / row_bytes);
  return fit < 128 ? 128 : fit > most_backward_steps ? most_backward_steps : fit;
}

template <class T, class Cell>
struct Backward {
  using Plan = BackwardPlan<T>;
  static constexpr int L = lanes<T>;

  // ------------------------------------------------------------------------------------------- weights

  // Gate matrices (·, N) as panels over N whose rows are `gates` slots of a dg row.
  static void pack_gates(const Plan& plan, const void* weights, int gates, const int* gate_of_slot,
                         const Panels<T>& panels, std::ptrdiff_t panel, T* packed) {
    const std::ptrdiff_t n = panels.first(panel), ldp = panels.vectors_of(panel) * L;
    T* to = packed + n * gates * plan.padded;
    for (int s = 0; s < gates; ++s) {
      const T* from = static_cast<const T*>(weights) + gate_of_slot[s] * plan.hidden * panels.columns + n;
      pack_rows(from, panels.columns, panels.columns_of(panel), plan.hidden, to, ldp);
      to += plan.hidden * ldp;
      const std::ptrdiff_t empty = (plan.padded - plan.hidden) * ldp;
      for (std::ptrdiff_t i = 0; i < empty; ++i) to[i] = T(0);
      to += empty;
    }
  }

  static void pack(const Plan& plan, int member, int team) {
    const Weights& weights = plan.direction->weights;
    for (std::ptrdiff_t panel = member; panel < plan.state_panels.count(); panel += team) {
      pack_gates(plan, weights.hh, Cell::recurrent, Cell::recurrent_gate, plan.state_panels, panel, plan.w_hh);
    }
    if (plan.call->dx != nullptr) {
      for (std::ptrdiff_t panel = member; panel < plan.input_panels.count(); panel += team) {
        pack_gates(plan, weights.ih, Cell::gates, Cell::input_gate, plan.input_panels, panel, plan.w_ih);
      }
    }
    if (plan.peephole != nullptr && member == 0) {
      pack_rows(static_cast<const T*>(weights.peephole), plan.hidden, plan.hidden, Cell::peepholes, plan.peephole,
                plan.padded);
    }
    if (plan.second == nullptr) return;
    for (std::ptrdiff_t panel = member; panel < plan.hidden_panels.count(); panel += team) {
      const std::ptrdiff_t n = plan.hidden_panels.first(panel);
      pack_rows(plan.second + n, plan.hidden, plan.hidden_panels.columns_of(panel), plan.state,
                plan.w_second + n * plan.state, plan.hidden_panels.vectors_of(panel) * L);
    }
  }

  // --------------------------------------------------------------------------------------- one thread

  struct Member {
    const Plan* plan;
    int number, team;
    Grid grid;
    int group, unit;     // which thread of which group; a group beyond the grid only helps with the products
    Share share;         // the group's sequences
    std::int64_t first;  // of its rows in dh, dc, …
    Range state_own;     // its panels of W_hh
    Range hidden_own;    // its panels of the second product's weights
    Barrier* barrier;    // of the group

    bool steps() const { return group < grid.groups; }
  };

  static void run(const Plan& plan, int number, int team) {
    pack(plan, number, team);
    Member m{};
    m.plan = &plan;
    m.number = number;
    m.team = team;
    m.grid = make_grid(team, plan.sequences.count, plan.state_panels.count());
    m.group = number / m.grid.units;
    m.unit = number % m.grid.units;
    if (m.steps()) {
      m.share = share_of(plan.sequences, m.group, m.grid.groups);
      m.first = m.group * ((plan.sequences.count + m.grid.groups - 1) / m.grid.groups);
      m.state_own = part_of(plan.state_panels.count(), m.unit, m.grid.units);
      m.hidden_own = part_of(plan.hidden_panels.count(), m.unit, m.grid.units);
      m.barrier = plan.barrier + 1 + m.group;
    }
    plan.barrier[0].wait(team);  // the weights are packed
    if (plan.dpeephole != nullptr && m.steps()) {
      const Range own = unit_columns(m);
      for (int p = 0; p < Cell::peepholes; ++p) {
        for (std::ptrdiff_t u = own.begin; u < round_up(own.end, L); ++u) peephole_sum(m)[p * plan.padded + u] = T(0);
      }
    }
    loop(m);
  }

  static void loop(const Member& m) {
    const Plan& plan = *m.plan;
    const Sequences& all = plan.sequences;
    std::int64_t t = all.count == 0 ? 0 : all.length[0];  // steps below t are left
    bool first_block = true;
    std::int64_t alive = 0, joined = 0;
    std::int64_t start[most_backward_steps], rows_at[most_backward_steps];
    while (t > 0) {
      // The same steps in every thread.
      int steps = 0;
      std::int64_t rows = 0;
      for (; steps < most_backward_steps && steps < t; ++steps) {
        std::int64_t n = alive;
        while (n < all.count && all.length[n] > t - 1 - steps) ++n;
        if (steps > 0 && rows + n > plan.block_rows) break;
        alive = n;
        start[steps] = rows;
        rows_at[steps] = n;
        rows += n;
      }
      if (m.steps()) {
        for (int i = 0; i < steps; ++i) {
          start[i] += alive_before(all, m.group, m.grid.groups, rows_at[i]);
          rows_at[i] = m.share.alive_of(rows_at[i]);
        }
        gather(m, t, steps, start, rows_at);
        m.barrier->wait(m.grid.units);
        for (int i = 0; i < steps; ++i) {
          join(m, joined, rows_at[i]);
          joined = rows_at[i];
          step(m, start[i], rows_at[i]);
        }
      }
      plan.barrier[0].wait(m.team);
      input_gradient(m, rows);
      weight_gradients(m, rows, first_block);
      first_block = false;
      t -= steps;
      if (t > 0) plan.barrier[0].wait(m.team);
    }
    if (first_block) zero_weight_gradients(m);
    if (m.steps()) finish(m, joined);
    if (plan.dpeephole != nullptr) {
      plan.barrier[0].wait(m.team);
      if (m.number == 0) add_peepholes(m);
    }
  }

  // The sum of the group's own sequences.
  static T* peephole_sum(const Member& m) {
    return m.plan->dpeephole + m.group * Cell::peepholes * m.plan->padded;
  }

  static void add_peepholes(const Member& m) {
    const Plan& plan = *m.plan;
    T* const to = static_cast<T*>(plan.direction->dpeephole);
    if (to == nullptr) return;
    for (int p = 0; p < Cell::peepholes; ++p) {
      for (std::ptrdiff_t u = 0; u < plan.hidden; ++u) {
        T sum = T(0);
        for (int group = 0; group < m.grid.groups; ++group) {
          sum += plan.dpeephole[(group * Cell::peepholes + p) * plan.padded + u];
        }
        to[p * plan.hidden + u] = sum;
      }
    }
  }

  // What the block's rows of a group read of the caller's arrays: step i has rows_at[i] of them from start[i].
  static void gather(const Member& m, std::int64_t t, int steps, const std::int64_t* start,
                     const std::int64_t* rows_at) {
    const Plan& plan = *m.plan;
    const bool weights = plan.direction->dw_ih != nullptr;
    const std::size_t x_bytes = sizeof(T) * static_cast<std::size_t>(plan.inputs);
    const std::size_t h_bytes = sizeof(T) * static_cast<std::size_t>(plan.state);
    const T* x = static_cast<const T*>(plan.call->x);
    for (int i = m.unit; i < steps; i += m.grid.units) {
      const std::int64_t time = t - 1 - i;
      for (std::int64_t r = 0; r < rows_at[i]; ++r) {
        if (r + 4 < rows_at[i]) {
          if (weights) prefetch(x + m.share.token(r + 4, time, plan.reverse) * plan.inputs, plan.inputs);
          if (time > 0) prefetch(plan.y + m.share.token(r + 4, time - 1, plan.reverse) * plan.ld_y, plan.state);
        }
        const std::int64_t row = start[i] + r;
        const std::int64_t token = m.share.token(r, time, plan.reverse);
        plan.token[row] = token;
        plan.token_before[row] = time == 0 ? -1 : m.share.token(r, time - 1, plan.reverse);
        const T* h = time > 0 ? plan.y + plan.token_before[row] * plan.ld_y
                              : or_nothing(m, row_of(plan.direction->h0, m.share.id(r), plan.state));
        std::memcpy(plan.h_prev + row * plan.ld_h, h, h_bytes);
        if (weights) std::memcpy(plan.x_rows + row * plan.ld_x, x + token * plan.inputs, x_bytes);
        if (time == 0) {
          plan.c_start[m.first + r] = or_nothing(m, row_of(plan.direction->c0, m.share.id(r), plan.hidden));
        }
      }
    }
  }

  static const T* or_nothing(const Member& m, const T* row) { return row == nullptr ? m.plan->nothing : row; }

  // ------------------------------------------------------------------------------------------- steps

  static Range unit_columns(const Member& m) {
    return m.plan->projects ? columns_of(m.plan->hidden_panels, m.hidden_own)
                            : columns_of(m.plan->state_panels, m.state_own);
  }
  static Range state_columns(const Member& m) { return columns_of(m.plan->state_panels, m.state_own); }

  // Row `number` of a (B, ·) matrix that may be missing.
  static const T* row_of(const void* matrix, std::int64_t number, std::ptrdiff_t ld) {
    return matrix == nullptr ? nullptr : static_cast<const T*>(matrix) + number * ld;
  }

  // Rows before … now have their last step next: the gradient of their final state comes in.
  static void join(const Member& m, std::int64_t before, std::int64_t now) {
    const Plan& plan = *m.plan;
    const BackwardDirection& d = *plan.direction;
    for (std::int64_t row = before; row < now; ++row) {
      const std::int64_t place = m.first + row, id = m.share.id(row);
      copy_columns(row_of(d.dh_n, id, plan.state), state_columns(m), plan.dh + place * plan.ld_h);
      const Range own = unit_columns(m);
      for (int g = 0; plan.d_context != nullptr && g < Cell::gates; ++g) {
        const Range whole{own.begin, round_up(own.end, L)};
        copy_columns<T>(nullptr, whole, plan.d_context + (place * Cell::gates + g) * plan.padded);
      }
      if (d.c == nullptr) continue;
      copy_columns(row_of(d.dc_n, id, plan.hidden), own, plan.dc + place * plan.ld_c);
      if (own.begin < own.end && own.end == plan.hidden) {
        for (std::ptrdiff_t u = plan.hidden; u < plan.padded; ++u) plan.dc[place * plan.ld_c + u] = T(0);
      }
    }
  }

  // One step of the group's rows, `rows` of them from block row `first` on.
  static void step(const Member& m, std::int64_t first, std::int64_t rows) {
    const Plan& plan = *m.plan;
    const BackwardDirection& d = *plan.direction;
    StepBackward<T> s{};
    s.hidden = plan.hidden;
    s.padded = plan.padded;
    s.token = plan.token + first;
    s.token_before = plan.token_before + first;
    s.ld_dh = plan.projects ? plan.ld_c : plan.ld_h;
    s.dh = (plan.projects ? plan.d_factor : plan.dh) + m.first * s.ld_dh;
    s.ld_dc = plan.ld_c;
    s.dc = plan.dc + m.first * plan.ld_c;
    s.ld_dg = plan.ld_dg;
    s.dg = plan.dg + first * plan.ld_dg;
    s.ld_h_prev = plan.ld_h;
    s.h_prev = plan.h_prev + first * plan.ld_h;
    s.ld_factor = plan.ld_c;
    s.factor = plan.second != nullptr ? plan.factor + first * plan.ld_c : nullptr;
    s.dy = plan.projects ? nullptr : plan.dy;
    s.y = plan.y;
    s.ld_y = plan.ld_y;
    s.c = static_cast<const T*>(d.c);
    s.c_start = plan.c_start + m.first;
    s.gates = static_cast<const T*>(d.gates);
    s.dc_in = static_cast<const T*>(d.dc);
    s.dgates = static_cast<const T*>(d.dgates);
    s.dh_steps = plan.projects ? nullptr : static_cast<T*>(d.dh_steps);
    s.dc_steps = static_cast<T*>(d.dc_steps);
    s.choices = &plan.choices;
    s.peephole = plan.peephole;
    s.dpeephole = plan.dpeephole == nullptr ? nullptr : peephole_sum(m);
    s.d_reset = plan.d_factor + m.first * plan.ld_c;
    s.ld_d_reset = plan.ld_c;
    if (plan.projects) {
      total_gradient(m, s, first, rows);
      m.barrier->wait(m.grid.units);
      product(plan.hidden_panels, m.hidden_own, plan.dh_total + first * plan.ld_h, plan.ld_h, plan.state,
              plan.w_second, s.dh, s.ld_dh, rows, false);
    }
    const Range own = unit_columns(m);
    for (std::int64_t row = 0; row < rows; ++row) {
      if (row + rows_ahead < rows) prefetch_row<T, Cell>(s, row + rows_ahead, own.begin, own.end);
      for (std::ptrdiff_t unit = own.begin; unit < own.end; unit += L) {
        Cell::template backward<T>(s, row, unit, own.end - unit < L ? static_cast<int>(own.end - unit) : L);
      }
    }
    m.barrier->wait(m.grid.units);
    if constexpr (Cell::before) {
      product(plan.hidden_panels, m.hidden_own, s.dg, s.ld_dg, plan.hidden, plan.w_second,
              plan.d_factor + m.first * plan.ld_c, plan.ld_c, rows, false);
      for (std::int64_t row = 0; row < rows; ++row) {
        for (std::ptrdiff_t unit = own.begin; unit < own.end; unit += L) {
          const int count = own.end - unit < L ? static_cast<int>(own.end - unit) : L;
          Cell::template backward_of_reset<T>(s, row, unit, count);
        }
      }
      m.barrier->wait(m.grid.units);
    }
    if (plan.d_context != nullptr) sum_context(m, s, rows);
    if (d.dpre != nullptr) give_preactivations(m, s, rows);
    product(plan.state_panels, m.state_own, s.dg + Cell::recurrent_slot * plan.padded, s.ld_dg,
            Cell::recurrent * plan.padded, plan.w_hh, plan.dh + m.first * plan.ld_h, plan.ld_h, rows,
            !plan.projects);
    bound_gradients(m, s, rows);
  }

  static bool bounded(const Plan& plan) { return plan.gradient_value < HUGE_VAL || plan.gradient_norm < HUGE_VAL; }

  // What passes on to the step before, within its bounds. The threads of a group see whole rows, and change their
  // own columns.
  static void bound_gradients(const Member& m, const StepBackward<T>& s, std::int64_t rows) {
    const Plan& plan = *m.plan;
    if (!bounded(plan)) return;
    T* const kept = static_cast<T*>(plan.direction->kept);
    T* const h_factor = plan.factors + 2 * m.number * (plan.sequences.count + 1);
    T* const c_factor = h_factor + plan.sequences.count + 1;
    const bool has_c = plan.direction->c != nullptr;
    T* const dh = plan.dh + m.first * plan.ld_h;
    T* const dc = plan.dc + m.first * plan.ld_c;
    m.barrier->wait(m.grid.units);
    for (std::int64_t row = 0; row < rows; ++row) {
      h_factor[row] = factor_of(plan, dh + row * plan.ld_h, plan.state);
      c_factor[row] = has_c ? factor_of(plan, dc + row * plan.ld_c, plan.hidden) : T(1);
      if (kept != nullptr && m.unit == 0) {
        const T left = left_by_value(plan, dh + row * plan.ld_h, plan.state, has_c ? dc + row * plan.ld_c : nullptr);
        const T smaller = h_factor[row] < c_factor[row] ? h_factor[row] : c_factor[row];
        kept[s.token[row]] = left * smaller;
      }
    }
    m.barrier->wait(m.grid.units);
    for (std::int64_t row = 0; row < rows; ++row) {
      bound(plan, dh + row * plan.ld_h, state_columns(m), h_factor[row]);
      if (has_c) bound(plan, dc + row * plan.ld_c, unit_columns(m), c_factor[row]);
    }
  }

  // Bounds first each entry, then the norm.
  static T entry(const Plan& plan, T x) {
    return x > plan.gradient_value ? plan.gradient_value : x < -plan.gradient_value ? -plan.gradient_value : x;
  }

  static T factor_of(const Plan& plan, const T* row, std::ptrdiff_t columns) {
    if (!(plan.gradient_norm < HUGE_VAL)) return T(1);
    double sum = 0;
    for (std::ptrdiff_t i = 0; i < columns; ++i) {
      const double x = static_cast<double>(entry(plan, row[i]));
      sum += x * x;
    }
    const double norm = ::sqrt(sum), most = static_cast<double>(plan.gradient_norm);
    return norm > most ? static_cast<T>(most / norm) : T(1);
  }

  // The share of entries that are within their bound.
  static T left_by_value(const Plan& plan, const T* dh, std::ptrdiff_t columns, const T* dc) {
    std::ptrdiff_t within = 0;
    const std::ptrdiff_t total = columns + (dc == nullptr ? 0 : plan.hidden);
    for (std::ptrdiff_t i = 0; i < columns; ++i) within += dh[i] == entry(plan, dh[i]);
    for (std::ptrdiff_t i = 0; i < total - columns; ++i) within += dc[i] == entry(plan, dc[i]);
    return static_cast<T>(within) / static_cast<T>(total);
  }

  static void bound(const Plan& plan, T* row, Range own, T factor) {
    for (std::ptrdiff_t i = own.begin; i < own.end; ++i) row[i] = entry(plan, row[i]) * factor;
  }

  // What every step added has the sum of the steps' gradients.
  static void sum_context(const Member& m, const StepBackward<T>& s, std::int64_t rows) {
    const Plan& plan = *m.plan;
    const Range own = unit_columns(m);
    for (std::int64_t row = 0; row < rows; ++row) {
      for (int g = 0; g < Cell::gates; ++g) {
        T* const sum = plan.d_context + ((m.first + row) * Cell::gates + g) * plan.padded;
        const T* const dg = s.dg + row * s.ld_dg + (Cell::input_slot + g) * plan.padded;
        for (std::ptrdiff_t u = own.begin; u < own.end; u += L) store<T>(sum + u, load(sum + u) + load(dg + u));
      }
    }
  }

  static void give_preactivations(const Member& m, const StepBackward<T>& s, std::int64_t rows) {
    const Plan& plan = *m.plan;
    const Range own = unit_columns(m);
    T* const dpre = static_cast<T*>(plan.direction->dpre);
    for (std::int64_t row = 0; row < rows; ++row) {
      T* const to = dpre + s.token[row] * Cell::slots * plan.hidden;
      for (int slot = 0; slot < Cell::slots; ++slot) {
        copy_columns(s.dg + row * s.ld_dg + slot * plan.padded, own, to + Cell::order[slot] * plan.hidden);
      }
    }
  }

  // With a projection: dh of the step in one row, which the projection's gradients read.
  static void total_gradient(const Member& m, const StepBackward<T>& s, std::int64_t first, std::int64_t rows) {
    const Plan& plan = *m.plan;
    const Range own = state_columns(m);
    T* const dh_steps = static_cast<T*>(plan.direction->dh_steps);
    for (std::int64_t row = 0; row < rows; ++row) {
      const T* carried = plan.dh + (m.first + row) * plan.ld_h;
      const std::int64_t token = s.token[row];
      const T* given = plan.dy == nullptr ? nullptr : plan.dy + token * plan.ld_y;
      T* const to = plan.dh_total + (first + row) * plan.ld_h;
      for (std::ptrdiff_t p = own.begin; p < own.end; ++p) {
        to[p] = given == nullptr ? carried[p] : carried[p] + given[p];
        if (dh_steps != nullptr) dh_steps[token * plan.state + p] = to[p];
      }
    }
  }

  // out (+)= a · panels, for this thread's panels.
  static void product(const Panels<T>& panels, Range own, const T* a, std::ptrdiff_t lda,
                      std::ptrdiff_t depth, const T* packed, T* out, std::ptrdiff_t ld, std::int64_t rows,
                      bool adds) {
    const T zeros[max_vectors * L] = {};
    for (std::ptrdiff_t panel = own.begin; panel < own.end; ++panel) {
      const int vectors = panels.vectors_of(panel);
      Tile<T> tile{};
      tile.a = a;
      tile.lda = lda;
      tile.depth = depth;
      tile.offset = panels.first(panel);
      tile.panel = packed + tile.offset * depth;
      tile.ldp = vectors * L;
      tile.columns = vectors * L;
      tile.start = adds ? nullptr : zeros;
      multiply_all<T, Factors::rows>(rows, vectors, tile, [&](std::ptrdiff_t r) { return out + r * ld; });
    }
  }

  // ---------------------------------------------------------------------------------------- products

  static void input_gradient(const Member& m, std::int64_t rows) {
    const Plan& plan = *m.plan;
    if (plan.call->dx == nullptr) return;
    const T zeros[max_vectors * L] = {};
    const Range own = part_of(rows, m.number, m.team);
    T* const dx = static_cast<T*>(plan.call->dx);
    for (std::ptrdiff_t panel = 0; panel < plan.input_panels.count(); ++panel) {
      const int vectors = plan.input_panels.vectors_of(panel);
      Tile<T> tile{};
      tile.a = plan.dg + own.begin * plan.ld_dg + Cell::input_slot * plan.padded;
      tile.lda = plan.ld_dg;
      tile.depth = Cell::gates * plan.padded;
      tile.offset = plan.input_panels.first(panel);
      tile.panel = plan.w_ih + tile.offset * tile.depth;
      tile.ldp = vectors * L;
      tile.columns = plan.input_panels.columns_of(panel);
      tile.start = plan.adds_to_dx ? nullptr : zeros;
      multiply_all<T, Factors::rows>(own.end - own.begin, vectors, tile, [&](std::ptrdiff_t r) {
        return dx + plan.token[own.begin + r] * plan.inputs;
      });
    }
  }

  // A gradient of G matrices of (H, N): dw[gate] (+)= dg[slot]ᵀ · rows, summed over the block's rows.
  static void outer(const Member& m, const T* factors, std::ptrdiff_t ld_factors, const int* gate_of_slot,
                    int gates, std::ptrdiff_t slot_size, std::ptrdiff_t outputs, const T* rows_of,
                    std::ptrdiff_t ld_rows, std::ptrdiff_t columns, std::int64_t rows, T* dw, bool adds) {
    const T zeros[max_vectors * L] = {};
    const Panels<T> panels{columns, max_vectors};
    const Range own = part_of(gates * outputs, m.number, m.team);
    for (std::ptrdiff_t panel = 0; panel < panels.count(); ++panel) {
      const int vectors = panels.vectors_of(panel);
      Tile<T> tile{};
      tile.lda = ld_factors;
      tile.depth = rows;
      tile.offset = panels.first(panel);
      tile.panel = rows_of + tile.offset;
      tile.ldp = ld_rows;
      tile.columns = panels.columns_of(panel);
      tile.start = adds ? nullptr : zeros;
      for (std::ptrdiff_t output = own.begin; output < own.end;) {
        const std::ptrdiff_t slot = output / outputs, unit = output % outputs;
        const std::ptrdiff_t left = own.end - output < outputs - unit ? own.end - output : outputs - unit;
        T* const to = dw + (gate_of_slot[slot] * outputs + unit) * columns;
        tile.a = factors + slot * slot_size + unit;
        multiply_all<T, Factors::columns>(left, vectors, tile, [&](std::ptrdiff_t r) { return to + r * columns; });
        output += left;
      }
    }
  }

  // Of G gates in slots from first_slot on.
  static void bias_gradient(const Member& m, int first_slot, const int* gate_of_slot, std::int64_t rows,
                            T* db, bool adds) {
    const Plan& plan = *m.plan;
    const Range own = part_of(plan.padded / L * Cell::gates, m.number, m.team);
    for (std::ptrdiff_t v = own.begin; v < own.end; ++v) {
      const std::ptrdiff_t slot = v / (plan.padded / L), unit = v % (plan.padded / L) * L;
      const T* from = plan.dg + (first_slot + slot) * plan.padded + unit;
      T* const to = db + gate_of_slot[slot] * plan.hidden + unit;
      const int count = static_cast<int>(plan.hidden - unit < L ? plan.hidden - unit : L);
      Vec<T> sum = adds ? take(to, count) : Vec<T>{};
      for (std::int64_t row = 0; row < rows; ++row) sum += load(from + row * plan.ld_dg);
      put(to, sum, count);
    }
  }

  static void weight_gradients(const Member& m, std::int64_t rows, bool first) {
    static constexpr int only[1] = {0};
    const Plan& plan = *m.plan;
    const BackwardDirection& d = *plan.direction;
    if (d.dw_ih == nullptr) return;
    const T* input_dg = plan.dg + Cell::input_slot * plan.padded;
    const T* recurrent_dg = plan.dg + Cell::recurrent_slot * plan.padded;
    outer(m, input_dg, plan.ld_dg, Cell::input_gate, Cell::gates, plan.padded, plan.hidden, plan.x_rows,
          plan.ld_x, plan.inputs, rows, static_cast<T*>(d.dw_ih), !first);
    outer(m, recurrent_dg, plan.ld_dg, Cell::recurrent_gate, Cell::recurrent, plan.padded, plan.hidden,
          plan.h_prev, plan.ld_h, plan.state, rows, static_cast<T*>(d.dw_hh), !first);
    if constexpr (Cell::before) {
      T* const dw = static_cast<T*>(d.dw_hh) + Cell::candidate_gate * plan.hidden * plan.hidden;
      outer(m, plan.dg, plan.ld_dg, only, 1, 0, plan.hidden, plan.factor, plan.ld_c, plan.hidden, rows, dw, !first);
    }
    if (d.db_ih != nullptr) {
      // Both biases meet the same preactivations, but where the recurrent ones have slots of their own.
      constexpr bool own = Cell::slots > Cell::gates;
      constexpr int slot = own ? Cell::recurrent_slot : Cell::input_slot;
      bias_gradient(m, Cell::input_slot, Cell::input_gate, rows, static_cast<T*>(d.db_ih), !first);
      bias_gradient(m, slot, own ? Cell::recurrent_gate : Cell::input_gate, rows, static_cast<T*>(d.db_hh), !first);
    }
    if (d.dw_hr != nullptr) {
      outer(m, plan.dh_total, plan.ld_h, only, 1, 0, plan.state, plan.factor, plan.ld_c, plan.hidden, rows,
            static_cast<T*>(d.dw_hr), !first);
    }
  }

  // There were no tokens.
  static void zero_weight_gradients(const Member& m) {
    const Plan& plan = *m.plan;
    const BackwardDirection& d = *plan.direction;
    if (m.number != 0) return;
    const auto zero = [](void* to, std::ptrdiff_t count) {
      if (to != nullptr) std::memset(to, 0, sizeof(T) * static_cast<std::size_t>(count));
    };
    const std::ptrdiff_t rows = Cell::gates * plan.hidden;
    zero(d.dw_ih, rows * plan.inputs);
    zero(d.dw_hh, rows * plan.state);
    zero(d.db_ih, rows);
    zero(d.db_hh, rows);
    zero(d.dw_hr, plan.state * plan.hidden);
  }

  // Gradients of the initial states: of an empty sequence, those of its final state.
  static void finish(const Member& m, std::int64_t joined) {
    const Plan& plan = *m.plan;
    const BackwardDirection& d = *plan.direction;
    const Range no_columns{0, 0};
    for (std::int64_t row = 0; row < m.share.count(); ++row) {
      const std::int64_t place = m.first + row, id = m.share.id(row);
      const bool empty = row >= joined;
      const Range h_columns = !empty ? state_columns(m) : m.unit == 0 ? Range{0, plan.state} : no_columns;
      const Range c_columns = !empty ? unit_columns(m) : m.unit == 0 ? Range{0, plan.hidden} : no_columns;
      if (d.dh0 != nullptr) {
        const T* from = empty ? row_of(d.dh_n, id, plan.state) : plan.dh + place * plan.ld_h;
        copy_columns(from, h_columns, static_cast<T*>(d.dh0) + id * plan.state);
      }
      if (d.dc0 != nullptr) {
        const T* from = empty ? row_of(d.dc_n, id, plan.hidden) : plan.dc + place * plan.ld_c;
        copy_columns(from, c_columns, static_cast<T*>(d.dc0) + id * plan.hidden);
      }
      for (int g = 0; d.dcontext != nullptr && g < Cell::gates; ++g) {
        const T* from = empty ? nullptr : plan.d_context + (place * Cell::gates + g) * plan.padded;
        T* const to = static_cast<T*>(d.dcontext) + (id * Cell::gates + Cell::input_gate[g]) * plan.hidden;
        copy_columns(from, c_columns, to);
      }
    }
  }
};

// -------------------------------------------------------------------------------------------- the call

template <class T, class Cell>
BackwardPlan<T> plan_backward(const BackwardCall& call, const Sequences& sequences, int number) {
  const Shape& shape = call.shape;
  BackwardPlan<T> plan{};
  plan.inputs = shape.inputs;
  plan.hidden = shape.hidden;
  plan.state = shape.state;
  plan.padded = round_up(shape.hidden, lanes<T>);
  plan.reverse = number == 1;
  plan.adds_to_dx = number == 1;
  plan.sequences = sequences;
  plan.call = &call;
  plan.direction = &call.direction[number];
  plan.projects = plan.direction->weights.hr != nullptr;
  plan.y = static_cast<const T*>(call.y) + number * plan.state;
  plan.dy = call.dy == nullptr ? nullptr : static_cast<const T*>(call.dy) + number * plan.state;
  plan.ld_y = shape.directions * plan.state;
  plan.ld_dg = row_length<T>(plan.padded * Cell::slots);
  plan.ld_x = row_length<T>(plan.inputs);
  plan.ld_h = row_length<T>(plan.state);
  plan.ld_c = row_length<T>(plan.hidden);
  plan.state_panels = {plan.state, fair_vectors<T>(plan.state, sequences.count, call.threads)};
  plan.hidden_panels = {plan.hidden, max_vectors};
  plan.input_panels = {plan.inputs, max_vectors};
  plan.block_rows =
      backward_block_rows(sizeof(T) * static_cast<std::size_t>(plan.ld_dg + plan.ld_x + plan.ld_h));
  plan.second = static_cast<const T*>(plan.direction->weights.hr);
  if constexpr (Cell::before) {
    const T* weights = static_cast<const T*>(plan.direction->weights.hh);
    plan.second = weights + Cell::candidate_gate * plan.hidden * plan.state;
    plan.hidden_panels = plan.state_panels;  // a thread has the same units in both products
  }
  if constexpr (Cell::general) plan.choices = choices_of<T>(shape.options);
  const auto bound_of = [](double given) { return given > 0 ? static_cast<T>(given) : static_cast<T>(HUGE_VAL); };
  plan.gradient_value = bound_of(shape.options.gradient_value);
  plan.gradient_norm = bound_of(shape.options.gradient_norm);
  return plan;
}

template <class T, class Cell>
void divide(BackwardPlan<T>& plan, Pieces& pieces, int threads) {
  const std::ptrdiff_t batch = plan.sequences.count + threads;  // groups round their rows up
  const std::ptrdiff_t rows = batch < plan.block_rows ? plan.block_rows : batch;
  const std::ptrdiff_t longest = plan.hidden < plan.state ? plan.state : plan.hidden;
  const BackwardDirection& d = *plan.direction;
  const bool second = plan.second != nullptr;
  plan.w_hh = pieces.take<T>(plan.state_panels.padded() * Cell::recurrent * plan.padded);
  plan.w_ih = pieces.take<T>(plan.call->dx == nullptr ? 0 : plan.input_panels.padded() * Cell::gates * plan.padded);
  plan.w_second = pieces.take<T>(second ? plan.hidden_panels.padded() * plan.state : 0);
  plan.dg = pieces.take<T>(rows * plan.ld_dg);
  plan.x_rows = pieces.take<T>(rows * plan.ld_x);
  plan.h_prev = pieces.take<T>(rows * plan.ld_h);
  plan.dh_total = pieces.take<T>(plan.projects ? rows * plan.ld_h : 0);
  plan.factor = pieces.take<T>(second ? rows * plan.ld_c : 0);
  plan.dh = pieces.take<T>(batch * plan.ld_h);
  plan.dc = pieces.take<T>(batch * plan.ld_c);
  plan.d_factor = pieces.take<T>(second ? batch * plan.ld_c : 0);
  plan.d_context = d.dcontext == nullptr ? nullptr : pieces.take<T>(batch * Cell::gates * plan.padded);
  plan.peephole = d.weights.peephole == nullptr ? nullptr : pieces.take<T>(Cell::peepholes * plan.padded);
  plan.dpeephole = d.weights.peephole == nullptr ? nullptr : pieces.take<T>(threads * Cell::peepholes * plan.padded);
  plan.nothing = pieces.take<T>(longest);
  plan.factors = pieces.take<T>(Backward<T, Cell>::bounded(plan) ? 2 * threads * (plan.sequences.count + 1) : 0);
  plan.token = pieces.take<std::int64_t>(rows);
  plan.token_before = pieces.take<std::int64_t>(rows);
  plan.c_start = pieces.take<const T*>(batch);
}

template <class T, class Cell>
void backward_of(const BackwardCall& call, const Sequences& sequences) {
  // One direction after the other: both add to dx.
  for (int d = 0; d < call.shape.directions; ++d) {
    BackwardPlan<T> plan = plan_backward<T, Cell>(call, sequences, d);
    Barrier barriers[1 + most_threads];
    plan.barrier = barriers;
    Pieces measure(nullptr);
    divide<T, Cell>(plan, measure, call.threads);
    const Scratch scratch(measure.used());
    Pieces pieces(scratch.data());
    divide<T, Cell>(plan, pieces, call.threads);
    const std::ptrdiff_t longest = plan.hidden < plan.state ? plan.state : plan.hidden;
    std::memset(plan.nothing, 0, sizeof(T) * static_cast<std::size_t>(longest));
    parallel(
        call.threads,
        [](void* context, int rank, int size) {
          Backward<T, Cell>::run(*static_cast<const BackwardPlan<T>*>(context), rank, size);
        },
        &plan);
  }
}

}  // namespace throughtime::TT_ISA
