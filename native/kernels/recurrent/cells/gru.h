// The gated recurrent unit with the reset gate after the product: the plain one, as in torch, and the general one
// with any activations, a bound, and optionally z as the weight of the new value.
#pragma once

#include "kernels/recurrent/cells/step.h"

namespace throughtime::TT_ISA {

template <bool General>
struct Gru {
  static constexpr int gates = 3;
  static constexpr int slots = 4;  // n's input part, r, z, n's recurrent part
  static constexpr int saved = 4;  // r z n, and n's recurrent part
  static constexpr int input_slot = 0;
  static constexpr int input_gate[3] = {2, 0, 1};
  static constexpr int recurrent = 3;
  static constexpr int recurrent_slot = 1;
  static constexpr int recurrent_gate[3] = {0, 1, 2};
  static constexpr int order[4] = {2, 0, 1, 3};
  static constexpr int own_rows = 0;
  static constexpr bool before = false;
  static constexpr bool whole_rows = false;
  static constexpr bool general = General;

  template <class T>
  static inline Vec<T> gate(const Choices<T>* choices, Vec<T> x) {
    if constexpr (General) return value<T>(choices->activation[0], x);
    return sigmoid<T>(x);
  }
  template <class T>
  static inline Vec<T> candidate(const Choices<T>* choices, Vec<T> x) {
    if constexpr (General) return value<T>(choices->activation[1], x);
    return tanh<T>(x);
  }
  template <class T>
  static inline Vec<T> gate_slope(const Choices<T>* choices, Vec<T> y) {
    if constexpr (General) return slope<T>(choices->activation[0], y);
    return y * (broadcast(T(1)) - y);
  }
  template <class T>
  static inline Vec<T> candidate_slope(const Choices<T>* choices, Vec<T> y) {
    if constexpr (General) return slope<T>(choices->activation[1], y);
    return broadcast(T(1)) - y * y;
  }
  // Whether z admits the new value.
  template <class T>
  static inline bool admits(const Choices<T>* choices) {
    return General && choices->update_new;
  }

  template <class T>
  static inline void forward(const StepForward<T>& s, std::int64_t row, std::ptrdiff_t unit, int count) {
    constexpr int L = lanes<T>;
    const T* pre = s.pre + row * s.ld_pre + unit * slots;
    const Vec<T> r = gate<T>(s.choices, load(pre + L));
    const Vec<T> z = gate<T>(s.choices, load(pre + 2 * L));
    const Vec<T> recurrent_part = load(pre + 3 * L);
    const Vec<T> n = candidate<T>(s.choices, fma<T>(r, recurrent_part, load(pre)));
    const Vec<T> h_prev = load(s.h_prev + row * s.ld_h + unit);
    const Vec<T> h = admits(s.choices) ? fma<T>(z, n - h_prev, h_prev) : fma<T>(z, h_prev - n, n);
    store<T>(s.h_next + row * s.ld_h + unit, h);
    const std::int64_t token = s.token[row];
    put<T>(s.y + token * s.ld_y + unit, h, count);
    if (s.gates != nullptr) {
      T* const kept = s.gates + token * saved * s.hidden + unit;
      keep<T>(kept, r, count);
      keep<T>(kept + s.hidden, z, count);
      keep<T>(kept + 2 * s.hidden, n, count);
      keep<T>(kept + 3 * s.hidden, recurrent_part, count);
    }
  }

  template <class T>
  static inline void backward(const StepBackward<T>& s, std::int64_t row, std::ptrdiff_t unit, int count) {
    const Vec<T> one = broadcast(T(1));
    const std::int64_t token = s.token[row];
    const Vec<T> dh = gradient_of_h(s, row, unit, count);
    const T* kept = s.gates + token * saved * s.hidden + unit;
    const Vec<T> r = take(kept, count), z = take(kept + s.hidden, count);
    const Vec<T> n = take(kept + 2 * s.hidden, count), recurrent_part = take(kept + 3 * s.hidden, count);
    const Vec<T> h_prev = take(s.h_prev + row * s.ld_h_prev + unit, count);
    const bool admitted = admits(s.choices);
    Vec<T> dn = dh * (admitted ? z : one - z), dz = dh * (admitted ? n - h_prev : h_prev - n);
    const T* given = s.dgates == nullptr ? nullptr : s.dgates + token * saved * s.hidden + unit;
    if (given != nullptr) {
      dz += take(given + s.hidden, count);
      dn += take(given + 2 * s.hidden, count);
    }
    dn = dn * candidate_slope<T>(s.choices, n);
    Vec<T> dr = dn * recurrent_part, d_recurrent = dn * r;
    if (given != nullptr) {
      dr += take(given, count);
      d_recurrent += take(given + 3 * s.hidden, count);
    }
    T* const out = s.dg + row * s.ld_dg + unit;
    store<T>(out, dn);
    store<T>(out + s.padded, dr * gate_slope<T>(s.choices, r));
    store<T>(out + 2 * s.padded, dz * gate_slope<T>(s.choices, z));
    store<T>(out + 3 * s.padded, d_recurrent);
    store<T>(s.dh + row * s.ld_dh + unit, dh * (admitted ? one - z : z));
  }
};

}  // namespace throughtime::TT_ISA
