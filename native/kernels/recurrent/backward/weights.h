// The weights in the layout that the backward pass reads.
#pragma once

#include "kernels/recurrent/backward/plan.h"

namespace throughtime::TT_ISA {

template <class T, class Cell>
struct BackwardWeights {
  using Plan = BackwardPlan<T>;
  static constexpr int L = lanes<T>;

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

  // The same in tiles of bfloat16, vector by vector, each slot with whole tiles.
  static void pack_gate_tiles(const Plan& plan, const void* weights, int gates, const int* gate_of_slot,
                              const Panels<T>& panels, std::ptrdiff_t panel, Bfloat16* packed) {
    const std::ptrdiff_t depth = plan.rounded.hidden;
    for (int v = 0; v < panels.vectors_of(panel); ++v) {
      const std::ptrdiff_t n = panels.first(panel) + v * L;
      const int count = static_cast<int>(panels.columns - n < L ? panels.columns - n : L);
      for (int s = 0; s < gates; ++s) {
        const float* from = static_cast<const float*>(weights) + gate_of_slot[s] * plan.hidden * panels.columns + n;
        pack_tiles(from, panels.columns, count, plan.hidden, depth, packed + (n * gates + s * L) * depth);
      }
    }
  }

  static void pack_rounded(const Plan& plan, int member, int team) {
    const Weights& weights = plan.direction->weights;
    const RoundedBackward& rounded = plan.rounded;
    for (std::ptrdiff_t panel = member; panel < plan.state_panels.count(); panel += team) {
      pack_gate_tiles(plan, weights.hh, Cell::recurrent, Cell::recurrent_gate, plan.state_panels, panel, rounded.w_hh);
    }
    for (std::ptrdiff_t panel = member; plan.call->dx != nullptr && panel < plan.input_panels.count(); panel += team) {
      pack_gate_tiles(plan, weights.ih, Cell::gates, Cell::input_gate, plan.input_panels, panel, rounded.w_ih);
    }
    for (std::ptrdiff_t n = member * L; plan.second != nullptr && n < plan.hidden; n += team * L) {
      const int count = static_cast<int>(plan.hidden - n < L ? plan.hidden - n : L);
      const float* from = static_cast<const float*>(static_cast<const void*>(plan.second)) + n;
      pack_tiles(from, plan.hidden, count, plan.state, rounded.state, rounded.w_second + n * rounded.state);
    }
  }

  static void pack(const Plan& plan, int member, int team) {
    plan.rounds() ? pack_rounded(plan, member, team) : pack_plain(plan, member, team);
    if (plan.own == nullptr || member != 0) return;
    pack_own(plan.direction->weights, plan.call->shape.options, plan.hidden, plan.own, plan.padded);
  }

  static void pack_plain(const Plan& plan, int member, int team) {
    const Weights& weights = plan.direction->weights;
    for (std::ptrdiff_t panel = member; panel < plan.state_panels.count(); panel += team) {
      pack_gates(plan, weights.hh, Cell::recurrent, Cell::recurrent_gate, plan.state_panels, panel, plan.w_hh);
    }
    if (plan.call->dx != nullptr) {
      for (std::ptrdiff_t panel = member; panel < plan.input_panels.count(); panel += team) {
        pack_gates(plan, weights.ih, Cell::gates, Cell::input_gate, plan.input_panels, panel, plan.w_ih);
      }
    }
    if (plan.second == nullptr) return;
    for (std::ptrdiff_t panel = member; panel < plan.hidden_panels.count(); panel += team) {
      const std::ptrdiff_t n = plan.hidden_panels.first(panel);
      pack_rows(plan.second + n, plan.hidden, plan.hidden_panels.columns_of(panel), plan.state,
                plan.w_second + n * plan.state, plan.hidden_panels.vectors_of(panel) * L);
    }
  }
};

}  // namespace throughtime::TT_ISA
