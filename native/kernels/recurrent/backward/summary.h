// Optional statistics of every step: norms of gradients, and the number of saturated units of each gate.
#pragma once

#include "kernels/recurrent/backward/member.h"

namespace throughtime::TT_ISA {

template <class T, class Cell>
struct StepSummary {
  using Plan = BackwardPlan<T>;
  using Member = BackwardMember<T>;
  static constexpr int L = lanes<T>;

  // Norms and counts of a step. The threads of a group each have their own columns, and the first joins them.
  static void summarise(const Member& m, const StepBackward<T>& s, std::int64_t first, std::int64_t rows) {
    const Plan& plan = *m.plan;
    constexpr int count = summary_norms + 2 * Cell::saved;
    T* const given = static_cast<T*>(plan.direction->summary);
    for (std::int64_t row = 0; row < rows; ++row) {
      T* const out = m.grid.units == 1 ? given + s.token[row] * count
                                       : plan.sums + (m.number * plan.batch + row) * most_summary;
      summary_of(m, s, first, row, out);
    }
    if (m.grid.units == 1) return;
    m.barrier->wait(m.unit, m.grid.units);
    for (std::int64_t row = 0; m.unit == 0 && row < rows; ++row) {
      for (int i = 0; i < count; ++i) {
        double sum = 0;
        for (int unit = 0; unit < m.grid.units; ++unit) {
          const double part = plan.sums[((m.number + unit) * plan.batch + row) * most_summary + i];
          sum += i < summary_norms ? part * part : part;
        }
        given[s.token[row] * count + i] = static_cast<T>(i < summary_norms ? ::sqrt(sum) : sum);
      }
    }
    m.barrier->wait(m.unit, m.grid.units);
  }

  // Of `parts` rows that lie `apart`, as one. Gradients vanish and explode: squares that would not fit are taken in
  // units of the largest entry.
  static T norm_of(const T* row, Range columns, int parts = 1, std::ptrdiff_t apart = 0) {
    Vec<T> sum{};
    for (int part = 0; part < parts; ++part) {
      for (std::ptrdiff_t i = columns.begin; i < columns.end; i += L) {
        const Vec<T> x = take(row + part * apart + i, columns.end - i < L ? static_cast<int>(columns.end - i) : L);
        sum = fma<T>(x, x, sum);
      }
    }
    const double square = static_cast<double>(total<T>(sum));
    constexpr double safe = sizeof(T) == 4 ? 1e-28 : 1e-280;
    if (square > safe && square < 1 / safe) return static_cast<T>(::sqrt(square));
    return scaled_norm_of(row, columns, parts, apart);
  }

  static T scaled_norm_of(const T* row, Range columns, int parts, std::ptrdiff_t apart) {
    double largest = 0, scaled = 0;
    for (int part = 0; part < parts; ++part) {
      for (std::ptrdiff_t i = columns.begin; i < columns.end; ++i) {
        const double x = ::fabs(static_cast<double>(row[part * apart + i]));
        if (x != x) return static_cast<T>(x);
        if (x > largest) largest = x;
      }
    }
    if (!(largest > 0 && largest < HUGE_VAL)) return static_cast<T>(largest);
    for (int part = 0; part < parts; ++part) {
      for (std::ptrdiff_t i = columns.begin; i < columns.end; ++i) {
        const double x = static_cast<double>(row[part * apart + i]) / largest;
        scaled += x * x;
      }
    }
    return static_cast<T>(largest * ::sqrt(scaled));
  }

  // This thread's part of one row's.
  static void summary_of(const Member& m, const StepBackward<T>& s, std::int64_t first, std::int64_t row, T* out) {
    const Plan& plan = *m.plan;
    const Range own = m.unit_columns(), state = m.state_columns();
    const T* const dg = s.dg + row * s.ld_dg;
    out[0] = plan.projects ? norm_of(plan.dh_total + (first + row) * plan.ld_h, state)
                           : norm_of(s.dh_whole + row * s.ld_whole, own);
    out[1] = plan.direction->c == nullptr ? T(0) : norm_of(s.dc_whole + row * s.ld_whole, own);
    out[2] = norm_of(dg + Cell::recurrent_slot * plan.padded, own, Cell::recurrent, plan.padded);
    out[3] = norm_of(s.h_prev + row * s.ld_h_prev, state);
    out[4] = Cell::before ? norm_of(dg, own) : T(0);
    out[5] = Cell::before ? norm_of(s.factor + row * s.ld_factor, own) : T(0);
    const Vec<T> low = broadcast(T(0.1)), high = broadcast(T(0.9));
    for (int gate = 0; gate < Cell::saved; ++gate) {
      const T* const kept = s.gates + (s.token[row] * Cell::saved + gate) * s.hidden;
      std::ptrdiff_t closed = 0, open = 0;
      for (std::ptrdiff_t u = own.begin; u < own.end; u += L) {
        const int count = own.end - u < L ? static_cast<int>(own.end - u) : L;
        const Vec<T> g = take(kept + u, count);
        closed += count_less<T>(g, low) - (L - count);  // lanes that were not read are zero
        open += count_less<T>(high, g);
      }
      out[summary_norms + 2 * gate] = static_cast<T>(closed);
      out[summary_norms + 2 * gate + 1] = static_cast<T>(open);
    }
  }
};

}  // namespace throughtime::TT_ISA
