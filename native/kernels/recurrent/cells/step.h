// The arguments that a step passes to a cell. A cell (a header in this folder) computes one vector of hidden
// units at a time, and its gradient.
//
// Preactivations are stored slot by slot: those of the units u … u + lanes − 1 at pre + u · slots + s · lanes. The
// gradient row of a step holds slot s of unit u at s · padded + u, where padded is H rounded up to whole
// vectors; values beyond H are zero.
//
// A cell is a struct of
//   gates, slots, saved       G, K and S of recurrent.h
//   input_slot, input_gate    the input's product fills G slots from input_slot on, slot s with gate
//                             input_gate[s] of the weights
//   recurrent, recurrent_slot, recurrent_gate
//                             the same for the product of h_{t−1}, which adds to `recurrent` slots
//   order                     the position of slot s among the K of `dpre`
//   own_rows                  total number of rows of H in the parameters that only this cell has
//   general                   whether it reads `choices`, and possibly parameters of its own
//   before                    whether a second product, of r ⊙ h_{t−1}, comes before the end of the step
//   whole_rows                whether it reads whole rows, as a normalisation does: then the slots of the input's
//                             product, of the product of h_{t−1}, and of biases and contexts follow each other in
//                             this order
//   forward, backward         the pointwise part; with `before` also finish and backward_of_reset; with `whole_rows`
//                             forward_parts and backward_parts of them. A part computes units begin … end of a row, and
//                             may read the whole row that the earlier parts wrote
#pragma once

#include "kernels/recurrent/choice.h"
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
  // Of general cells.
  const Choices<T>* choices;
  const T* own;  // scratch: (own_rows, padded) or null
  std::ptrdiff_t padded;
  T* reset;           // scratch: (rows, padded), out, r ⊙ h_prev
  std::ptrdiff_t ld_reset;
  const T* candidate;  // scratch: (rows, padded), in, its product
  std::ptrdiff_t ld_candidate;
};

// One step of some rows, backward.
template <class T>
struct StepBackward {
  std::ptrdiff_t hidden;
  std::ptrdiff_t padded;
  const std::int64_t* token;
  const std::int64_t* token_before;  // row of the token before, or negative where there is none
  T* dh;  // scratch: in, the gradient of h from the step after; out, the part that does not pass a product
  std::ptrdiff_t ld_dh;
  T* dc;  // scratch: the same for c, in place
  std::ptrdiff_t ld_dc;
  T* dg;  // scratch: out, gradients of the preactivations
  std::ptrdiff_t ld_dg;
  const T* h_prev;  // scratch: (rows, ·) h of the step before; GRU only
  std::ptrdiff_t ld_h_prev;
  T* factor;  // scratch: out, what the second product reads: o ⊙ tanh(c) or r ⊙ h_prev; or null
  std::ptrdiff_t ld_factor;
  const T* dy;  // (T, D·P), this direction's columns, or null
  const T* y;   // the same of y; RNN only
  std::ptrdiff_t ld_y;
  const T* c;             // (T, H)
  const T* const* c_start;  // c before the step by row, for those without a token before
  const T* gates;         // (T, S·H)
  const T* dc_in;         // (T, H) or null
  const T* dgates;        // (T, S·H) or null
  T* dh_steps;            // (T, P) or null
  T* dc_steps;            // (T, H) or null
  T* dh_whole;            // scratch: (rows, ld_whole), out, the whole dh; or null
  T* dc_whole;            // the same of dc
  std::ptrdiff_t ld_whole;
  // Of general cells.
  const Choices<T>* choices;
  const T* own;      // scratch: (own_rows, padded) or null
  T* d_own;           // scratch: the same, added to
  const T* d_reset;   // scratch: in, gradient of r ⊙ h_prev
  std::ptrdiff_t ld_d_reset;
};

// Whether both products fill the same slots, or that of h those one further to the right.
template <class Cell>
inline constexpr bool same_slots = Cell::slots == Cell::gates && Cell::slots == Cell::recurrent;
template <class Cell>
inline constexpr bool staggered = Cell::gates == Cell::recurrent && Cell::input_slot == 0 && Cell::recurrent_slot == 1;

// The first of the slots that biases and contexts add to; of staggered products the last has a bias of its own.
template <class Cell>
inline constexpr int bias_slot = Cell::whole_rows ? Cell::gates + Cell::recurrent : Cell::input_slot;

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
  if (s.dh_whole != nullptr) store<T>(s.dh_whole + row * s.ld_whole + unit, d);
  return d;
}

// The same of c: what is there to be told of it.
template <class T>
inline void tell_gradient_of_c(const StepBackward<T>& s, std::int64_t row, std::ptrdiff_t unit, int count, Vec<T> d) {
  if (s.dc_steps != nullptr) put<T>(s.dc_steps + s.token[row] * s.hidden + unit, d, count);
  if (s.dc_whole != nullptr) store<T>(s.dc_whole + row * s.ld_whole + unit, d);
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

}  // namespace throughtime::TT_ISA
