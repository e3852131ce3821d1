// Long short-term memory with LayerNorm inside the cell: of W x and of U h_{t−1}, each over all four gates, and
// of c in the equation of h. Each part of a step first reads whole rows.
#pragma once

#include <math.h>

#include "kernels/recurrent/cells/step.h"

namespace throughtime::TT_ISA {

struct LayerNormLstm {
  static constexpr int gates = 4;   // i f g o
  static constexpr int slots = 12;  // W x, U h and what goes into the activations, of i f g o each
  static constexpr int saved = 12;  // i f g o, U h of each, W x of each
  static constexpr int input_slot = 0;
  static constexpr int input_gate[4] = {0, 1, 2, 3};
  static constexpr int recurrent = 4;
  static constexpr int recurrent_slot = 4;
  static constexpr int recurrent_gate[4] = {0, 1, 2, 3};
  static constexpr int order[12] = {8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3};
  static constexpr int own_rows = 10;
  static constexpr bool before = false;
  static constexpr bool whole_rows = true;
  static constexpr bool general = true;
  static constexpr int forward_parts = 2, backward_parts = 3;

  static constexpr int total_slot = 8;           // of what goes into the activations
  static constexpr int kept_h = 4, kept_x = 8;   // of `saved`
  static constexpr int gain_x = 0, gain_h = 4, gain_c = 8, shift_c = 9;  // of the own rows

  // A row's (x − mean) · scale has mean 0 and, but for epsilon, variance 1.
  template <class T>
  struct Moments {
    Vec<T> mean, scale;
    Vec<T> normal(Vec<T> x) const { return (x - mean) * scale; }
  };

  // The sums over a row that a gradient on its way back through a normalisation loses.
  template <class T>
  struct Lost {
    Vec<T> mean, along;
  };

  template <class T>
  static inline int lanes_at(std::ptrdiff_t unit, std::ptrdiff_t hidden) {
    return hidden - unit < lanes<T> ? static_cast<int>(hidden - unit) : lanes<T>;
  }

  template <class T>
  static inline Vec<T> first_lanes(Vec<T> x, int count) {
    for (int l = count; l < lanes<T>; ++l) x[l] = T(0);
    return x;
  }

  // read(block, unit, count): a vector of one of the row's `blocks` of H values, zero from `count` on.
  template <class T, int blocks, class Read>
  static inline Moments<T> moments_of(std::ptrdiff_t hidden, double epsilon, const Read& read) {
    const T size = static_cast<T>(blocks * hidden);
    Vec<T> sum{}, squares{};
    for (std::ptrdiff_t unit = 0; unit < hidden; unit += lanes<T>) {
      for (int block = 0; block < blocks; ++block) sum += read(block, unit, lanes_at<T>(unit, hidden));
    }
    const Vec<T> mean = broadcast(total<T>(sum) / size);
    for (std::ptrdiff_t unit = 0; unit < hidden; unit += lanes<T>) {
      const int count = lanes_at<T>(unit, hidden);
      for (int block = 0; block < blocks; ++block) {
        const Vec<T> from_mean = first_lanes<T>(read(block, unit, count) - mean, count);
        squares = fma<T>(from_mean, from_mean, squares);
      }
    }
    const double variance = static_cast<double>(total<T>(squares) / size);
    return {mean, broadcast(static_cast<T>(1 / ::sqrt(variance + epsilon)))};
  }

  // read(block, unit, count): the normal value and the gradient of it.
  template <class T, int blocks, class Read>
  static inline Lost<T> lost_of(std::ptrdiff_t hidden, const Read& read) {
    const T size = static_cast<T>(blocks * hidden);
    Vec<T> sum{}, along{};
    for (std::ptrdiff_t unit = 0; unit < hidden; unit += lanes<T>) {
      for (int block = 0; block < blocks; ++block) {
        Vec<T> normal{}, d{};
        read(block, unit, lanes_at<T>(unit, hidden), normal, d);
        sum += d;
        along = fma<T>(d, normal, along);
      }
    }
    return {broadcast(total<T>(sum) / size), broadcast(total<T>(along) / size)};
  }

