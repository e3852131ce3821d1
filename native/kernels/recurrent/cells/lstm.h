// Long short-term memory: the plain one, and the general one with peepholes, any activations, bounds, and f
// coupled to i.
#pragma once

#include "kernels/recurrent/cells/step.h"

namespace throughtime::TT_ISA {

struct Lstm {
  static constexpr int gates = 4;
  static constexpr int slots = 4;  // i f g o
  static constexpr int saved = 4;
  static constexpr int input_slot = 0;
  static constexpr int input_gate[4] = {0, 1, 2, 3};
  static constexpr int recurrent = 4;
  static constexpr int recurrent_slot = 0;
  static constexpr int recurrent_gate[4] = {0, 1, 2, 3};
  static constexpr int order[4] = {0, 1, 2, 3};
  static constexpr int own_rows = 0;
  static constexpr bool before = false;
  static constexpr bool whole_rows = false;
  static constexpr bool general = false;

  template <class T>
  static inline void forward(const StepForward<T>& s, std::int64_t row, std::ptrdiff_t unit, int count) {
    constexpr int L = lanes<T>;
    const T* pre = s.pre + row * s.ld_pre + unit * slots;
    const Vec<T> i = sigmoid<T>(load(pre));
    const Vec<T> f = sigmoid<T>(load(pre + L));
    const Vec<T> g = tanh<T>(load(pre + 2 * L));
    const Vec<T> o = sigmoid<T>(load(pre + 3 * L));
    T* const c_place = s.c + row * s.ld_c + unit;
    const Vec<T> c = fma<T>(f, load(c_place), i * g);
    const Vec<T> h = o * tanh<T>(c);
    store<T>(c_place, c);
    store<T>(s.h_next + row * s.ld_h + unit, h);
    give(s, row, unit, count, h, c, i, f, g, o);
  }

  // What the caller's arrays get of a step.
  template <class T>
  static inline void give(const StepForward<T>& s, std::int64_t row, std::ptrdiff_t unit, int count, Vec<T> h,
                          Vec<T> c, Vec<T> i, Vec<T> f, Vec<T> g, Vec<T> o) {
    const std::int64_t token = s.token[row];
    if (s.y != nullptr) put<T>(s.y + token * s.ld_y + unit, h, count);
    if (s.c_out != nullptr) keep<T>(s.c_out + token * s.hidden + unit, c, count);
    if (s.gates != nullptr) {
      T* const kept = s.gates + token * saved * s.hidden + unit;
      keep<T>(kept, i, count);
      keep<T>(kept + s.hidden, f, count);
      keep<T>(kept + 2 * s.hidden, g, count);
      keep<T>(kept + 3 * s.hidden, o, count);
    }
  }

  template <class T>
  static inline void backward(const StepBackward<T>& s, std::int64_t row, std::ptrdiff_t unit, int count) {
    const Vec<T> one = broadcast(T(1));
    const std::int64_t token = s.token[row];
    const std::int64_t before_it = s.token_before[row];
    const Vec<T> dh = gradient_of_h(s, row, unit, count);
    const T* kept = s.gates + token * saved * s.hidden + unit;
    const Vec<T> i = take(kept, count), f = take(kept + s.hidden, count);
    const Vec<T> g = take(kept + 2 * s.hidden, count), o = take(kept + 3 * s.hidden, count);
    const Vec<T> tanh_c = tanh<T>(take(s.c + token * s.hidden + unit, count));
    const T* c_before = before_it < 0 ? s.c_start[row] : s.c + before_it * s.hidden;
    const Vec<T> c_prev = take(c_before + unit, count);
    T* const dc_place = s.dc + row * s.ld_dc + unit;
    Vec<T> dc = fma<T>(dh * o, one - tanh_c * tanh_c, load(dc_place));
    if (s.dc_in != nullptr) dc += take(s.dc_in + token * s.hidden + unit, count);
    tell_gradient_of_c(s, row, unit, count, dc);
    Vec<T> di = dc * g, df = dc * c_prev, dg = dc * i, d_o = dh * tanh_c;
    if (s.dgates != nullptr) {
      const T* given = s.dgates + token * saved * s.hidden + unit;
      di += take(given, count);
      df += take(given + s.hidden, count);
      dg += take(given + 2 * s.hidden, count);
      d_o += take(given + 3 * s.hidden, count);
    }
    T* const out = s.dg + row * s.ld_dg + unit;
    store<T>(out, di * (i * (one - i)));
    store<T>(out + s.padded, df * (f * (one - f)));
    store<T>(out + 2 * s.padded, dg * (one - g * g));
    store<T>(out + 3 * s.padded, d_o * (o * (one - o)));
    store<T>(dc_place, dc * f);
    store<T>(s.dh + row * s.ld_dh + unit, Vec<T>{});
    if (s.factor != nullptr) store<T>(s.factor + row * s.ld_factor + unit, o * tanh_c);
  }
};

template <bool Coupled>
struct GeneralLstm {
  static constexpr int gates = Coupled ? 3 : 4;
  static constexpr int slots = gates;  // i f g o, or i g o
  static constexpr int saved = 4;
  static constexpr int input_slot = 0;
  static constexpr int input_gate[4] = {0, 1, 2, 3};
  static constexpr int recurrent = gates;
  static constexpr int recurrent_slot = 0;
  static constexpr int recurrent_gate[4] = {0, 1, 2, 3};
  static constexpr int order[4] = {0, 1, 2, 3};
  static constexpr int own_rows = Coupled ? 2 : 3;  // the peepholes of i f o, or of i o
  static constexpr bool before = false;
  static constexpr bool whole_rows = false;
  static constexpr bool general = true;
  static constexpr int f_slot = 1, g_slot = gates - 2, o_slot = gates - 1;  // f is not there if coupled

