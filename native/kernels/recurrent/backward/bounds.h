// Bounds on the gradients that pass from a step to the one before it.
#pragma once

#include "kernels/recurrent/backward/member.h"

namespace throughtime::TT_ISA {

template <class T>
struct GradientBounds {
  using Plan = BackwardPlan<T>;
  using Member = BackwardMember<T>;

  // What passes on to the step before, within its bounds. The threads of a group see whole rows, and change their
  // own columns.
  static void bound_gradients(const Member& m, const StepBackward<T>& s, std::int64_t rows) {
    const Plan& plan = *m.plan;
    if (!plan.bounds()) return;
    T* const kept = static_cast<T*>(plan.direction->kept);
    T* const h_factor = plan.factors + 2 * m.number * (plan.sequences.count + 1);
    T* const c_factor = h_factor + plan.sequences.count + 1;
    const bool has_c = plan.direction->c != nullptr;
    T* const dh = plan.dh + m.first * plan.ld_h;
    T* const dc = plan.dc + m.first * plan.ld_c;
    m.barrier->wait(m.unit, m.grid.units);
    for (std::int64_t row = 0; row < rows; ++row) {
      h_factor[row] = factor_of(plan, dh + row * plan.ld_h, plan.state);
      c_factor[row] = has_c ? factor_of(plan, dc + row * plan.ld_c, plan.hidden) : T(1);
      if (kept != nullptr && m.unit == 0) {
        const T left = left_by_value(plan, dh + row * plan.ld_h, plan.state, has_c ? dc + row * plan.ld_c : nullptr);
        const T smaller = h_factor[row] < c_factor[row] ? h_factor[row] : c_factor[row];
        kept[s.token[row]] = left * smaller;
      }
    }
    m.barrier->wait(m.unit, m.grid.units);
    for (std::int64_t row = 0; row < rows; ++row) {
      bound(plan, dh + row * plan.ld_h, m.state_columns(), h_factor[row]);
      if (has_c) bound(plan, dc + row * plan.ld_c, m.unit_columns(), c_factor[row]);
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
};

}  // namespace throughtime::TT_ISA