  // The gradient of x, given that of its normal value.
  template <class T>
  static inline Vec<T> through(const Moments<T>& moments, const Lost<T>& lost, Vec<T> normal, Vec<T> d) {
    return moments.scale * (d - lost.mean - normal * lost.along);
  }

  template <class T>
  static inline void forward(const StepForward<T>& s, int part, std::int64_t row, std::ptrdiff_t begin,
                             std::ptrdiff_t end) {
    part == 0 ? make_c(s, row, begin, end) : make_h(s, row, begin, end);
  }

  template <class T>
  static inline void make_c(const StepForward<T>& s, std::int64_t row, std::ptrdiff_t begin, std::ptrdiff_t end) {
    constexpr int L = lanes<T>;
    T* const pre = s.pre + row * s.ld_pre;
    const auto product = [&](int slot, std::ptrdiff_t unit) { return load(pre + unit * slots + slot * L); };
    const double epsilon = s.choices->epsilon;
    const Moments<T> of_x = moments_of<T, gates>(
        s.hidden, epsilon, [&](int gate, std::ptrdiff_t unit, int) { return product(input_slot + gate, unit); });
    const Moments<T> of_h = moments_of<T, gates>(
        s.hidden, epsilon, [&](int gate, std::ptrdiff_t unit, int) { return product(recurrent_slot + gate, unit); });
    for (std::ptrdiff_t unit = begin; unit < end; unit += L) {
      const int count = lanes_at<T>(unit, end);
      T* const kept = s.gates == nullptr ? nullptr : s.gates + s.token[row] * saved * s.hidden + unit;
      Vec<T> before[gates];
      for (int gate = 0; gate < gates; ++gate) {
        const Vec<T> x = product(input_slot + gate, unit), h = product(recurrent_slot + gate, unit);
        const T* const gain = s.own + gate * s.padded + unit;
        before[gate] = fma<T>(load(gain + gain_x * s.padded), of_x.normal(x), product(total_slot + gate, unit));
        before[gate] = fma<T>(load(gain + gain_h * s.padded), of_h.normal(h), before[gate]);
        if (kept == nullptr) continue;
        keep<T>(kept + (kept_h + gate) * s.hidden, h, count);
        keep<T>(kept + (kept_x + gate) * s.hidden, x, count);
      }
      const Choice<T>*const of_gates = &s.choices->activation[0], *const of_candidate = of_gates + 1;
      const Vec<T> i = value<T>(*of_gates, before[0]), f = value<T>(*of_gates, before[1]);
      const Vec<T> g = value<T>(*of_candidate, before[2]), o = value<T>(*of_gates, before[3]);
      T* const c = s.c + row * s.ld_c + unit;
      store<T>(c, first_lanes<T>(fma<T>(f, load(c), i * g), count));
      store<T>(pre + unit * slots + total_slot * L, o);
      if (kept == nullptr) continue;
      keep<T>(kept, i, count);
      keep<T>(kept + s.hidden, f, count);
      keep<T>(kept + 2 * s.hidden, g, count);
      keep<T>(kept + 3 * s.hidden, o, count);
    }
  }

  template <class T>
  static inline void make_h(const StepForward<T>& s, std::int64_t row, std::ptrdiff_t begin, std::ptrdiff_t end) {
    const T* const c_row = s.c + row * s.ld_c;
    const Moments<T> of_c = moments_of<T, 1>(s.hidden, s.choices->epsilon,
                                             [&](int, std::ptrdiff_t unit, int) { return load(c_row + unit); });
    const std::int64_t token = s.token[row];
    for (std::ptrdiff_t unit = begin; unit < end; unit += lanes<T>) {
      const int count = lanes_at<T>(unit, end);
      const Vec<T> c = load(c_row + unit), o = load(s.pre + row * s.ld_pre + unit * slots + total_slot * lanes<T>);
      const Vec<T> h = o * value<T>(s.choices->activation[2], shown(s.own, s.padded, unit, of_c.normal(c)));
      store<T>(s.h_next + row * s.ld_h + unit, h);
      if (s.y != nullptr) put<T>(s.y + token * s.ld_y + unit, h, count);
      if (s.c_out != nullptr) keep<T>(s.c_out + token * s.hidden + unit, c, count);
    }
  }

