// The gated recurrent unit with the reset gate before the product, n = tanh(W x + U (r ⊙ h_{t−1})): a step of
// two products, the second of which reads r ⊙ h_{t−1}.
#pragma once

#include "kernels/recurrent/cells/step.h"

namespace throughtime::TT_ISA {

struct GruBefore {
  static constexpr int gates = 3;
  static constexpr int slots = 3;  // n, r, z
  static constexpr int saved = 3;  // r z n
  static constexpr int input_slot = 0;
  static constexpr int input_gate[3] = {2, 0, 1};
  static constexpr int recurrent = 2;
  static constexpr int recurrent_slot = 1;
  static constexpr int recurrent_gate[2] = {0, 1};
  static constexpr int order[3] = {2, 0, 1};
  static constexpr int own_rows = 0;
  static constexpr bool before = true;
  static constexpr bool whole_rows = false;
  static constexpr bool general = true;
  static constexpr int candidate_gate = 2;  // of the weights, whose product is the second

  template <class T>
  static inline void forward(const StepForward<T>& s, std::int64_t row, std::ptrdiff_t unit, int count) {
    constexpr int L = lanes<T>;
    T* const pre = s.pre + row * s.ld_pre + unit * slots;
    const Vec<T> r = value<T>(s.choices->activation[0], load(pre + L));
    const Vec<T> z = value<T>(s.choices->activation[0], load(pre + 2 * L));
    store<T>(s.reset + row * s.ld_reset + unit, r * load(s.h_prev + row * s.ld_h + unit));
    store<T>(pre + 2 * L, z);
    if (s.gates != nullptr) {
      T* const kept = s.gates + s.token[row] * saved * s.hidden + unit;
      keep<T>(kept, r, count);
      keep<T>(kept + s.hidden, z, count);
    }
  }

  template <class T>
  static inline void finish(const StepForward<T>& s, std::int64_t row, std::ptrdiff_t unit, int count) {
    constexpr int L = lanes<T>;
    const T* pre = s.pre + row * s.ld_pre + unit * slots;
    const Vec<T> total = load(pre) + load(s.candidate + row * s.ld_candidate + unit);
    const Vec<T> n = value<T>(s.choices->activation[1], total);
    const Vec<T> z = load(pre + 2 * L);
    const Vec<T> h_prev = load(s.h_prev + row * s.ld_h + unit);
    const Vec<T> h = s.choices->update_new ? fma<T>(z, n - h_prev, h_prev) : fma<T>(z, h_prev - n, n);
    store<T>(s.h_next + row * s.ld_h + unit, h);
    const std::int64_t token = s.token[row];
    put<T>(s.y + token * s.ld_y + unit, h, count);
    if (s.gates != nullptr) keep<T>(s.gates + (token * saved + 2) * s.hidden + unit, n, count);
  }

  template <class T>
  static inline void backward(const StepBackward<T>& s, std::int64_t row, std::ptrdiff_t unit, int count) {
    const Vec<T> one = broadcast(T(1));
    const std::int64_t token = s.token[row];
    const Vec<T> dh = gradient_of_h(s, row, unit, count);
    const T* kept = s.gates + token * saved * s.hidden + unit;
    const Vec<T> r = take(kept, count), z = take(kept + s.hidden, count), n = take(kept + 2 * s.hidden, count);
    const Vec<T> h_prev = take(s.h_prev + row * s.ld_h_prev + unit, count);
    const bool admitted = s.choices->update_new;
    Vec<T> dn = dh * (admitted ? z : one - z), dz = dh * (admitted ? n - h_prev : h_prev - n);
    if (s.dgates != nullptr) {
      const T* given = s.dgates + token * saved * s.hidden + unit;
      dz += take(given + s.hidden, count);
      dn += take(given + 2 * s.hidden, count);
    }
    T* const out = s.dg + row * s.ld_dg + unit;
    store<T>(out, dn * slope<T>(s.choices->activation[1], n));
    store<T>(out + 2 * s.padded, dz * slope<T>(s.choices->activation[0], z));
    store<T>(s.dh + row * s.ld_dh + unit, dh * (admitted ? one - z : z));
    store<T>(s.factor + row * s.ld_factor + unit, r * h_prev);
  }

  template <class T>
  static inline void backward_of_reset(const StepBackward<T>& s, std::int64_t row, std::ptrdiff_t unit,
                                       int count) {
    const std::int64_t token = s.token[row];
    const Vec<T> r = take(s.gates + token * saved * s.hidden + unit, count);
    const Vec<T> h_prev = take(s.h_prev + row * s.ld_h_prev + unit, count);
    const Vec<T> d_reset = take(s.d_reset + row * s.ld_d_reset + unit, count);
    Vec<T> dr = d_reset * h_prev;
    if (s.dgates != nullptr) dr += take(s.dgates + token * saved * s.hidden + unit, count);
    store<T>(s.dg + row * s.ld_dg + s.padded + unit, dr * slope<T>(s.choices->activation[0], r));
    T* const dh = s.dh + row * s.ld_dh + unit;
    store<T>(dh, fma<T>(d_reset, r, load(dh)));
  }
};

}  // namespace throughtime::TT_ISA
