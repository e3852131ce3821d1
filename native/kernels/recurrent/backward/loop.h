// The backward loop over time: the phases of forward/loop.h in reverse, a block of steps at a time.
//
//   gather     x and h_{t−1} of the block's rows, each into one matrix
//   steps      from the last to the first: the cell's gradient, then dh_{t−1} += dg · W_hh. With a projection
//              before it d(o ⊙ tanh c) = dh · W_hr; of a reset-before GRU in the middle d(r ⊙ h_{t−1}) = dn · W_hn
//   products   dx = dg · W_ih for the rows of the block, and dW += dgᵀ · (x, h_{t−1})
//
// So the gradients of the preactivations never exist for all tokens at once. In the first two parts each group
// of threads has its own adjacent rows; the products are divided among all threads.
#pragma once

#include "kernels/recurrent/backward/bounds.h"
#include "kernels/recurrent/backward/products.h"
#include "kernels/recurrent/backward/summary.h"
#include "kernels/recurrent/backward/weights.h"

namespace throughtime::TT_ISA {

template <class T, class Cell>
struct Backward {
  using Plan = BackwardPlan<T>;
  using Member = BackwardMember<T>;
  using Products = BlockProducts<T, Cell>;
  static constexpr int L = lanes<T>;

  static void run(const Plan& plan, int number, int team) {
    BackwardWeights<T, Cell>::pack(plan, number, team);
    Member m{};
    m.plan = &plan;
    m.number = number;
    m.team = team;
    m.grid = make_grid(team, plan.sequences, plan.weight_bytes, plan.state_panels.count());
    m.group = number / m.grid.units;
    m.unit = number % m.grid.units;
    if (m.steps()) {
      m.share = share_of(plan.sequences, m.group, m.grid.groups);
      m.first = m.group * ((plan.sequences.count + m.grid.groups - 1) / m.grid.groups);
      m.state_own = part_of(plan.state_panels.count(), m.unit, m.grid.units);
      m.hidden_own = part_of(plan.hidden_panels.count(), m.unit, m.grid.units);
      m.barrier = plan.barrier + 1 + m.group;
    }
    plan.barrier[0].wait(number, team);  // the weights are packed
    if (plan.d_own != nullptr && m.steps()) {
      const Range own = m.unit_columns();
      for (int p = 0; p < Cell::own_rows; ++p) {
        for (std::ptrdiff_t u = own.begin; u < round_up(own.end, L); ++u) own_sum(m)[p * plan.padded + u] = T(0);
      }
    }
    if (plan.rounds()) plan.rounded.kernels->begin();
    loop(m);
    if (plan.rounds()) plan.rounded.kernels->end();
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
        m.barrier->wait(m.unit, m.grid.units);
        for (int i = 0; i < steps; ++i) {
          join(m, joined, rows_at[i]);
          joined = rows_at[i];
          step(m, start[i], rows_at[i]);
        }
      }
      plan.barrier[0].wait(m.number, m.team);
      Products::input_gradient(m, rows);
      if (plan.rounds()) {
        Products::round_rows(m, rows);
        plan.barrier[0].wait(m.number, m.team);
      }
      Products::weight_gradients(m, rows, first_block);
      first_block = false;
      t -= steps;
      if (t > 0) plan.barrier[0].wait(m.number, m.team);
    }
    if (first_block) Products::zero_weight_gradients(m);
    if (m.steps()) finish(m, joined);
    if (plan.d_own != nullptr) {
      plan.barrier[0].wait(m.number, m.team);
      if (m.number == 0) add_own(m);
    }
  }

  // The sum of the group's own sequences.
  static T* own_sum(const Member& m) {
    return m.plan->d_own + m.group * Cell::own_rows * m.plan->padded;
  }

  static void add_own(const Member& m) {
    const Plan& plan = *m.plan;
    T* const to = static_cast<T*>(plan.direction->d_own);
    if (to == nullptr) return;
    for (int p = 0; p < Cell::own_rows; ++p) {
      for (std::ptrdiff_t u = 0; u < plan.hidden; ++u) {
        T sum = T(0);
        for (int group = 0; group < m.grid.groups; ++group) {
          sum += plan.d_own[(group * Cell::own_rows + p) * plan.padded + u];
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
        const std::int64_t before = m.share.restarts(r, time, plan.reverse) ? at_reset
                                    : time == 0                             ? at_start
                                                                            : m.share.token(r, time - 1, plan.reverse);
        plan.token_before[row] = before;
        const T* h = before == at_reset ? plan.nothing
                     : before == at_start ? or_nothing(m, row_of(plan.direction->h0, m.share.id(r), plan.state))
                                          : plan.y + before * plan.ld_y;
        std::memcpy(plan.h_prev + row * plan.ld_h, h, h_bytes);
        if (weights) std::memcpy(plan.x_rows + row * plan.ld_x, x + token * plan.inputs, x_bytes);
        if (before < 0) {
          plan.c_start[row] = before == at_reset
                                  ? plan.nothing
                                  : or_nothing(m, row_of(plan.direction->c0, m.share.id(r), plan.hidden));
        }
      }
    }
  }

  static const T* or_nothing(const Member& m, const T* row) { return row == nullptr ? m.plan->nothing : row; }

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
      copy_columns(row_of(d.dh_n, id, plan.state), m.state_columns(), plan.dh + place * plan.ld_h);
      const Range own = m.unit_columns();
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
    s.c_start = plan.c_start + first;
    s.gates = static_cast<const T*>(d.gates);
    s.dc_in = static_cast<const T*>(d.dc);
    s.dgates = static_cast<const T*>(d.dgates);
    s.dh_steps = plan.projects ? nullptr : static_cast<T*>(d.dh_steps);
    s.dc_steps = static_cast<T*>(d.dc_steps);
    if (d.summary != nullptr) {
      s.dh_whole = plan.dh_whole + m.first * plan.ld_c;
      s.dc_whole = plan.dc_whole + m.first * plan.ld_c;
      s.ld_whole = plan.ld_c;
    }
    s.choices = &plan.choices;
    s.own = plan.own;
    s.d_own = plan.d_own == nullptr ? nullptr : own_sum(m);
    s.d_reset = plan.d_factor + m.first * plan.ld_c;
    s.ld_d_reset = plan.ld_c;
    if (plan.projects) {
      total_gradient(m, s, first, rows);
      if (plan.rounds()) round_total(m, first, rows);
      m.barrier->wait(m.unit, m.grid.units);
      if (plan.rounds()) {
        rounded_product(m, plan.hidden_panels, m.hidden_own, plan.rounded.dh_total + m.first * plan.rounded.ld_h,
                        plan.rounded.ld_h, plan.rounded.state, plan.rounded.w_second, s.dh, s.ld_dh, rows, false);
      } else {
        product(plan.hidden_panels, m.hidden_own, plan.dh_total + first * plan.ld_h, plan.ld_h, plan.state,
                plan.w_second, s.dh, s.ld_dh, rows, false);
      }
    }
    const Range own = m.unit_columns();
    if constexpr (Cell::whole_rows) {
      for (int part = 0; part < Cell::backward_parts; ++part) {
        if (part > 0) m.barrier->wait(m.unit, m.grid.units);
        for (std::int64_t row = 0; row < rows; ++row) Cell::template backward<T>(s, part, row, own.begin, own.end);
      }
    } else {
      for (std::int64_t row = 0; row < rows; ++row) {
        if (row + rows_ahead < rows) prefetch_row<T, Cell>(s, row + rows_ahead, own.begin, own.end);
        for (std::ptrdiff_t unit = own.begin; unit < own.end; unit += L) {
          Cell::template backward<T>(s, row, unit, own.end - unit < L ? static_cast<int>(own.end - unit) : L);
        }
      }
    }
    const Bfloat16* const rounded_dg = plan.rounds() ? plan.rounded.dg + first * plan.rounded.ld_dg : nullptr;
    if (plan.rounds()) round_gradients(m, first, rows, 0, Cell::before ? 1 : Cell::slots);
    m.barrier->wait(m.unit, m.grid.units);
    if constexpr (Cell::before) {
      T* const d_factor = plan.d_factor + m.first * plan.ld_c;
      if (plan.rounds()) {
        rounded_product(m, plan.hidden_panels, m.hidden_own, rounded_dg, plan.rounded.ld_dg, plan.rounded.hidden,
                        plan.rounded.w_second, d_factor, plan.ld_c, rows, false);
      } else {
        product(plan.hidden_panels, m.hidden_own, s.dg, s.ld_dg, plan.hidden, plan.w_second, d_factor, plan.ld_c, rows,
                false);
      }
      for (std::int64_t row = 0; row < rows; ++row) {
        for (std::ptrdiff_t unit = own.begin; unit < own.end; unit += L) {
          const int count = own.end - unit < L ? static_cast<int>(own.end - unit) : L;
          Cell::template backward_of_reset<T>(s, row, unit, count);
        }
      }
      if (plan.rounds()) round_gradients(m, first, rows, 1, Cell::slots);
      m.barrier->wait(m.unit, m.grid.units);
    }
    if (plan.d_context != nullptr) sum_context(m, s, rows);
    if (d.dpre != nullptr) give_preactivations(m, s, rows);
    if (d.summary != nullptr) StepSummary<T, Cell>::summarise(m, s, first, rows);
    if (plan.rounds()) {
      rounded_product(m, plan.state_panels, m.state_own, rounded_dg + Cell::recurrent_slot * plan.rounded.hidden,
                      plan.rounded.ld_dg, Cell::recurrent * plan.rounded.hidden, plan.rounded.w_hh,
                      plan.dh + m.first * plan.ld_h, plan.ld_h, rows, !plan.projects);
    } else {
      product(plan.state_panels, m.state_own, s.dg + Cell::recurrent_slot * plan.padded, s.ld_dg,
              Cell::recurrent * plan.padded, plan.w_hh, plan.dh + m.first * plan.ld_h, plan.ld_h, rows,
              !plan.projects);
    }
    GradientBounds<T>::bound_gradients(m, s, rows);
    if (plan.sequences.reset != nullptr) restart(m, s, rows);
  }

  // Nothing passes to the step before a reset.
  static void restart(const Member& m, const StepBackward<T>& s, std::int64_t rows) {
    const Plan& plan = *m.plan;
    for (std::int64_t row = 0; row < rows; ++row) {
      if (s.token_before[row] != at_reset) continue;
      copy_columns<T>(nullptr, m.state_columns(), plan.dh + (m.first + row) * plan.ld_h);
      if (plan.direction->c != nullptr) {
        copy_columns<T>(nullptr, m.unit_columns(), plan.dc + (m.first + row) * plan.ld_c);
      }
    }
  }

  // What every step added has the sum of the steps' gradients.
  static void sum_context(const Member& m, const StepBackward<T>& s, std::int64_t rows) {
    const Plan& plan = *m.plan;
    const Range own = m.unit_columns();
    for (std::int64_t row = 0; row < rows; ++row) {
      for (int g = 0; g < Cell::gates; ++g) {
        T* const sum = plan.d_context + ((m.first + row) * Cell::gates + g) * plan.padded;
        const T* const dg = s.dg + row * s.ld_dg + (bias_slot<Cell> + g) * plan.padded;
        for (std::ptrdiff_t u = own.begin; u < own.end; u += L) store<T>(sum + u, load(sum + u) + load(dg + u));
      }
    }
  }

  static void give_preactivations(const Member& m, const StepBackward<T>& s, std::int64_t rows) {
    const Plan& plan = *m.plan;
    const Range own = m.unit_columns();
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
    const Range own = m.state_columns();
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
    const bool far = is_far<T>(panels.padded() * depth);
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
      multiply_all<T, Factors::rows>(rows, vectors, tile, far, [&](std::ptrdiff_t r) { return out + r * ld; });
    }
  }

  // The same of rounded factors.
  static void rounded_product(const Member& m, const Panels<T>& panels, Range own, const Bfloat16* a, std::ptrdiff_t lda,
                              std::ptrdiff_t depth, const Bfloat16* packed, T* out, std::ptrdiff_t ld,
                              std::int64_t rows, bool adds) {
    const float zeros[max_vectors * float_lanes] = {};
    for (std::ptrdiff_t panel = own.begin; panel < own.end; ++panel) {
      const std::ptrdiff_t first = panels.first(panel);
      m.plan->rounded.kernels->multiply({a, lda, packed + first * depth, depth, rows, panels.vectors_of(panel),
                                         reinterpret_cast<float*>(out + first), ld, adds ? nullptr : zeros});
    }
  }

  // What the products read of slots begin … end of a step, each thread its own columns.
  static void round_gradients(const Member& m, std::int64_t first, std::int64_t rows, int begin, int end) {
    const Plan& plan = *m.plan;
    const Range own = m.unit_columns();
    for (std::int64_t row = first; row < first + rows; ++row) {
      for (int slot = begin; slot < end; ++slot) {
        const float* const from = reinterpret_cast<const float*>(plan.dg + row * plan.ld_dg + slot * plan.padded);
        round_columns(from, own, plan.hidden, plan.rounded.dg + row * plan.rounded.ld_dg + slot * plan.rounded.hidden);
      }
    }
  }

  static void round_total(const Member& m, std::int64_t first, std::int64_t rows) {
    const Plan& plan = *m.plan;
    const Range own = m.state_columns();
    for (std::int64_t row = 0; row < rows; ++row) {
      const float* const from = reinterpret_cast<const float*>(plan.dh_total + (first + row) * plan.ld_h);
      round_columns(from, own, plan.state, plan.rounded.dh_total + (m.first + row) * plan.rounded.ld_h);
    }
  }

  // Gradients of the initial states: of an empty sequence, those of its final state.
  static void finish(const Member& m, std::int64_t joined) {
    const Plan& plan = *m.plan;
    const BackwardDirection& d = *plan.direction;
    const Range no_columns{0, 0};
    for (std::int64_t row = 0; row < m.share.count(); ++row) {
      const std::int64_t place = m.first + row, id = m.share.id(row);
      const bool empty = row >= joined;
      const Range h_columns = !empty ? m.state_columns() : m.unit == 0 ? Range{0, plan.state} : no_columns;
      const Range c_columns = !empty ? m.unit_columns() : m.unit == 0 ? Range{0, plan.hidden} : no_columns;
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

template <class T, class Cell>
void backward_of(const BackwardCall& call, const Sequences& sequences) {
  // One direction after the other: both add to dx.
  for (int d = 0; d < call.shape.directions; ++d) {
    BackwardPlan<T> plan = plan_backward<T, Cell>(call, sequences, d);
    const Barriers barriers(1 + call.threads);
    plan.barrier = barriers.first();
    const DividedScratch scratch([&](Pieces& pieces) { divide<T, Cell>(plan, pieces, call.threads); });
    const std::ptrdiff_t longest = plan.hidden < plan.state ? plan.state : plan.hidden;
    std::memset(plan.nothing, 0, sizeof(T) * static_cast<std::size_t>(longest));
    auto run = [&](int rank, int size) { Backward<T, Cell>::run(plan, rank, size); };
    parallel(call.threads, run);
  }
}

}  // namespace throughtime::TT_ISA