  // What the activation of c reads.
  template <class T>
  static inline Vec<T> shown(const T* own, std::ptrdiff_t padded, std::ptrdiff_t unit, Vec<T> normal) {
    return fma<T>(load(own + gain_c * padded + unit), normal, load(own + shift_c * padded + unit));
  }

  template <class T>
  static inline void backward(const StepBackward<T>& s, int part, std::int64_t row, std::ptrdiff_t begin,
                              std::ptrdiff_t end) {
    part == 0 ? through_h(s, row, begin, end) : part == 1 ? through_c(s, row, begin, end) : through_sums(s, row, begin, end);
  }

  template <class T>
  static inline Moments<T> moments_of_c(const StepBackward<T>& s, const T* c) {
    return moments_of<T, 1>(s.hidden, s.choices->epsilon,
                            [&](int, std::ptrdiff_t unit, int count) { return take(c + unit, count); });
  }

  // From h to o, and to the normal value of c: its gradient waits in the first slot until the whole row has it.
  template <class T>
  static inline void through_h(const StepBackward<T>& s, std::int64_t row, std::ptrdiff_t begin, std::ptrdiff_t end) {
    const Choice<T>&of_gates = s.choices->activation[0], &of_c = s.choices->activation[2];
    const std::int64_t token = s.token[row];
    const T* const c = s.c + token * s.hidden;
    const Moments<T> moments = moments_of_c(s, c);
    T* const dg = s.dg + row * s.ld_dg;
    for (std::ptrdiff_t unit = begin; unit < end; unit += lanes<T>) {
      const int count = lanes_at<T>(unit, end);
      const Vec<T> dh = gradient_of_h(s, row, unit, count);
      const std::ptrdiff_t place = (token * saved + 3) * s.hidden + unit;
      const Vec<T> o = take(s.gates + place, count), normal = moments.normal(take(c + unit, count));
      const Vec<T> seen = value<T>(of_c, shown(s.own, s.padded, unit, normal));
      const Vec<T> d_shown = dh * o * slope<T>(of_c, seen);
      add(s.d_own + gain_c * s.padded + unit, d_shown * normal);
      add(s.d_own + shift_c * s.padded + unit, d_shown);
      Vec<T> d_o = dh * seen;
      if (s.dgates != nullptr) d_o += take(s.dgates + place, count);
      store<T>(dg + unit, d_shown * load(s.own + gain_c * s.padded + unit));
      store<T>(dg + (total_slot + 3) * s.padded + unit, d_o * slope<T>(of_gates, o));
      store<T>(s.dh + row * s.ld_dh + unit, Vec<T>{});
      if (s.factor != nullptr) store<T>(s.factor + row * s.ld_factor + unit, o * seen);
    }
  }

