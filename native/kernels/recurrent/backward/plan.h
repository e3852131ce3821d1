// The plan of a backward call for one direction, computed before the loop, and its scratch memory.
#pragma once

#include "kernels/bfloat16/product.h"
#include "kernels/parallel.h"
#include "kernels/pieces.h"
#include "kernels/recurrent/cells/step.h"
#include "kernels/recurrent/grid.h"
#include "kernels/recurrent/own.h"
#include "kernels/scratch.h"

namespace throughtime::TT_ISA {

inline constexpr int most_backward_steps = 1024;
inline constexpr std::int64_t least_backward_rows = 256;  // of a block
inline constexpr int copied_columns = 48;                 // side by side, for the weights' gradients
inline constexpr std::ptrdiff_t panels_worth_a_copy = 4;  // as many as these columns meet, at least
inline constexpr int rows_ahead = 2;  // of the one at work, for which memory is asked

// What stands for the token before where there is none: at the start of a sequence, and where a flag resets the state.
enum Before : std::int64_t { at_start = -1, at_reset = -2 };

// What the products of a call read in bfloat16, rounded from the float32 beside it.
struct RoundedBackward {
  const TiledKernels* kernels;              // null: the products are of T
  std::ptrdiff_t hidden, state;             // depths in whole tiles
  Bfloat16 *w_ih, *w_hh, *w_second;         // packed
  Bfloat16* dg;                             // by block row, (·, ld_dg): slot s of unit u at s · hidden + u
  Bfloat16* dh_total;                       // by sequence, (·, ld_h), group after group
  Bfloat16 *x, *h_prev, *factor;            // of a block, packed with its rows as depth
  Bfloat16* columns;                        // (threads, 2 · tile_rows, ld_rows): columns of a block as rows
  std::ptrdiff_t ld_dg, ld_h, ld_rows;
};

template <class T>
struct BackwardPlan {
  std::ptrdiff_t inputs, hidden, state, padded;
  bool reverse, adds_to_dx, projects;
  Sequences sequences;
  const BackwardCall* call;
  const BackwardDirection* direction;
  const T *y, *dy;
  std::ptrdiff_t ld_y;
  std::int64_t batch;  // rows of scratch by sequence
  Panels<T> state_panels, hidden_panels, input_panels;  // columns of W_hh, the second product's weights, W_ih
  const T* second;  // (P, H): W_hr or W_hn, or null
  Choices<T> choices;
  std::int64_t block_rows;
  // Scratch. Matrices by block row: dg (·, ld_dg), x (·, ld_x), h_prev (·, ld_h), with a projection dh_total
  // (·, ld_h), and factor (·, ld_c), what the second product read. By sequence, group after group: dh (·, ld_h),
  // dc (·, ld_c), d_factor (·, ld_c), d_context (·, gates · padded). By group: d_own (·, padded).
  T *w_ih, *w_hh, *w_second;
  T *dg, *x_rows, *h_prev, *dh_total, *factor;
  T *dh, *dc, *d_factor, *d_context;
  T *own, *d_own;
  T *dh_whole, *dc_whole;  // by sequence, (·, ld_c): for a summary
  T* sums;     // (threads, batch, most_summary): each thread's part of a summary
  T* factors;  // (threads, 2, batch): by how much a gradient that passes on is scaled
  T gradient_value, gradient_norm;  // bounds; infinity for none
  T* columns;                    // (threads, ld_columns): copied columns of a block
  std::ptrdiff_t ld_columns;
  T* nothing;                    // a row of zeros
  std::int64_t* token;           // by block row: its token's row
  std::int64_t* token_before;    // by block row: of the token before, or see `Before`
  const T** c_start;             // by block row: c before the step where there is no token before
  std::ptrdiff_t ld_dg, ld_x, ld_h, ld_c;
  Barrier* barrier;
  std::ptrdiff_t weight_bytes;  // of W_hh, packed
  RoundedBackward rounded;

