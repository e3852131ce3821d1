// The plan of a forward call for one direction, computed before the loop, and its scratch memory.
#pragma once

#include "kernels/bfloat16/product.h"
#include "kernels/parallel.h"
#include "kernels/pieces.h"
#include "kernels/recurrent/cells/step.h"
#include "kernels/recurrent/grid.h"
#include "kernels/recurrent/own.h"
#include "kernels/scratch.h"

namespace throughtime::TT_ISA {

inline constexpr int most_block_steps = 256;

// What the products of a call read in bfloat16, rounded from the float32 beside it.
struct RoundedForward {
  const TiledKernels* kernels;                // null: the products are of T
  std::ptrdiff_t inputs, hidden, state;       // depths in whole tiles
  Bfloat16 *w_ih, *w_hh, *w_second;           // packed
  Bfloat16* x_rows;                           // (threads, block rows, ld_x)
  Bfloat16* h;                                // (groups, 2, group rows, ld_h): in turns
  Bfloat16* factor;                           // (groups, group rows, ld_factor)
  std::ptrdiff_t ld_x, ld_h, ld_factor;
};

template <class T>
struct ForwardPlan {
  // Dimensions, see recurrent.h; `padded` sizes are in whole vectors.
  std::ptrdiff_t inputs, hidden, state, padded;
  bool reverse;
  Sequences sequences;
  const T* x;
  T* y;
  std::ptrdiff_t ld_y;
  const ForwardDirection* direction;
  Panels<T> gate_panels;   // over units; of a cell with several gates a panel holds one vector of each
  Panels<T> state_panels;  // over the second product's columns
  bool projects;           // with an LSTM's projection
  const T* second;         // (P, H): the weights of the second product, or null
  Choices<T> choices;
  const Options* options;
  // Scratch.
  T *w_ih, *w_hh, *w_second;  // packed
  T* bias;                 // (padded · slots) what preactivations start from
  T* pre;                  // (groups, block rows, ld_pre)
  T* x_rows;               // (threads, block rows, ld_x)
  T* h;                    // (groups, 2, group rows, ld_h): in turns
  T* c;                    // (groups, group rows, ld_c)
  T* factor;               // (groups, group rows, ld_c): what the second product reads
  T* candidate;            // (groups, group rows, ld_c): what it makes of r ⊙ h
  T* own;                  // (own_rows, padded)
  T* context;              // (B, padded · gates), a vector of units gate by gate
  std::int64_t* token;     // (threads, group rows)
  std::ptrdiff_t ld_pre, ld_x, ld_h, ld_c;
  std::int64_t block_rows;  // of a block, unless a single step has more
  Barrier* barrier;         // [0] of the whole team, [1 + g] of a group
  std::ptrdiff_t weight_bytes;  // of W_hh, packed
  RoundedForward rounded;
  bool joins;  // a step of enough rows may multiply those of x and h at once; then ld_x = ld_h