  // From c to what goes into the activations.
  template <class T>
  static inline void through_c(const StepBackward<T>& s, std::int64_t row, std::ptrdiff_t begin, std::ptrdiff_t end) {
    const Choice<T>&of_gates = s.choices->activation[0], &of_candidate = s.choices->activation[1];
    const std::int64_t token = s.token[row], before_it = s.token_before[row];
    const T* const c = s.c + token * s.hidden;
    const T* const c_before = before_it < 0 ? s.c_start[row] : s.c + before_it * s.hidden;
    T* const dg = s.dg + row * s.ld_dg;
    const Moments<T> moments = moments_of_c(s, c);
    const auto read = [&](int, std::ptrdiff_t unit, int count, Vec<T>& normal, Vec<T>& d) {
      normal = moments.normal(take(c + unit, count));
      d = load(dg + unit);
    };
    const Lost<T> lost = lost_of<T, 1>(s.hidden, read);
    for (std::ptrdiff_t unit = begin; unit < end; unit += lanes<T>) {
      const int count = lanes_at<T>(unit, end);
      const T* const kept = s.gates + token * saved * s.hidden + unit;
      const T* const given = s.dgates == nullptr ? nullptr : s.dgates + token * saved * s.hidden + unit;
      const Vec<T> i = take(kept, count), f = take(kept + s.hidden, count), g = take(kept + 2 * s.hidden, count);
      T* const dc_place = s.dc + row * s.ld_dc + unit;
      Vec<T> normal{}, d{};
      read(0, unit, count, normal, d);
      Vec<T> dc = load(dc_place) + first_lanes<T>(through(moments, lost, normal, d), count);
      if (s.dc_in != nullptr) dc += take(s.dc_in + token * s.hidden + unit, count);
      tell_gradient_of_c(s, row, unit, count, dc);
      Vec<T> di = dc * g, df = dc * take(c_before + unit, count), d_g = dc * i;
      if (given != nullptr) {
        di += take(given, count);
        df += take(given + s.hidden, count);
        d_g += take(given + 2 * s.hidden, count);
      }
      T* const out = dg + total_slot * s.padded + unit;
      store<T>(out, di * slope<T>(of_gates, i));
      store<T>(out + s.padded, df * slope<T>(of_gates, f));
      store<T>(out + 2 * s.padded, d_g * slope<T>(of_candidate, g));
      store<T>(dc_place, dc * f);
    }
  }

  // From what goes into the activations to both products.
  template <class T>
  static inline void through_sums(const StepBackward<T>& s, std::int64_t row, std::ptrdiff_t begin,
                                  std::ptrdiff_t end) {
    through_product(s, row, begin, end, input_slot, kept_x, gain_x);
    through_product(s, row, begin, end, recurrent_slot, kept_h, gain_h);
  }

  template <class T>
  static inline void through_product(const StepBackward<T>& s, std::int64_t row, std::ptrdiff_t begin,
                                     std::ptrdiff_t end, int slot, int kept, int gain) {
    const std::int64_t place = (s.token[row] * saved + kept) * s.hidden;
    T* const dg = s.dg + row * s.ld_dg;
    const auto product = [&](int gate, std::ptrdiff_t unit, int count) {
      return take(s.gates + place + gate * s.hidden + unit, count);
    };
    const Moments<T> moments = moments_of<T, gates>(s.hidden, s.choices->epsilon, product);
    const auto read = [&](int gate, std::ptrdiff_t unit, int count, Vec<T>& normal, Vec<T>& d) {
      normal = moments.normal(product(gate, unit, count));
      d = load(dg + (total_slot + gate) * s.padded + unit) * load(s.own + (gain + gate) * s.padded + unit);
    };
    const Lost<T> lost = lost_of<T, gates>(s.hidden, read);
    for (std::ptrdiff_t unit = begin; unit < end; unit += lanes<T>) {
      const int count = lanes_at<T>(unit, end);
      for (int gate = 0; gate < gates; ++gate) {
        Vec<T> normal{}, d{};
        read(gate, unit, count, normal, d);
        add(s.d_own + (gain + gate) * s.padded + unit, load(dg + (total_slot + gate) * s.padded + unit) * normal);
        Vec<T> d_product = through(moments, lost, normal, d);
        if (s.dgates != nullptr) d_product += take(s.dgates + place + gate * s.hidden + unit, count);
        store<T>(dg + (slot + gate) * s.padded + unit, first_lanes<T>(d_product, count));
      }
    }
  }

  template <class T>
  static inline void add(T* place, Vec<T> x) {
    store<T>(place, load(place) + x);
  }
};

}  // namespace throughtime::TT_ISA
