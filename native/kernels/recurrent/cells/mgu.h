// The minimal gated unit: one gate f, which resets and updates, n = tanh(W x + U (f ⊙ h_{t−1})) and
// h = (1 − f) h_{t−1} + f n. A step has two products, as that of the GRU in gru_before.h.
#pragma once

#include "kernels/recurrent/cells/step.h"

namespace throughtime::TT_ISA {

struct Mgu {
  static constexpr int gates = 2;
  static constexpr int slots = 2;  // n, f
  static constexpr int saved = 2;  // f n
  static constexpr int input_slot = 0;
  static constexpr int input_gate[2] = {1, 0};
  static constexpr int recurrent = 1;
  static constexpr int recurrent_slot = 1;
  static constexpr int recurrent_gate[1] = {0};
  static constexpr int order[2] = {1, 0};
  static constexpr int own_rows = 0;
  static constexpr bool before = true;
  static constexpr bool whole_rows = false;
  static constexpr bool general = true;
  static constexpr int candidate_gate = 1;  // of the weights, whose product is the second

  template <class T>
  static inline void forward(const StepForward<T>& s, std::int64_t row, std::ptrdiff_t unit, int count) {
    T* const pre = s.pre + row * s.ld_pre + unit * slots + lanes<T>;
    const Vec<T> f = value<T>(s.choices->activation[0], load(pre));
    store<T>(s.reset + row * s.ld_reset + unit, f * load(s.h_prev + row * s.ld_h + unit));
    store<T>(pre, f);
    if (s.gates != nullptr) keep<T>(s.gates + s.token[row] * saved * s.hidden + unit, f, count);
  }

  template <class T>
  static inline void finish(const StepForward<T>& s, std::int64_t row, std::ptrdiff_t unit, int count) {
    const T* pre = s.pre + row * s.ld_pre + unit * slots;
    const Vec<T> total = load(pre) + load(s.candidate + row * s.ld_candidate + unit);
    const Vec<T> n = value<T>(s.choices->activation[1], total), f = load(pre + lanes<T>);
    const Vec<T> h_prev = load(s.h_prev + row * s.ld_h + unit);
    const Vec<T> h = fma<T>(f, n - h_prev, h_prev);
    store<T>(s.h_next + row * s.ld_h + unit, h);
    const std::int64_t token = s.token[row];
    put<T>(s.y + token * s.ld_y + unit, h, count);
    if (s.gates != nullptr) keep<T>(s.gates + (token * saved + 1) * s.hidden + unit, n, count);
  }

  template <class T>
  static inline void backward(const StepBackward<T>& s, std::int64_t row, std::ptrdiff_t unit, int count) {
    const std::int64_t token = s.token[row];
    const Vec<T> dh = gradient_of_h(s, row, unit, count);
    const T* kept = s.gates + token * saved * s.hidden + unit;
    const Vec<T> f = take(kept, count), n = take(kept + s.hidden, count);
    const Vec<T> h_prev = take(s.h_prev + row * s.ld_h_prev + unit, count);
    Vec<T> dn = dh * f, df = dh * (n - h_prev);
    if (s.dgates != nullptr) {
      const T* given = s.dgates + token * saved * s.hidden + unit;
      df += take(given, count);
      dn += take(given + s.hidden, count);
    }
    T* const out = s.dg + row * s.ld_dg + unit;
    store<T>(out, dn * slope<T>(s.choices->activation[1], n));
    store<T>(out + s.padded, df);  // the second product adds to it
    store<T>(s.dh + row * s.ld_dh + unit, dh * (broadcast(T(1)) - f));
    store<T>(s.factor + row * s.ld_factor + unit, f * h_prev);
  }

  template <class T>
  static inline void backward_of_reset(const StepBackward<T>& s, std::int64_t row, std::ptrdiff_t unit, int count) {
    const Vec<T> f = take(s.gates + s.token[row] * saved * s.hidden + unit, count);
    const Vec<T> h_prev = take(s.h_prev + row * s.ld_h_prev + unit, count);
    const Vec<T> d_reset = take(s.d_reset + row * s.ld_d_reset + unit, count);
    T* const out = s.dg + row * s.ld_dg + s.padded + unit;
    store<T>(out, fma<T>(d_reset, h_prev, load(out)) * slope<T>(s.choices->activation[0], f));
    T* const dh = s.dh + row * s.ld_dh + unit;
    store<T>(dh, fma<T>(d_reset, f, load(dh)));
  }
};

}  // namespace throughtime::TT_ISA
