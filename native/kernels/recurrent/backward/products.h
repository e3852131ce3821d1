// The products of a block of steps: dx = dg · W_ih, and dW += dgᵀ · (x, h_{t−1}). All threads share them.
#pragma once

#include "kernels/recurrent/backward/member.h"

namespace throughtime::TT_ISA {

template <class T, class Cell>
struct BlockProducts {
  using Plan = BackwardPlan<T>;
  using Member = BackwardMember<T>;
  static constexpr int L = lanes<T>;

  static void input_gradient(const Member& m, std::int64_t rows) {
    const Plan& plan = *m.plan;
    if (plan.call->dx == nullptr) return;
    const T zeros[max_vectors * L] = {};
    const Range own = part_of(rows, m.number, m.team);
    T* const dx = static_cast<T*>(plan.call->dx);
    const bool far = is_far<T>(plan.input_panels.padded() * Cell::gates * plan.padded);
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
      multiply_all<T, Factors::rows>(own.end - own.begin, vectors, tile, far, [&](std::ptrdiff_t r) {
        return dx + plan.token[own.begin + r] * plan.inputs;
      });
    }
  }

  // A gradient of G matrices of (H, N): dw[gate] (+)= dg[slot]ᵀ · rows, summed over the block's rows. Columns of dg
  // are a line of memory for each row: where many panels read them, a few at a time are copied side by side.
  static void outer(const Member& m, const T* factors, std::ptrdiff_t ld_factors, const int* gate_of_slot,
                    int gates, std::ptrdiff_t slot_size, std::ptrdiff_t outputs, const T* rows_of,
                    std::ptrdiff_t ld_rows, std::ptrdiff_t columns, std::int64_t rows, T* dw, bool adds) {
    const T zeros[max_vectors * L] = {};
    const Panels<T> panels{columns, max_vectors};
    const Range own = part_of(gates * outputs, m.number, m.team);
    const bool copies = panels.count() >= panels_worth_a_copy;
    T* const copy = m.plan->columns + m.number * m.plan->ld_columns;
    for (std::ptrdiff_t output = own.begin; output < own.end;) {
      const std::ptrdiff_t slot = output / outputs, unit = output % outputs;
      std::ptrdiff_t count = own.end - output < outputs - unit ? own.end - output : outputs - unit;
      if (copies && count > copied_columns) count = copied_columns;
      const T* const a = factors + slot * slot_size + unit;
      if (copies) copy_columns_of(a, ld_factors, count, rows, copy);
      T* const to = dw + (gate_of_slot[slot] * outputs + unit) * columns;
      for (std::ptrdiff_t panel = 0; panel < panels.count(); ++panel) {
        const int vectors = panels.vectors_of(panel);
        Tile<T> tile{};
        tile.a = copies ? copy : a;
        tile.lda = copies ? copied_columns : ld_factors;
        tile.depth = rows;
        tile.offset = panels.first(panel);
        tile.panel = rows_of + tile.offset;
        tile.ldp = ld_rows;
        tile.columns = panels.columns_of(panel);
        tile.start = adds ? nullptr : zeros;
        multiply_all<T, Factors::columns>(count, vectors, tile, false,
                                          [&](std::ptrdiff_t r) { return to + r * columns; });
      }
      output += count;
    }
  }

  // The first `count` columns of a matrix side by side, copied_columns to a row.
  static void copy_columns_of(const T* from, std::ptrdiff_t ld, std::ptrdiff_t count, std::int64_t rows, T* to) {
    for (std::int64_t row = 0; row < rows; ++row, from += ld, to += copied_columns) {
      if (count == copied_columns) {
#pragma GCC unroll 12
        for (int v = 0; v < copied_columns / L; ++v) store<T>(to + v * L, load(from + v * L));
      } else {
        std::memcpy(to, from, sizeof(T) * static_cast<std::size_t>(count));
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
      constexpr bool own = staggered<Cell>;
      constexpr int slot = own ? Cell::recurrent_slot : bias_slot<Cell>;
      bias_gradient(m, bias_slot<Cell>, Cell::input_gate, rows, static_cast<T*>(d.db_ih), !first);
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
};

}  // namespace throughtime::TT_ISA
