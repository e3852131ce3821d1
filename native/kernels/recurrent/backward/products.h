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
    if (plan.rounds()) return rounded_input_gradient(m, rows);
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

  // The same of rounded factors; rows of dx are where their tokens are, so they take a detour.
  static void rounded_input_gradient(const Member& m, std::int64_t rows) {
    const Plan& plan = *m.plan;
    const RoundedBackward& rounded = plan.rounded;
    const Range own = part_of(rows, m.number, m.team);
    const std::ptrdiff_t depth = Cell::gates * rounded.hidden;
    const Bfloat16* const dg = rounded.dg + Cell::input_slot * rounded.hidden;
    for (std::ptrdiff_t panel = 0; panel < plan.input_panels.count(); ++panel) {
      const std::ptrdiff_t first = plan.input_panels.first(panel);
      const Range columns{0, plan.input_panels.columns_of(panel)};
      for (std::ptrdiff_t row = own.begin; row < own.end; row += most_tiled_rows) {
        const std::ptrdiff_t count = own.end - row < most_tiled_rows ? own.end - row : most_tiled_rows;
        alignas(64) float sums[most_tiled_rows * tiled_width];
        rounded.kernels->multiply({dg + row * rounded.ld_dg, rounded.ld_dg, rounded.w_ih + first * depth, depth, count,
                                   plan.input_panels.vectors_of(panel), sums, tiled_width, nothing});
        for (std::ptrdiff_t r = 0; r < count; ++r) {
          float* const dx = static_cast<float*>(plan.call->dx) + plan.token[row + r] * plan.inputs + first;
          put_sums(sums + r * tiled_width, columns.end, plan.adds_to_dx, dx);
        }
      }
    }
  }

  static constexpr std::ptrdiff_t most_tiled_rows = 2 * tile_rows, tiled_width = max_vectors * float_lanes;
  static constexpr float nothing[tiled_width] = {};

  static void put_sums(const float* sums, std::ptrdiff_t count, bool adds, float* to) {
    if (!adds) {
      std::memcpy(to, sums, sizeof(float) * static_cast<std::size_t>(count));
      return;
    }
    for (std::ptrdiff_t i = 0; i < count; ++i) to[i] += sums[i];
  }

  // What the weights' gradients of a block read of x and h_{t−1}, as right factors; the threads share the vectors.
  static void round_rows(const Member& m, std::int64_t rows) {
    const Plan& plan = *m.plan;
    const RoundedBackward& rounded = plan.rounded;
    if (plan.direction->dw_ih == nullptr) return;
    pack_block(m, plan.x_rows, plan.ld_x, plan.inputs, rows, rounded.x);
    pack_block(m, plan.h_prev, plan.ld_h, plan.state, rows, rounded.h_prev);
    if (plan.second != nullptr) pack_block(m, plan.factor, plan.ld_c, plan.hidden, rows, rounded.factor);
  }

  static void pack_block(const Member& m, const T* from, std::ptrdiff_t ld, std::ptrdiff_t columns, std::int64_t rows,
                         Bfloat16* to) {
    const std::ptrdiff_t depth = tiled_depth(rows), vectors = round_up(columns, float_lanes) / float_lanes;
    const Range own = part_of(vectors, m.number, m.team);
    for (std::ptrdiff_t v = own.begin; v < own.end; ++v) {
      const std::ptrdiff_t n = v * float_lanes;
      const int count = static_cast<int>(columns - n < float_lanes ? columns - n : float_lanes);
      pack_tiles(reinterpret_cast<const float*>(from) + n, ld, count, rows, depth, to + n * depth);
    }
  }

  // As `outer`, with rows that pack_block has packed.
  static void rounded_outer(const Member& m, const T* factors, std::ptrdiff_t ld_factors, const int* gate_of_slot,
                            int gates, std::ptrdiff_t slot_size, std::ptrdiff_t outputs, const Bfloat16* rows_of,
                            std::ptrdiff_t columns, std::int64_t rows, T* dw, bool adds) {
    const RoundedBackward& rounded = m.plan->rounded;
    const std::ptrdiff_t depth = tiled_depth(rows), tiles = (outputs + most_tiled_rows - 1) / most_tiled_rows;
    const Range own = part_of(gates * tiles, m.number, m.team);
    Bfloat16* const left = rounded.columns + m.number * most_tiled_rows * rounded.ld_rows;
    for (std::ptrdiff_t tile = own.begin; tile < own.end; ++tile) {
      const std::ptrdiff_t slot = tile / tiles, unit = tile % tiles * most_tiled_rows;
      const std::ptrdiff_t count = outputs - unit < most_tiled_rows ? outputs - unit : most_tiled_rows;
      const float* const from = reinterpret_cast<const float*>(factors) + slot * slot_size + unit;
      for (std::ptrdiff_t r = 0; r < count; r += float_lanes) {
        transpose_rounded(from + r, ld_factors, rows, depth, left + r * rounded.ld_rows, rounded.ld_rows);
      }
      float* const to = reinterpret_cast<float*>(dw) + (gate_of_slot[slot] * outputs + unit) * columns;
      multiply_columns(m, left, rows_of, depth, count, columns, to, adds);
    }
  }

  // to (+)= left · the packed rows; a last vector of fewer columns takes a detour.
  static void multiply_columns(const Member& m, const Bfloat16* left, const Bfloat16* rows_of, std::ptrdiff_t depth,
                               std::ptrdiff_t count, std::ptrdiff_t columns, float* to, bool adds) {
    const RoundedBackward& rounded = m.plan->rounded;
    const Panels<float> panels{columns, max_vectors};
    for (std::ptrdiff_t panel = 0; panel < panels.count(); ++panel) {
      const std::ptrdiff_t first = panels.first(panel), width = panels.columns_of(panel);
      const bool whole = width % float_lanes == 0;
      alignas(64) float sums[most_tiled_rows * tiled_width];
      TiledProduct product{left, rounded.ld_rows, rows_of + first * depth, depth, count, panels.vectors_of(panel),
                           sums, tiled_width, nothing};
      if (whole) {
        product.out = to + first;
        product.ld = columns;
        if (adds) product.start = nullptr;
      }
      rounded.kernels->multiply(product);
      for (std::ptrdiff_t r = 0; !whole && r < count; ++r) {
        put_sums(sums + r * tiled_width, width, adds, to + r * columns + first);
      }
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
    const bool rounds = plan.rounds();
    const auto sum = [&](const T* factors, std::ptrdiff_t ld_factors, const int* gate_of_slot, int gates,
                         std::ptrdiff_t slot_size, std::ptrdiff_t outputs, const T* rows_of, std::ptrdiff_t ld_rows,
                         const Bfloat16* rounded_rows, std::ptrdiff_t columns, T* dw) {
      if (rounds) {
        rounded_outer(m, factors, ld_factors, gate_of_slot, gates, slot_size, outputs, rounded_rows, columns, rows, dw,
                      !first);
      } else {
        outer(m, factors, ld_factors, gate_of_slot, gates, slot_size, outputs, rows_of, ld_rows, columns, rows, dw,
              !first);
      }
    };
    sum(input_dg, plan.ld_dg, Cell::input_gate, Cell::gates, plan.padded, plan.hidden, plan.x_rows, plan.ld_x,
        plan.rounded.x, plan.inputs, static_cast<T*>(d.dw_ih));
    sum(recurrent_dg, plan.ld_dg, Cell::recurrent_gate, Cell::recurrent, plan.padded, plan.hidden, plan.h_prev, plan.ld_h,
        plan.rounded.h_prev, plan.state, static_cast<T*>(d.dw_hh));
    if constexpr (Cell::before) {
      T* const dw = static_cast<T*>(d.dw_hh) + Cell::candidate_gate * plan.hidden * plan.hidden;
      sum(plan.dg, plan.ld_dg, only, 1, 0, plan.hidden, plan.factor, plan.ld_c, plan.rounded.factor, plan.hidden, dw);
    }
    if (d.db_ih != nullptr) {
      // Both biases meet the same preactivations, but where the recurrent ones have slots of their own.
      constexpr bool own = staggered<Cell>;
      constexpr int slot = own ? Cell::recurrent_slot : bias_slot<Cell>;
      bias_gradient(m, bias_slot<Cell>, Cell::input_gate, rows, static_cast<T*>(d.db_ih), !first);
      bias_gradient(m, slot, own ? Cell::recurrent_gate : Cell::input_gate, rows, static_cast<T*>(d.db_hh), !first);
    }
    if (d.dw_hr != nullptr) {
      sum(plan.dh_total, plan.ld_h, only, 1, 0, plan.state, plan.factor, plan.ld_c, plan.rounded.factor, plan.hidden,
          static_cast<T*>(d.dw_hr));
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