  template <class T>
  static inline void forward(const StepForward<T>& s, std::int64_t row, std::ptrdiff_t unit, int count) {
    constexpr int L = lanes<T>;
    const Choice<T>*const gate = &s.choices->activation[0], *const candidate = gate + 1, *const output = gate + 2;
    const T* pre = s.pre + row * s.ld_pre + unit * slots;
    T* const c_place = s.c + row * s.ld_c + unit;
    const Vec<T> c_prev = load(c_place);
    Vec<T> i = load(pre), f{}, o = load(pre + o_slot * L);
    if constexpr (!Coupled) f = load(pre + f_slot * L);
    if (s.own != nullptr) {
      i = fma<T>(load(s.own + unit), c_prev, i);
      if constexpr (!Coupled) f = fma<T>(load(s.own + s.padded + unit), c_prev, f);
    }
    i = value<T>(*gate, i);
    f = Coupled ? broadcast(T(1)) - i : value<T>(*gate, f);
    const Vec<T> g = value<T>(*candidate, load(pre + g_slot * L));
    Vec<T> c = fma<T>(f, c_prev, i * g);
    if (s.choices->clips_cell) c = at_most<T>(at_least<T>(c, -s.choices->cell_clip), s.choices->cell_clip);
    if (s.own != nullptr) o = fma<T>(load(s.own + (own_rows - 1) * s.padded + unit), c, o);
    o = value<T>(*gate, o);
    const Vec<T> h = o * value<T>(*output, c);
    store<T>(c_place, c);
    store<T>(s.h_next + row * s.ld_h + unit, h);
    Lstm::give(s, row, unit, count, h, c, i, f, g, o);
  }

  template <class T>
  static inline void backward(const StepBackward<T>& s, std::int64_t row, std::ptrdiff_t unit, int count) {
    const Choice<T>*const gate = &s.choices->activation[0], *const candidate = gate + 1, *const output = gate + 2;
    const std::int64_t token = s.token[row];
    const std::int64_t before_it = s.token_before[row];
    const Vec<T> dh = gradient_of_h(s, row, unit, count);
    const T* kept = s.gates + token * saved * s.hidden + unit;
    const Vec<T> i = take(kept, count), f = take(kept + s.hidden, count);
    const Vec<T> g = take(kept + 2 * s.hidden, count), o = take(kept + 3 * s.hidden, count);
    const Vec<T> c = take(s.c + token * s.hidden + unit, count);
    const Vec<T> shown = value<T>(*output, c);
    const T* c_before = before_it < 0 ? s.c_start[row] : s.c + before_it * s.hidden;
    const Vec<T> c_prev = take(c_before + unit, count);
    T* const dc_place = s.dc + row * s.ld_dc + unit;
    Vec<T> dc = fma<T>(dh * o, slope<T>(*output, shown), load(dc_place));
    if (s.dc_in != nullptr) dc += take(s.dc_in + token * s.hidden + unit, count);
    const T* given = s.dgates == nullptr ? nullptr : s.dgates + token * saved * s.hidden + unit;
    Vec<T> d_o = dh * shown;
    if (given != nullptr) d_o += take(given + 3 * s.hidden, count);
    d_o = d_o * slope<T>(*gate, o);
    const T* const peep_o = s.own == nullptr ? nullptr : s.own + (own_rows - 1) * s.padded + unit;
    if (peep_o != nullptr) dc = fma<T>(load(peep_o), d_o, dc);
    tell_gradient_of_c(s, row, unit, count, dc);
    if (s.choices->clips_cell) {
      const Vec<T> unbounded = fma<T>(f, c_prev, i * g);
      dc = absolute<T>(unbounded) > broadcast(s.choices->cell_clip) ? Vec<T>{} : dc;
    }
    Vec<T> di = dc * g, df = dc * c_prev, dg = dc * i;
    if (given != nullptr) {
      di += take(given, count);
      df += take(given + s.hidden, count);
      dg += take(given + 2 * s.hidden, count);
    }
    if constexpr (Coupled) di -= df;
    di = di * slope<T>(*gate, i);
    df = df * slope<T>(*gate, f);
    Vec<T> dc_prev = dc * f;
    T* const out = s.dg + row * s.ld_dg + unit;
    if (s.own != nullptr) {
      dc_prev = fma<T>(load(s.own + unit), di, dc_prev);
      add(s.d_own + unit, di * c_prev);
      add(s.d_own + (own_rows - 1) * s.padded + unit, d_o * c);
      if constexpr (!Coupled) {
        dc_prev = fma<T>(load(s.own + s.padded + unit), df, dc_prev);
        add(s.d_own + s.padded + unit, df * c_prev);
      }
    }
    store<T>(out, di);
    if constexpr (!Coupled) store<T>(out + f_slot * s.padded, df);
    store<T>(out + g_slot * s.padded, dg * slope<T>(*candidate, g));
    store<T>(out + o_slot * s.padded, d_o);
    store<T>(dc_place, dc_prev);
    store<T>(s.dh + row * s.ld_dh + unit, Vec<T>{});
    if (s.factor != nullptr) store<T>(s.factor + row * s.ld_factor + unit, o * shown);
  }

  template <class T>
  static inline void add(T* place, Vec<T> x) {
    store<T>(place, load(place) + x);
  }
};

}  // namespace throughtime::TT_ISA