  bool rounds() const { return sizeof(T) == 4 && rounded.kernels != nullptr; }
};

// Rows of a block: few enough to stay in cache, and enough to use each weight often.
inline constexpr std::int64_t least_block_rows = 96;

template <class T>
std::int64_t forward_block_rows(std::ptrdiff_t ld_pre) {
  const std::int64_t fit = (std::int64_t{384} << 10) / static_cast<std::int64_t>(ld_pre * sizeof(T));
  return fit < least_block_rows ? least_block_rows : fit > most_block_steps ? most_block_steps : fit;
}

// Weights of both products that stay in a core's own cache, so that those of x may be read at every step. Then a step
// of two whole tiles takes both at once: what the first product makes never leaves the registers.
inline constexpr std::ptrdiff_t near_bytes = std::ptrdiff_t{1} << 20;
inline constexpr std::int64_t rows_to_join = 2 * max_rows(max_vectors);

// A panel of a gated cell is one vector of units with all gates; of a plain one, up to four vectors.
template <class Cell>
inline constexpr int unit_vectors = Cell::gates == 1 ? max_vectors : 1;

template <class Cell>
void round_products(ForwardPlan<float>& plan) {
  RoundedForward& rounded = plan.rounded;
  rounded.kernels = tiled_kernels();
  rounded.inputs = tiled_depth(plan.inputs);
  rounded.hidden = tiled_depth(plan.hidden);
  rounded.state = tiled_depth(plan.state);
  rounded.ld_x = tiled_row(plan.inputs);
  rounded.ld_h = tiled_row(plan.state);
  rounded.ld_factor = tiled_row(plan.hidden);
  plan.weight_bytes = plan.padded * Cell::recurrent * rounded.state * static_cast<std::ptrdiff_t>(sizeof(Bfloat16));
}

template <class T, class Cell>
ForwardPlan<T> plan_forward(const ForwardCall& call, const Sequences& sequences, int number) {
  const Shape& shape = call.shape;
  ForwardPlan<T> plan{};
  plan.inputs = shape.inputs;
  plan.hidden = shape.hidden;
  plan.state = shape.state;
  plan.padded = round_up(shape.hidden, lanes<T>);
  plan.weight_bytes = plan.padded * Cell::recurrent * plan.state * static_cast<std::ptrdiff_t>(sizeof(T));
  if constexpr (sizeof(T) == 4) {
    if (shape.options.bfloat16) round_products<Cell>(plan);
  }
  plan.reverse = number == 1;
  plan.sequences = sequences;
  plan.x = static_cast<const T*>(call.x);
  plan.y = static_cast<T*>(call.y) + number * plan.state;
  plan.ld_y = shape.directions * plan.state;
  plan.direction = &call.direction[number];
  plan.gate_panels = {plan.hidden, unit_vectors<Cell>};
  plan.state_panels = {plan.state, max_vectors};
  plan.projects = plan.direction->weights.hr != nullptr;
  plan.second = static_cast<const T*>(plan.direction->weights.hr);
  if constexpr (Cell::before) {
    const T* weights = static_cast<const T*>(plan.direction->weights.hh);
    plan.second = weights + Cell::candidate_gate * plan.hidden * plan.state;
    plan.state_panels.vectors = fair_vectors<T>(plan.state, call.threads, sequences, plan.weight_bytes);
  }
  plan.options = &call.shape.options;
  if constexpr (Cell::general) plan.choices = choices_of<T>(shape.options);
  plan.ld_pre = row_length<T>(plan.padded * Cell::slots);
  plan.ld_x = row_length<T>(plan.inputs);
  plan.ld_h = row_length<T>(plan.state);
  const std::ptrdiff_t bytes =
      plan.padded * Cell::gates * (plan.inputs + plan.state) * static_cast<std::ptrdiff_t>(sizeof(T));
  plan.joins = (same_slots<Cell> || staggered<Cell>) && plan.direction->context == nullptr && bytes <= near_bytes &&
               !plan.rounds();
  if (plan.joins) plan.ld_x = plan.ld_h = plan.ld_x > plan.ld_h ? plan.ld_x : plan.ld_h;
  plan.ld_c = row_length<T>(plan.hidden);
  plan.block_rows = forward_block_rows<T>(plan.ld_pre);
  return plan;
}

// `block_rows` of all threads' blocks, `rows` of all groups.
template <class Cell, class T>
void divide_rounded(ForwardPlan<T>& plan, Pieces& pieces, std::int64_t block_rows, std::int64_t rows) {
  RoundedForward& rounded = plan.rounded;
  const bool second = plan.second != nullptr;
  rounded.w_ih = pieces.take<Bfloat16>(plan.padded * Cell::gates * rounded.inputs);
  rounded.w_hh = pieces.take<Bfloat16>(plan.padded * Cell::recurrent * rounded.state);
  rounded.w_second = pieces.take<Bfloat16>(second ? plan.state_panels.padded() * rounded.hidden : 0);
  rounded.x_rows = pieces.take<Bfloat16>((block_rows + tile_rows) * rounded.ld_x);
  rounded.h = pieces.take<Bfloat16>((2 * rows + tile_rows) * rounded.ld_h);
  rounded.factor = pieces.take<Bfloat16>(second ? (rows + tile_rows) * rounded.ld_factor : 0);
}

template <class T, class Cell>
void divide(ForwardPlan<T>& plan, Pieces& pieces, int threads) {
  const ForwardDirection& d = *plan.direction;
  const bool second = plan.second != nullptr;
  const std::int64_t batch = plan.sequences.count;
  // Groups round their rows up; where threads share hidden units, each reads all rows of its group.
  const std::int64_t rows = batch + threads;
  const bool shares = may_share(threads, plan.sequences, plan.weight_bytes);
  const std::int64_t rows_by_thread = shares ? threads * batch : rows;
  if (plan.rounds()) {
    divide_rounded<Cell>(plan, pieces, threads * plan.block_rows + rows_by_thread, rows);
  } else {
    plan.w_ih = pieces.take<T>(plan.padded * Cell::gates * plan.inputs);
    plan.w_hh = pieces.take<T>(plan.padded * Cell::recurrent * plan.state);
    plan.w_second = pieces.take<T>(second ? plan.state_panels.padded() * plan.hidden : 0);
    plan.x_rows = pieces.take<T>((threads * plan.block_rows + rows_by_thread) * plan.ld_x);
  }
  plan.bias = pieces.take<T>(plan.padded * Cell::slots);
  plan.pre = pieces.take<T>((threads * plan.block_rows + rows) * plan.ld_pre);
  plan.h = pieces.take<T>(2 * rows * plan.ld_h);
  plan.c = pieces.take<T>(rows * plan.ld_c);
  plan.factor = pieces.take<T>(second ? rows * plan.ld_c : 0);
  plan.candidate = pieces.take<T>(Cell::before ? rows * plan.ld_c : 0);
  plan.own = d.weights.own[0] == nullptr ? nullptr : pieces.take<T>(Cell::own_rows * plan.padded);
  plan.context = d.context == nullptr ? nullptr : pieces.take<T>(batch * plan.padded * Cell::gates);
  plan.token = pieces.take<std::int64_t>(rows_by_thread);
}

}  // namespace throughtime::TT_ISA
