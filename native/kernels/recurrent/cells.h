// What a step computes of each hidden unit, and its gradient beside it; one struct per cell.
//
// A cell sees one vector of units at a time. Its preactivations lie slot by slot: those of the units
// u … u + lanes − 1 at pre + u · slots + s · lanes. The gradient row of a step holds slot s of unit u at
// s · padded + u, where padded is H rounded up to whole vectors; what is beyond H is zero.
#pragma once

#include "kernels/activations.h"
#include "kernels/recurrent/recurrent.h"

namespace throughtime::TT_ISA {

// One step of some rows, forward. A row is a sequence that is alive; its token is in row `token[i]` of the
// caller's arrays.
template <class T>
struct StepForward {
  std::ptrdiff_t hidden;
  const std::int64_t* token;
  T* pre;  // scratch: preactivations, complete but for what the cell adds itself
  std::ptrdiff_t ld_pre;
  const T* h_prev;  // scratch: (rows, padded), h of the step before
  T* h_next;        // scratch: where h goes, or with a projection what will be projected
  std::ptrdiff_t ld_h;
  T* c;  // scratch: (rows, padded), from step to step in place
  std::ptrdiff_t ld_c;
  T* y;  // (T, D·P), this direction's columns; null: written elsewhere
  std::ptrdiff_t ld_y;
  T* c_out;  // (T, H) or null
  T* gates;  // (T, S·H) or null
};

// One step of some rows, backward.
template <class T>
struct StepBackward {
  std::ptrdiff_t hidden;
  std::ptrdiff_t padded;
  const std::int64_t* token;
  const std::int64_t* token_before;  // row of the token before, or −1 at the start
  T* dh;  // scratch: in, the gradient of h from the step after; out, the part that does not pass a product
  std::ptrdiff_t ld_dh;
  T* dc;  // scratch: the same for c, in place
  std::ptrdiff_t ld_dc;
  T* dg;  // scratch: out, gradients of the preactivations
  std::ptrdiff_t ld_dg;
  const T* h_prev;  // scratch: (rows, ·) h of the step before; GRU only
  std::ptrdiff_t ld_h_prev;
  T* unprojected;  // scratch: out, o ⊙ tanh(c); with a projection only, else null
  std::ptrdiff_t ld_unprojected;
  const T* dy;  // (T, D·P), this direction's columns, or null
  const T* y;   // the same of y; RNN only
  std::ptrdiff_t ld_y;
  const T* c;             // (T, H)
  const T* const* c_start;  // rows of c0 by row, for those without a token before
  const T* gates;         // (T, S·H)
  const T* dc_in;         // (T, H) or null
  const T* dgates;        // (T, S·H) or null
  T* dh_steps;            // (T, P) or null
  T* dc_steps;            // (T, H) or null
};

template <class T>
inline Vec<T> take(const T* p, int count) {
  return count == lanes<T> ? load(p) : load_part(p, count);
}

template <class T>
inline void put(T* p, Vec<T> x, int count) {
  if (count == lanes<T>) {
    store<T>(p, x);
  } else {
    store_part(p, x, count);
  }
}

// What only the backward pass will read.
template <class T>
inline void keep(T* p, Vec<T> x, int count) {
  if (count == lanes<T>) {
    stream<T>(p, x);
  } else {
    store_part(p, x, count);
  }
}

// The whole gradient of h at a step: what came from the step after, and what the caller gave.
template <class T>
inline Vec<T> gradient_of_h(const StepBackward<T>& s, std::int64_t row, std::ptrdiff_t unit, int count) {
  Vec<T> d = take(s.dh + row * s.ld_dh + unit, count);
  const std::int64_t token = s.token[row];
  if (s.dy != nullptr) d += take(s.dy + token * s.ld_y + unit, count);
  if (s.dh_steps != nullptr) put<T>(s.dh_steps + token * s.hidden + unit, d, count);
  return d;
}

// What the cells read of a row from memory, asked for while the rows before it are at work: in ragged batches
// no hardware sees these addresses coming.
template <class T, class Cell>
inline void prefetch_row(const StepBackward<T>& s, std::int64_t row, std::ptrdiff_t begin, std::ptrdiff_t end) {
  const std::int64_t token = s.token[row];
  const std::ptrdiff_t count = end - begin;
  for (int slot = 0; slot < Cell::saved; ++slot) {
    prefetch(s.gates + (token * Cell::saved + slot) * s.hidden + begin, count);
  }
  if (s.c != nullptr) prefetch(s.c + token * s.hidden + begin, count);
  if (s.dy != nullptr) prefetch(s.dy + token * s.ld_y + begin, count);
  if (Cell::saved == 0) prefetch(s.y + token * s.ld_y + begin, count);
}

struct Lstm {
  static constexpr int gates = 4;
  static constexpr int slots = 4;          // preactivations: i f g o
  static constexpr int saved = 4;          // i f g o
  static constexpr int input_slot = 0;     // the input's product fills `gates` slots from here
  static constexpr int recurrent_slot = 0; // the recurrent product adds to `gates` slots from here
  static constexpr int input_gate[4] = {0, 1, 2, 3};  // gate of the weights that goes to each of these slots
  static constexpr int recurrent_gate[4] = {0, 1, 2, 3};

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
    const std::int64_t before = s.token_before[row];
    const Vec<T> dh = gradient_of_h(s, row, unit, count);
    const T* kept = s.gates + token * saved * s.hidden + unit;
    const Vec<T> i = take(kept, count), f = take(kept + s.hidden, count);
    const Vec<T> g = take(kept + 2 * s.hidden, count), o = take(kept + 3 * s.hidden, count);
    const Vec<T> tanh_c = tanh<T>(take(s.c + token * s.hidden + unit, count));
    const T* c_before = before < 0 ? s.c_start[row] : s.c + before * s.hidden;
    const Vec<T> c_prev = take(c_before + unit, count);
    T* const dc_place = s.dc + row * s.ld_dc + unit;
    Vec<T> dc = fma<T>(dh * o, one - tanh_c * tanh_c, load(dc_place));
    if (s.dc_in != nullptr) dc += take(s.dc_in + token * s.hidden + unit, count);
    if (s.dc_steps != nullptr) put<T>(s.dc_steps + token * s.hidden + unit, dc, count);
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
    if (s.unprojected != nullptr) store<T>(s.unprojected + row * s.ld_unprojected + unit, o * tanh_c);
  }
};

