// The weights in the layout that the forward pass reads, initial values of preactivations, and contexts.
#pragma once

#include "kernels/recurrent/forward/plan.h"

namespace throughtime::TT_ISA {

template <class T, class Cell>
struct ForwardWeights {
  using Plan = ForwardPlan<T>;
  static constexpr int L = lanes<T>;

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

  // The same in tiles of bfloat16, vector by vector.
  static void pack_gate_tiles(const Plan& plan, const void* from_weights, std::ptrdiff_t depth, int gates,
                              const int* gate_of_slot, std::ptrdiff_t panel, Bfloat16* packed) {
    const std::ptrdiff_t first = plan.gate_panels.first(panel), size = tiled_depth(depth) * L;
    Bfloat16* to = packed + first * gates * tiled_depth(depth);
    for (int v = 0; v < plan.gate_panels.vectors_of(panel); ++v) {
      const std::ptrdiff_t unit = first + v * L;
      const int count = static_cast<int>(plan.hidden - unit < L ? plan.hidden - unit : L);
      for (int s = 0; s < gates; ++s, to += size) {
        const std::ptrdiff_t row = gate_of_slot[s] * plan.hidden + unit;
        pack_tiles_transposed(static_cast<const float*>(from_weights) + row * depth, depth, count, depth, to);
      }
    }
  }

  static void pack_products(const Plan& plan, std::ptrdiff_t panel) {
    const Weights& weights = plan.direction->weights;
    if (plan.rounds()) {
      pack_gate_tiles(plan, weights.ih, plan.inputs, Cell::gates, Cell::input_gate, panel, plan.rounded.w_ih);
      pack_gate_tiles(plan, weights.hh, plan.state, Cell::recurrent, Cell::recurrent_gate, panel, plan.rounded.w_hh);
    } else {
      pack_gates(plan, weights.ih, plan.inputs, Cell::gates, Cell::input_gate, panel, plan.w_ih);
      pack_gates(plan, weights.hh, plan.state, Cell::recurrent, Cell::recurrent_gate, panel, plan.w_hh);
    }
  }

  // A panel of the second product.
  static void pack_second(const Plan& plan, std::ptrdiff_t panel) {
    const std::ptrdiff_t first = plan.state_panels.first(panel);
    const std::ptrdiff_t ldp = plan.state_panels.vectors_of(panel) * L;
    for (int v = 0; v < plan.state_panels.vectors_of(panel); ++v) {
      const std::ptrdiff_t column = first + v * L;
      const int count = static_cast<int>(plan.state - column < L ? plan.state - column : L);
      const T* from = plan.second + column * plan.hidden;
      if (plan.rounds()) {
        Bfloat16* const to = plan.rounded.w_second + column * plan.rounded.hidden;
        pack_tiles_transposed(reinterpret_cast<const float*>(from), plan.hidden, count, plan.hidden, to);
      } else {
        pack_transposed(from, plan.hidden, count, plan.hidden, plan.w_second + first * plan.hidden + v * L, ldp);
      }
    }
  }

  // What the preactivations of a panel start from: both biases, but those that meet a gate of their own.
  static void pack_bias(const Plan& plan, std::ptrdiff_t panel) {
    const T* b_ih = static_cast<const T*>(plan.direction->weights.bias_ih);
    const T* b_hh = static_cast<const T*>(plan.direction->weights.bias_hh);
    constexpr bool late = staggered<Cell>;
    const std::ptrdiff_t first = plan.gate_panels.first(panel);
    const std::ptrdiff_t end = first + plan.gate_panels.vectors_of(panel) * L;
    for (std::ptrdiff_t unit = first; unit < end; ++unit) {
      const bool real = unit < plan.hidden && b_ih != nullptr;
      for (int s = 0; Cell::whole_rows && s < bias_slot<Cell>; ++s) {
        plan.bias[unit / L * L * Cell::slots + unit % L + s * L] = T(0);
      }
      for (int s = 0; s < Cell::gates; ++s) {
        const std::ptrdiff_t gate = Cell::input_gate[s] * plan.hidden + unit;
        const bool alone = late && s == 0;
        T* const place = plan.bias + unit / L * L * Cell::slots + unit % L;
        place[(bias_slot<Cell> + s) * L] = !real ? T(0) : alone ? b_ih[gate] : b_ih[gate] + b_hh[gate];
        if (alone) place[(Cell::slots - 1) * L] = real ? b_hh[gate] : T(0);
      }
    }
  }

  static void pack(const Plan& plan, int member, int team) {
    const ForwardDirection& d = *plan.direction;
    for (std::ptrdiff_t panel = member; panel < plan.gate_panels.count(); panel += team) {
      pack_products(plan, panel);
      pack_bias(plan, panel);
    }
    if (plan.context != nullptr) {
      const Range own = part_of(plan.sequences.count, member, team);
      for (std::ptrdiff_t b = own.begin; b < own.end; ++b) pack_context(plan, b);
    }
    if (plan.own != nullptr && member == 0) pack_own(d.weights, *plan.options, plan.hidden, plan.own, plan.padded);
    if (plan.second == nullptr) return;
    for (std::ptrdiff_t panel = member; panel < plan.state_panels.count(); panel += team) pack_second(plan, panel);
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
};

}  // namespace throughtime::TT_ISA
