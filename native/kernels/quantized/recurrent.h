// The loop over time of RNN, LSTM and GRU with int8 weights. The steps of the cells are those of float32 (recurrent/cells).
//
// Tokens are rounded for a block of steps, and multiplied with W_ih at once; at every step each row of h is rounded with a
// scale of its own. Sequences, groups of threads and shares of hidden units are as in recurrent/grid.h.
#pragma once

#include "kernels/parallel.h"
#include "kernels/quantized/rows.h"
#include "kernels/quantized/tile.h"
#include "kernels/recurrent/cells/gru.h"
#include "kernels/recurrent/cells/lstm.h"
#include "kernels/recurrent/cells/rnn.h"
#include "kernels/recurrent/grid.h"

namespace throughtime::TT_ISA {

inline constexpr int most_int_steps = 256;   // of a block
inline constexpr std::int64_t int_rows = 96;  // of a block, unless a single step has more

// Bytes of weights times rows at a step that are worth a thread: with half of 256 kB each, two threads take longer for a
// sequence than one does alone (LSTM of 256 units, 50 steps: 307 and 195 us).
inline constexpr std::ptrdiff_t least_int_bytes = std::ptrdiff_t{256} << 10;

template <class Cell>
struct IntRecurrent {
  static constexpr int L = lanes<float>;
  static constexpr bool gated = Cell::gates > 1;
  // Of a cell without gates a panel is up to four vectors of units.
  static constexpr int unit_vectors = gated ? 1 : most_packed_vectors;

  const QuantizedRecurrent& call;
  const QuantizedDirection& direction;
  Sequences sequences{};
  bool reverse = false;
  std::ptrdiff_t padded = 0, ld_pre = 0, ld_h = 0;
  std::int64_t block_rows = int_rows;
  Barrier* barrier = nullptr;  // of each group
  // Scratch.
  float *pre = nullptr, *h = nullptr, *c = nullptr;  // (groups, block rows, ld_pre), (groups, 2, rows, ld_h),
                                                     // (groups, rows, ld_h)
  std::int64_t* token = nullptr;                     // (threads, rows)
  IntRows x_rows{}, h_rows{};                        // (threads, block rows), (threads, rows)

  struct Member {
    Share share;
    int unit, units;
    Range panels;
    Barrier* barrier;
    float *pre, *h, *c;
    std::int64_t* token;
    IntRows x_rows, h_rows;
    std::ptrdiff_t turn;
    std::int64_t block_rows;
  };

  std::ptrdiff_t units_of_panel() const { return packed_columns * (gated ? 1 : direction.hh.vectors); }
  std::ptrdiff_t weight_bytes() const { return direction.hh.panels * direction.hh.groups * width(direction.hh) * 4; }
  static std::ptrdiff_t width(const PackedWeights& weights) { return packed_columns * weights.vectors; }

  void plan(int number, const Sequences& of) {
    sequences = of;
    reverse = number == 1;
    padded = direction.hh.panels * units_of_panel();
    ld_pre = padded * Cell::slots + L;
    ld_h = padded + L;
    x_rows.ld = int_row_length(call.inputs);
    h_rows.ld = int_row_length(call.hidden);
  }

  void divide(Pieces& pieces) {
    const int threads = call.threads;
    const std::int64_t rows = sequences.count + threads;
    const bool shares = may_share(threads, sequences, weight_bytes());
    const std::int64_t rows_by_thread = shares ? threads * sequences.count : rows;
    pre = pieces.take<float>((threads * block_rows + rows) * ld_pre);
    h = pieces.take<float>(2 * rows * ld_h);
    c = pieces.take<float>(rows * ld_h);
    token = pieces.take<std::int64_t>(rows_by_thread);
    x_rows.take(pieces, threads * block_rows + rows_by_thread);
    h_rows.take(pieces, rows_by_thread);
  }

  Grid grid_of(int team) const {
    // Two rows take about twice as long as one, so that two threads with one each need not meet at every step.
    return make_grid(team, sequences, weight_bytes(), direction.hh.panels, least_int_bytes, 1);
  }

  void run(int member, int team) const {
    const Grid grid = grid_of(team);
    const int group = member / grid.units;
    if (group >= grid.groups) return;
    Member m{};
    m.share = share_of(sequences, group, grid.groups);
    m.unit = member % grid.units;
    m.units = grid.units;
    m.panels = part_of(direction.hh.panels, m.unit, m.units);
    m.barrier = barrier + group;
    const std::int64_t rows = (sequences.count + grid.groups - 1) / grid.groups;
    m.block_rows = block_rows < rows ? rows : block_rows;
    m.turn = rows * ld_h;
    m.pre = pre + group * m.block_rows * ld_pre;
    m.h = h + 2 * group * m.turn;
    m.c = c + group * rows * ld_h;
    m.token = token + member * rows;
    m.x_rows = x_rows.from(member * m.block_rows);
    m.h_rows = h_rows.from(member * rows);
    loop(m);
  }