struct Gru {
  static constexpr int gates = 3;
  static constexpr int slots = 4;  // n's input part, r, z, n's recurrent part
  static constexpr int saved = 4;  // r z n, and n's recurrent part
  static constexpr int input_slot = 0;
  static constexpr int recurrent_slot = 1;
  static constexpr int input_gate[3] = {2, 0, 1};
  static constexpr int recurrent_gate[3] = {0, 1, 2};

  template <class T>
  static inline void forward(const StepForward<T>& s, std::int64_t row, std::ptrdiff_t unit, int count) {
    constexpr int L = lanes<T>;
    const T* pre = s.pre + row * s.ld_pre + unit * slots;
    const Vec<T> r = sigmoid<T>(load(pre + L));
    const Vec<T> z = sigmoid<T>(load(pre + 2 * L));
    const Vec<T> recurrent = load(pre + 3 * L);
    const Vec<T> n = tanh<T>(fma<T>(r, recurrent, load(pre)));
    const Vec<T> h_prev = load(s.h_prev + row * s.ld_h + unit);
    const Vec<T> h = fma<T>(z, h_prev - n, n);
    store<T>(s.h_next + row * s.ld_h + unit, h);
    const std::int64_t token = s.token[row];
    put<T>(s.y + token * s.ld_y + unit, h, count);
    if (s.gates != nullptr) {
      T* const kept = s.gates + token * saved * s.hidden + unit;
      keep<T>(kept, r, count);
      keep<T>(kept + s.hidden, z, count);
      keep<T>(kept + 2 * s.hidden, n, count);
      keep<T>(kept + 3 * s.hidden, recurrent, count);
    }
  }

  template <class T>
  static inline void backward(const StepBackward<T>& s, std::int64_t row, std::ptrdiff_t unit, int count) {
    const Vec<T> one = broadcast(T(1));
    const std::int64_t token = s.token[row];
    const Vec<T> dh = gradient_of_h(s, row, unit, count);
    const T* kept = s.gates + token * saved * s.hidden + unit;
    const Vec<T> r = take(kept, count), z = take(kept + s.hidden, count);
    const Vec<T> n = take(kept + 2 * s.hidden, count), recurrent = take(kept + 3 * s.hidden, count);
    const Vec<T> h_prev = take(s.h_prev + row * s.ld_h_prev + unit, count);
    Vec<T> dn = dh * (one - z), dz = dh * (h_prev - n);
    const T* given = s.dgates == nullptr ? nullptr : s.dgates + token * saved * s.hidden + unit;
    if (given != nullptr) {
      dz += take(given + s.hidden, count);
      dn += take(given + 2 * s.hidden, count);
    }
    dn = dn * (one - n * n);
    Vec<T> dr = dn * recurrent, d_recurrent = dn * r;
    if (given != nullptr) {
      dr += take(given, count);
      d_recurrent += take(given + 3 * s.hidden, count);
    }
    T* const out = s.dg + row * s.ld_dg + unit;
    store<T>(out, dn);
    store<T>(out + s.padded, dr * (r * (one - r)));
    store<T>(out + 2 * s.padded, dz * (z * (one - z)));
    store<T>(out + 3 * s.padded, d_recurrent);
    store<T>(s.dh + row * s.ld_dh + unit, dh * z);
  }
};

template <bool Relu>
struct Rnn {
  static constexpr int gates = 1;
  static constexpr int slots = 1;
  static constexpr int saved = 0;
  static constexpr int input_slot = 0;
  static constexpr int recurrent_slot = 0;
  static constexpr int input_gate[1] = {0};
  static constexpr int recurrent_gate[1] = {0};

  template <class T>
  static inline void forward(const StepForward<T>& s, std::int64_t row, std::ptrdiff_t unit, int count) {
    const Vec<T> pre = load(s.pre + row * s.ld_pre + unit);
    const Vec<T> h = Relu ? relu<T>(pre) : tanh<T>(pre);
    store<T>(s.h_next + row * s.ld_h + unit, h);
    put<T>(s.y + s.token[row] * s.ld_y + unit, h, count);
  }

  template <class T>
  static inline void backward(const StepBackward<T>& s, std::int64_t row, std::ptrdiff_t unit, int count) {
    const Vec<T> dh = gradient_of_h(s, row, unit, count);
    const Vec<T> h = take(s.y + s.token[row] * s.ld_y + unit, count);
    // torch's relu passes no gradient where h is 0, and all of it where h is NaN.
    store<T>(s.dg + row * s.ld_dg + unit, Relu ? (h <= Vec<T>{} ? Vec<T>{} : dh) : dh * (broadcast(T(1)) - h * h));
    store<T>(s.dh + row * s.ld_dh + unit, Vec<T>{});
  }
};

}  // namespace throughtime::TT_ISA
