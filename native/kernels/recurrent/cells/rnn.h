// The Elman RNN, with tanh, relu, or an activation chosen at run time.
#pragma once

#include "kernels/recurrent/cells/step.h"

namespace throughtime::TT_ISA {

enum class RnnKind { tanh, relu, general };

template <RnnKind Kind>
struct Rnn {
  static constexpr int gates = 1;
  static constexpr int slots = 1;
  static constexpr int saved = 0;
  static constexpr int input_slot = 0;
  static constexpr int input_gate[1] = {0};
  static constexpr int recurrent = 1;
  static constexpr int recurrent_slot = 0;
  static constexpr int recurrent_gate[1] = {0};
  static constexpr int order[1] = {0};
  static constexpr int own_rows = 0;
  static constexpr bool before = false;
  static constexpr bool whole_rows = false;
  static constexpr bool general = Kind == RnnKind::general;

  template <class T>
  static inline void forward(const StepForward<T>& s, std::int64_t row, std::ptrdiff_t unit, int count) {
    const Vec<T> pre = load(s.pre + row * s.ld_pre + unit);
    Vec<T> h;
    if constexpr (Kind == RnnKind::general) {
      h = value<T>(s.choices->activation[0], pre);
    } else {
      h = Kind == RnnKind::relu ? relu<T>(pre) : tanh<T>(pre);
    }
    store<T>(s.h_next + row * s.ld_h + unit, h);
    put<T>(s.y + s.token[row] * s.ld_y + unit, h, count);
  }

  template <class T>
  static inline void backward(const StepBackward<T>& s, std::int64_t row, std::ptrdiff_t unit, int count) {
    const Vec<T> dh = gradient_of_h(s, row, unit, count);
    const Vec<T> h = take(s.y + s.token[row] * s.ld_y + unit, count);
    Vec<T> d;
    if constexpr (Kind == RnnKind::general) {
      d = dh * slope<T>(s.choices->activation[0], h);
    } else {
      // torch's relu passes no gradient where h is 0, and all of it where h is NaN.
      d = Kind == RnnKind::relu ? (h <= Vec<T>{} ? Vec<T>{} : dh) : dh * (broadcast(T(1)) - h * h);
    }
    store<T>(s.dg + row * s.ld_dg + unit, d);
    store<T>(s.dh + row * s.ld_dh + unit, Vec<T>{});
  }
};

}  // namespace throughtime::TT_ISA