  void loop(const Member& m) const {
    begin(m);
    StepForward<float> s = step_of(m);
    std::int64_t alive = m.share.count();
    while (alive > 0 && m.share.length(alive - 1) == 0) --alive;
    std::int64_t t = 0;
    std::int64_t rows_at[most_int_steps];
    while (alive > 0) {
      int steps = 0;
      std::int64_t rows = 0;
      while (alive > 0 && steps < most_int_steps && (steps == 0 || rows + alive <= m.block_rows)) {
        for (std::int64_t row = 0; row < alive; ++row) {
          const std::int64_t place = m.share.token(row, t + steps, reverse);
          round_row(call.x + place * call.inputs, call.inputs, m.x_rows.from(rows + row));
        }
        rows_at[steps++] = alive;
        rows += alive;
        while (alive > 0 && m.share.length(alive - 1) <= t + steps) --alive;
      }
      project_inputs(m, rows);
      float* place = m.pre;
      for (int i = 0; i < steps; ++i) {
        step(m, s, t + i, rows_at[i], place);
        end(m, t + i, i + 1 < steps ? rows_at[i + 1] : alive, rows_at[i]);
        place += rows_at[i] * ld_pre;
      }
      t += steps;
    }
  }

  Range units_of(const Member& m) const {
    const std::ptrdiff_t end = m.panels.end * units_of_panel();
    return {m.panels.begin * units_of_panel(), end < call.hidden ? end : call.hidden};
  }

  static const float* row_of(const float* state, std::int64_t id, std::ptrdiff_t hidden) {
    return state == nullptr ? nullptr : state + id * hidden;
  }

  // h and c before the first step, and the last of empty sequences; each thread does its own columns.
  void begin(const Member& m) const {
    const Range own = units_of(m);
    const std::ptrdiff_t hidden = call.hidden;
    for (std::int64_t row = 0; row < m.share.count(); ++row) {
      const std::int64_t id = m.share.id(row);
      const bool empty = m.share.length(row) == 0;
      copy_columns(row_of(direction.h0, id, hidden), own, empty ? direction.h_n + id * hidden : m.h + row * ld_h);
      if (direction.c_n == nullptr) continue;
      float* const state = empty ? direction.c_n + id * hidden : m.c + row * ld_h;
      copy_columns(row_of(direction.c0, id, hidden), own, state);
      if (empty || own.end != hidden) continue;
      for (std::ptrdiff_t u = hidden; u < padded; ++u) state[u] = 0;
    }
  }

  // The last state of the sequences that end with step t: rows left … rows.
  void end(const Member& m, std::int64_t t, std::int64_t left, std::int64_t rows) const {
    const Range own = units_of(m);
    const float* last = m.h + ((t + 1) % 2) * m.turn;
    for (std::int64_t row = left; row < rows; ++row) {
      const std::ptrdiff_t place = m.share.id(row) * call.hidden;
      copy_columns(last + row * ld_h, own, direction.h_n + place);
      if (direction.c_n != nullptr) copy_columns(m.c + row * ld_h, own, direction.c_n + place);
    }
  }

  // What is the same at every step.
  StepForward<float> step_of(const Member& m) const {
    StepForward<float> s{};
    s.hidden = call.hidden;
    s.token = m.token;
    s.ld_pre = ld_pre;
    s.ld_h = ld_h;
    s.c = m.c;
    s.ld_c = ld_h;
    s.y = call.y + (reverse ? call.hidden : 0);
    s.ld_y = call.directions * call.hidden;
    s.padded = padded;
    return s;
  }

  // One panel of a product for rows … of preactivations, from `slot` on; then(first, end) after each tile.
  template <class Then>
  void product(const PackedWeights& weights, std::ptrdiff_t panel, const IntRows& rows, std::int64_t count, float* to,
               int slot, const float* start, const Then& then) const {
    IntTile tile{};
    tile.groups = weights.groups;
    tile.ldp = width(weights) * packed_factors;
    tile.stride = gated ? L : packed_columns;
    const std::ptrdiff_t first = panel * units_of_panel();
    for (std::int64_t row = 0; row < count;) {
      const int tile_rows = next_tile_rows(count - row, weights.vectors);
      for (int r = 0; r < tile_rows; ++r) {
        const IntRows source = rows.from(row + r);
        tile.row[r] = source.values;
        tile.scale_of_row[r] = *source.scale;
        tile.sum_of_row[r] = *source.sum;
      }
      for (int part = 0; part < parts_of_columns; ++part) {
        const std::ptrdiff_t column = panel * width(weights) + part * L;
        tile.panel = weights.values + panel * weights.groups * tile.ldp + part * L * packed_factors;
        tile.scale = weights.scale + column;
        tile.start = start == nullptr ? nullptr : start + column;
        float* const place = to + (first + part * L) * Cell::slots + slot * L;
        for (int r = 0; r < tile_rows; ++r) tile.out[r] = place + (row + r) * ld_pre;
        multiply(tile_rows, weights.vectors, tile);
      }
      then(row, row + tile_rows);
      row += tile_rows;
    }
  }