  bool rounds() const { return sizeof(T) == 4 && rounded.kernels != nullptr; }
  bool bounds() const { return gradient_value < HUGE_VAL || gradient_norm < HUGE_VAL; }
};

// Rows of a block: long sums for the weights' gradients, and matrices that stay in cache.
inline std::int64_t backward_block_rows(std::size_t row_bytes) {
  const std::int64_t fit = static_cast<std::int64_t>((std::size_t{1} << 20) / row_bytes);
  return fit < least_backward_rows ? least_backward_rows : fit > most_backward_steps ? most_backward_steps : fit;
}

template <class Cell>
void round_products(BackwardPlan<float>& plan) {
  RoundedBackward& rounded = plan.rounded;
  rounded.kernels = tiled_kernels();
  rounded.hidden = tiled_depth(plan.hidden);
  rounded.state = tiled_depth(plan.state);
  rounded.ld_dg = tiled_row(Cell::slots * rounded.hidden);
  rounded.ld_h = tiled_row(plan.state);
  plan.weight_bytes = rounded.hidden * Cell::recurrent * round_up(plan.state, lanes<float>) *
                      static_cast<std::ptrdiff_t>(sizeof(Bfloat16));
}

template <class T, class Cell>
BackwardPlan<T> plan_backward(const BackwardCall& call, const Sequences& sequences, int number) {
  const Shape& shape = call.shape;
  BackwardPlan<T> plan{};
  plan.inputs = shape.inputs;
  plan.hidden = shape.hidden;
  plan.state = shape.state;
  plan.padded = round_up(shape.hidden, lanes<T>);
  plan.weight_bytes = plan.padded * Cell::recurrent * plan.state * static_cast<std::ptrdiff_t>(sizeof(T));
  if constexpr (sizeof(T) == 4) {
    if (shape.options.bfloat16) round_products<Cell>(plan);
  }
  plan.reverse = number == 1;
  plan.adds_to_dx = number == 1;
  plan.sequences = sequences;
  plan.call = &call;
  plan.direction = &call.direction[number];
  plan.projects = plan.direction->weights.hr != nullptr;
  plan.y = static_cast<const T*>(call.y) + number * plan.state;
  plan.dy = call.dy == nullptr ? nullptr : static_cast<const T*>(call.dy) + number * plan.state;
  plan.ld_y = shape.directions * plan.state;
  plan.ld_dg = row_length<T>(plan.padded * Cell::slots);
  plan.ld_x = row_length<T>(plan.inputs);
  plan.ld_h = row_length<T>(plan.state);
  plan.ld_c = row_length<T>(plan.hidden);
  plan.state_panels = {plan.state, fair_vectors<T>(plan.state, call.threads, sequences, plan.weight_bytes)};
  plan.hidden_panels = {plan.hidden, max_vectors};
  plan.input_panels = {plan.inputs, max_vectors};
  plan.block_rows =
      backward_block_rows(sizeof(T) * static_cast<std::size_t>(plan.ld_dg + plan.ld_x + plan.ld_h));
  plan.second = static_cast<const T*>(plan.direction->weights.hr);
  if constexpr (Cell::before) {
    const T* weights = static_cast<const T*>(plan.direction->weights.hh);
    plan.second = weights + Cell::candidate_gate * plan.hidden * plan.state;
    plan.hidden_panels = plan.state_panels;  // a thread has the same units in both products
  }
  if constexpr (Cell::general) plan.choices = choices_of<T>(shape.options);
  const auto bound_of = [](double given) { return given > 0 ? static_cast<T>(given) : static_cast<T>(HUGE_VAL); };
  plan.gradient_value = bound_of(shape.options.gradient_value);
  plan.gradient_norm = bound_of(shape.options.gradient_norm);
  return plan;
}

// `rows` of a block, `batch` of all groups.
template <class Cell, class T>
void divide_rounded(BackwardPlan<T>& plan, Pieces& pieces, std::ptrdiff_t rows, std::ptrdiff_t batch, int threads) {
  RoundedBackward& rounded = plan.rounded;
  const bool second = plan.second != nullptr;
  const std::ptrdiff_t inputs = plan.call->dx == nullptr ? 0 : plan.input_panels.padded();
  const std::ptrdiff_t depth = tiled_depth(rows);
  rounded.ld_rows = tiled_row(rows);
  rounded.w_hh = pieces.take<Bfloat16>(plan.state_panels.padded() * Cell::recurrent * rounded.hidden);
  rounded.w_ih = pieces.take<Bfloat16>(inputs * Cell::gates * rounded.hidden);
  rounded.w_second = pieces.take<Bfloat16>(second ? plan.hidden_panels.padded() * rounded.state : 0);
  rounded.dg = pieces.take<Bfloat16>((rows + tile_rows) * rounded.ld_dg);
  rounded.dh_total = pieces.take<Bfloat16>(plan.projects ? (batch + tile_rows) * rounded.ld_h : 0);
  const bool weights = plan.direction->dw_ih != nullptr;
  rounded.x = pieces.take<Bfloat16>(weights ? plan.input_panels.padded() * depth : 0);
  rounded.h_prev = pieces.take<Bfloat16>(weights ? round_up(plan.state, lanes<float>) * depth : 0);
  rounded.factor = pieces.take<Bfloat16>(weights && second ? plan.padded * depth : 0);
  rounded.columns = pieces.take<Bfloat16>(weights ? threads * 2 * tile_rows * rounded.ld_rows : 0);
}

template <class T, class Cell>
void divide(BackwardPlan<T>& plan, Pieces& pieces, int threads) {
  const std::ptrdiff_t batch = plan.sequences.count + threads;  // groups round their rows up
  const std::ptrdiff_t rows = batch < plan.block_rows ? plan.block_rows : batch;
  const std::ptrdiff_t longest = plan.hidden < plan.state ? plan.state : plan.hidden;
  const BackwardDirection& d = *plan.direction;
  const bool second = plan.second != nullptr;
  if (plan.rounds()) {
    divide_rounded<Cell>(plan, pieces, rows, batch, threads);
  } else {
    plan.w_hh = pieces.take<T>(plan.state_panels.padded() * Cell::recurrent * plan.padded);
    plan.w_ih = pieces.take<T>(plan.call->dx == nullptr ? 0 : plan.input_panels.padded() * Cell::gates * plan.padded);
    plan.w_second = pieces.take<T>(second ? plan.hidden_panels.padded() * plan.state : 0);
    plan.ld_columns = rows * copied_columns;
    plan.columns = pieces.take<T>(threads * plan.ld_columns);
  }
  plan.dg = pieces.take<T>(rows * plan.ld_dg);
  plan.x_rows = pieces.take<T>(rows * plan.ld_x);
  plan.h_prev = pieces.take<T>(rows * plan.ld_h);
  plan.dh_total = pieces.take<T>(plan.projects ? rows * plan.ld_h : 0);
  plan.factor = pieces.take<T>(second ? rows * plan.ld_c : 0);
  plan.dh = pieces.take<T>(batch * plan.ld_h);
  plan.dc = pieces.take<T>(batch * plan.ld_c);
  plan.d_factor = pieces.take<T>(second ? batch * plan.ld_c : 0);
  plan.d_context = d.dcontext == nullptr ? nullptr : pieces.take<T>(batch * Cell::gates * plan.padded);
  const bool has_own = d.weights.own[0] != nullptr;
  plan.own = has_own ? pieces.take<T>(Cell::own_rows * plan.padded) : nullptr;
  plan.d_own = has_own ? pieces.take<T>(threads * Cell::own_rows * plan.padded) : nullptr;
  plan.nothing = pieces.take<T>(longest);
  plan.batch = batch;
  const std::ptrdiff_t summary_rows = d.summary == nullptr ? 0 : batch;
  plan.dh_whole = pieces.take<T>(summary_rows * plan.ld_c);
  plan.dc_whole = pieces.take<T>(summary_rows * plan.ld_c);
  plan.sums = pieces.take<T>(threads * summary_rows * most_summary);
  plan.factors = pieces.take<T>(plan.bounds() ? 2 * threads * (plan.sequences.count + 1) : 0);
  plan.token = pieces.take<std::int64_t>(rows);
  plan.token_before = pieces.take<std::int64_t>(rows);
  plan.c_start = pieces.take<const T*>(rows);
}

}  // namespace throughtime::TT_ISA