  // pre = bias + x · W_ihᵀ for the rows of a block.
  void project_inputs(const Member& m, std::int64_t rows) const {
    for (std::ptrdiff_t panel = m.panels.begin; panel < m.panels.end; ++panel) {
      product(direction.ih, panel, m.x_rows, rows, m.pre, Cell::input_slot, direction.bias,
              [](std::int64_t, std::int64_t) {});
      if constexpr (Cell::slots > Cell::gates) start_late(m, panel, rows);
    }
  }

  // The slot that only the product of h adds to.
  void start_late(const Member& m, std::ptrdiff_t panel, std::int64_t rows) const {
    for (int part = 0; part < parts_of_columns; ++part) {
      const std::ptrdiff_t unit = panel * packed_columns + part * L;
      const Vec<float> start = load(direction.bias_late + unit);
      float* place = m.pre + unit * Cell::slots + (Cell::slots - 1) * L;
      for (std::int64_t row = 0; row < rows; ++row, place += ld_pre) store(place, start);
    }
  }

  void step(const Member& m, StepForward<float>& s, std::int64_t t, std::int64_t rows, float* to) const {
    float* const h_prev = m.h + (t % 2) * m.turn;
    for (std::int64_t row = 0; row < rows; ++row) m.token[row] = m.share.token(row, t, reverse);
    if (sequences.reset != nullptr) {
      restart(m, t, rows, h_prev);
      if (direction.c_n != nullptr) restart(m, t, rows, m.c);
    }
    if (m.units > 1) m.barrier->wait(m.unit, m.units);
    for (std::int64_t row = 0; row < rows; ++row) round_row(h_prev + row * ld_h, call.hidden, m.h_rows.from(row));
    s.pre = to;
    s.h_prev = h_prev;
    s.h_next = m.h + ((t + 1) % 2) * m.turn;
    for (std::ptrdiff_t panel = m.panels.begin; panel < m.panels.end; ++panel) {
      const std::ptrdiff_t first = panel * units_of_panel(), past = first + units_of_panel();
      const std::ptrdiff_t last = past < call.hidden ? past : call.hidden;
      product(direction.hh, panel, m.h_rows, rows, to, Cell::recurrent_slot, nullptr,
              [&](std::int64_t row, std::int64_t end) { cells(s, row, end, first, last); });
    }
  }

  // Zeros in the rows of a state before this step where a flag says so; each thread does its own columns.
  void restart(const Member& m, std::int64_t t, std::int64_t rows, float* state) const {
    for (std::int64_t row = 0; row < rows; ++row) {
      if (m.share.restarts(row, t, reverse)) copy_columns<float>(nullptr, units_of(m), state + row * ld_h);
    }
  }

  static void cells(const StepForward<float>& s, std::int64_t row, std::int64_t end, std::ptrdiff_t first,
                    std::ptrdiff_t last) {
    for (; row < end; ++row) {
      for (std::ptrdiff_t unit = first; unit < last; unit += L) {
        Cell::template forward<float>(s, row, unit, last - unit < L ? static_cast<int>(last - unit) : L);
      }
    }
  }
};

template <class Cell>
void int_recurrent_of(const QuantizedRecurrent& call, const Sequences& sequences) {
  using Loop = IntRecurrent<Cell>;
  Loop loops[2]{{call, call.direction[0]}, {call, call.direction[1]}};
  const Barriers barriers(call.directions * call.threads);
  for (int d = 0; d < call.directions; ++d) {
    loops[d].plan(d, sequences);
    loops[d].barrier = barriers.first() + d * call.threads;
  }
  const DividedScratch scratch([&](Pieces& pieces) {
    for (int d = 0; d < call.directions; ++d) loops[d].divide(pieces);
  });
  auto run = [&](int rank, int size) {
    if (call.directions == 2 && size % 2 == 0) {
      loops[rank / (size / 2)].run(rank % (size / 2), size / 2);
      return;
    }
    for (int d = 0; d < call.directions; ++d) loops[d].run(rank, size);
  };
  const Grid grid = loops[0].grid_of(call.threads);
  parallel(call.directions == 1 && grid.groups * grid.units == 1 ? 1 : call.threads, run);
}

}  // namespace throughtime::TT_ISA
