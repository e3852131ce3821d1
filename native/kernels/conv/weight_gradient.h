// The gradients of weights and bias: for each tap the product of x at that tap, transposed, and dy.
//
//   dw[o, c, k] = Σ_t dy[t, o] · x[t·stride + k·dilation − left, c]
//
// One block of tokens at a time is copied into the order in which a tile reads it: dy as panels of outputs, x as
// columns of as many channels as a tile has rows, with the border values. A row is copied to all its panels or
// columns at once, so that memory is read sequentially. At stride 1 all taps read the same copy of x. The sums
// over all tokens are in one matrix, of which each thread computes a part, so that its bits do not depend on the
// number of threads.
#pragma once

#include "kernels/conv/passes.h"

namespace throughtime::TT_ISA {

template <class T>
struct WeightPlan {
  ConvShape shape;
  std::ptrdiff_t C, O, taps;    // channels in and out of a group; taps that are separate products
  std::ptrdiff_t rows;          // of the products: channels, or all pairs of tap and channel
  Panels<T> panels;             // outputs of a group
  std::ptrdiff_t unit, units;   // rows of a tile; tiles of a group
  std::ptrdiff_t wide;          // from one row of a column to the next, whole vectors
  std::ptrdiff_t ld;            // of the sums
  T* sums;                      // (groups, taps, rows, ld)
  Blocks blocks;
  std::int64_t most_rows, most_places, most_segments;  // of a block: of dy, of the copy of x, of segments
  const ConvWeightGradient* call;
  const T* nothing;             // a row of zeros

  bool by_pairs() const { return taps != shape.width; }
};

// What of the matrix a thread makes: units first … last of all groups', outputs of some panels.
struct WeightShare {
  Range units, panels;
};

template <class T>
WeightShare weight_share(const WeightPlan<T>& p, int rank, int size) {
  const std::ptrdiff_t all = p.units * p.shape.groups;
  std::ptrdiff_t parts = all >= size ? 1 : size / all;
  if (parts > p.panels.count()) parts = p.panels.count();
  const int lines = static_cast<int>(size / parts);
  const int line = static_cast<int>(rank / parts), part = static_cast<int>(rank % parts);
  if (line >= lines) return {{0, 0}, {0, 0}};
  return {part_of(all, line, lines), part_of(p.panels.count(), part, static_cast<int>(parts))};
}

template <class T>
class WeightGradient {
 public:
  static constexpr int L = lanes<T>;

  WeightGradient(const WeightPlan<T>& plan, int rank, int size)
      : p_(plan), share_(weight_share(plan, rank, size)), scratch_(bytes(plan)) {
    Pieces pieces(scratch_.data());
    divide(pieces, plan, this);
  }

  void run() {
    if (share_.units.begin == share_.units.end) return;
    for (std::int64_t b = 0; b < p_.blocks.count; ++b) block(b);
    finish();
  }

 private:
  static void divide(Pieces& pieces, const WeightPlan<T>& p, WeightGradient* self) {
    T* const x = pieces.take<T>(most_units * column_size(p));
    T* const dy = pieces.take<T>(p.most_rows * p.panels.padded());
    Run* const runs = pieces.take<Run>(p.most_segments);
    std::int64_t* const place = pieces.take<std::int64_t>(p.most_segments);
    if (self == nullptr) return;
    self->x_ = x, self->dy_ = dy, self->runs_ = runs, self->place_ = place;
  }
  static std::size_t bytes(const WeightPlan<T>& p) {
    Pieces pieces(nullptr);
    divide(pieces, p, nullptr);
    return pieces.used();
  }

  // Columns of x that are copied together, and rows at a time: they stay in the first cache.
  static constexpr std::ptrdiff_t most_units = 8, rows_at_once = 16;
  static std::ptrdiff_t column_size(const WeightPlan<T>& p) { return p.most_places * p.wide; }

  const Segment* begin(std::int64_t b) const { return p_.blocks.segments + p_.blocks.first[b]; }
  const Segment* end(std::int64_t b) const { return p_.blocks.segments + p_.blocks.first[b + 1]; }

  void block(std::int64_t b) {
    std::ptrdiff_t group = -1;
    for (std::ptrdiff_t u = share_.units.begin; u < share_.units.end;) {
      const std::ptrdiff_t g = u / p_.units, start = u % p_.units;
      std::ptrdiff_t count = p_.units - start < most_units ? p_.units - start : most_units;
      if (share_.units.end - u < count) count = share_.units.end - u;
      if (g != group) copy_dy(b, g, start == 0 && p_.call->db != nullptr);
      group = g;
      if (p_.by_pairs()) {
        copy_pairs(b, g, start, count);
      } else {
        copy_channels(b, g, start, count);
      }
      for (std::ptrdiff_t i = 0; i < count; ++i) {
        ask_ahead(b + 1, u + i - share_.units.begin);
        for (std::ptrdiff_t q = share_.panels.begin; q < share_.panels.end; ++q) {
          for (std::ptrdiff_t k = 0; k < p_.taps; ++k) tile(b, g, start + i, x_ + i * column_size(p_), q, k);
        }
      }
      u += count;
    }
  }

  // Asks for a part of what the next block copies; all its rows lie one after the other.
  void ask_ahead(std::int64_t b, std::ptrdiff_t part) const {
    if (b == p_.blocks.count) return;
    const Segment &head = *begin(b), &tail = end(b)[-1];
    const ConvBatch& batch = p_.call->batch;
    const std::ptrdiff_t parts = share_.units.end - share_.units.begin, stride = p_.shape.stride;
    const Range dy{batch.out_offsets[head.sequence] + head.begin, batch.out_offsets[tail.sequence] + tail.end};
    const std::ptrdiff_t last = batch.offsets[tail.sequence] + tail.end * stride;
    const Range x{batch.offsets[head.sequence] + head.begin * stride,
                  last < batch.offsets[tail.sequence + 1] ? last : batch.offsets[tail.sequence + 1]};
    ask_for(static_cast<const T*>(p_.call->dy), dy, p_.shape.outputs, part, parts);
    ask_for(static_cast<const T*>(p_.call->x), x, p_.shape.channels, part, parts);
  }

  static void ask_for(const T* matrix, Range rows, std::ptrdiff_t ld, std::ptrdiff_t part, std::ptrdiff_t parts) {
    const Range own = part_of((rows.end - rows.begin) * ld, static_cast<int>(part), static_cast<int>(parts));
    if (own.begin < own.end) prefetch(matrix + rows.begin * ld + own.begin, own.end - own.begin);
  }

  int rows_of(std::ptrdiff_t unit) const {
    const std::ptrdiff_t left = p_.rows - unit * p_.unit;
    return static_cast<int>(left < p_.unit ? left : p_.unit);
  }

  void tile(std::int64_t b, std::ptrdiff_t g, std::ptrdiff_t unit, const T* column, std::ptrdiff_t q,
            std::ptrdiff_t k) {
    const std::ptrdiff_t first = unit * p_.unit;
    const int rows = rows_of(unit);
    const int vectors = p_.panels.vectors_of(q);
    const std::ptrdiff_t n = p_.panels.first(q);
    T* out[most_rows];
    T* const sums = p_.sums + ((g * p_.taps + k) * p_.rows + first) * p_.ld + n;
    for (int m = 0; m < rows; ++m) out[m] = sums + m * p_.ld;
    Tile<T> tile{};
    tile.a = column;
    tile.lda = p_.wide;
    tile.ldp = vectors * L;
    tile.panel = dy_ + n * dy_rows_;
    tile.out = out;
    tile.columns = vectors * L;
    tile.start = b == 0 ? p_.nothing : nullptr;
    std::ptrdiff_t count = 0, row = 0;
    for (const Segment* s = begin(b); s < end(b); ++s, ++count) {
      const std::ptrdiff_t depth = s->end - s->begin;
      const std::ptrdiff_t apart = p_.by_pairs() ? 0 : spans(depth) ? p_.shape.dilation : depth;
      runs_[count] = {(place_[count] + k * apart) * p_.wide, row * tile.ldp, depth};
      row += depth;
    }
    multiply_runs<T, Factors::columns>(rows, vectors, tile, runs_, count, false);
  }

  // ------------------------------------------------------------------------------------------- copies

  // Whether all taps of a segment read one copy of x, or each its own.
  bool spans(std::ptrdiff_t rows) const { return spans_taps(p_.shape, rows); }

  void copy_dy(std::int64_t b, std::ptrdiff_t g, bool bias) {
    const T* const dy = static_cast<const T*>(p_.call->dy) + g * p_.O;
    dy_rows_ = 0;
    for (const Segment* s = begin(b); s < end(b); ++s) dy_rows_ += s->end - s->begin;
    // The rows of a block lie one after the other.
    const T* const from = dy + (p_.call->batch.out_offsets[begin(b)->sequence] + begin(b)->begin) * p_.shape.outputs;
    for (std::ptrdiff_t row = 0; row < dy_rows_; row += rows_at_once) {
      copy_dy_rows(from + row * p_.shape.outputs, row, dy_rows_ - row < rows_at_once ? dy_rows_ - row : rows_at_once);
    }
    if (bias) add_bias(b, static_cast<T*>(p_.call->db) + g * p_.O);
  }

  void copy_dy_rows(const T* from, std::ptrdiff_t row, std::ptrdiff_t rows) {
    for (std::ptrdiff_t q = share_.panels.begin; q < share_.panels.end; ++q) {
      const std::ptrdiff_t n = p_.panels.first(q), ldp = p_.panels.vectors_of(q) * L;
      T* const to = dy_ + n * dy_rows_ + row * ldp;
      for (std::ptrdiff_t v = 0; v < ldp; v += L) {
        const std::ptrdiff_t left = p_.O - n - v;
        copy_vectors(from + n + v, p_.shape.outputs, rows, static_cast<int>(left < L ? left : L), to + v, ldp);
      }
    }
  }

  // One vector of each row, of which `count` lanes are read.
  static void copy_vectors(const T* from, std::ptrdiff_t ld, std::ptrdiff_t rows, int count, T* to,
                           std::ptrdiff_t to_ld) {
    if (count == L) {
      for (std::ptrdiff_t r = 0; r < rows; ++r) store(to + r * to_ld, load(from + r * ld));
    } else {
      for (std::ptrdiff_t r = 0; r < rows; ++r) store(to + r * to_ld, load_part(from + r * ld, count));
    }
  }

  // The sums over the copied rows, in two chains that the rows take in turns.
  void add_bias(std::int64_t b, T* db) const {
    for (std::ptrdiff_t q = share_.panels.begin; q < share_.panels.end; ++q) {
      const std::ptrdiff_t n = p_.panels.first(q), ldp = p_.panels.vectors_of(q) * L;
      for (std::ptrdiff_t v = 0; v < ldp; v += L) {
        const T* from = dy_ + n * dy_rows_ + v;
        const int count = static_cast<int>(p_.O - n - v < L ? p_.O - n - v : L);
        Vec<T> even = b > 0 ? load_part(db + n + v, count) : Vec<T>{}, odd{};
        std::ptrdiff_t row = 0;
        for (; row + 1 < dy_rows_; row += 2, from += 2 * ldp) even += load(from), odd += load(from + ldp);
        if (row < dy_rows_) even += load(from);
        store_part(db + n + v, even + odd, count);
      }
    }
  }

  const T* x_row(const Segment& s, std::ptrdiff_t position) const {
    const std::int64_t* const at = p_.call->batch.offsets + s.sequence;
    const std::ptrdiff_t length = at[1] - at[0];
    if (position < 0 || position >= length) {
      if (!p_.shape.replicate) return nullptr;
      position = position < 0 ? 0 : length - 1;
    }
    return static_cast<const T*>(p_.call->x) + (at[0] + position) * p_.shape.channels;
  }

  // Channels of `count` units at all positions, in each unit's column a row of `unit` values and of what
  // fills the last vector.
  void copy_channels(std::int64_t b, std::ptrdiff_t g, std::ptrdiff_t start, std::ptrdiff_t count) {
    std::ptrdiff_t place = 0, segment = 0;
    for (const Segment* s = begin(b); s < end(b); ++s) {
      const std::ptrdiff_t depth = s->end - s->begin, reach = p_.shape.dilation * (p_.shape.width - 1);
      const std::ptrdiff_t head = s->begin * p_.shape.stride - p_.shape.left;
      place_[segment++] = place;
      const Columns columns{g * p_.C + start * p_.unit, start, count};
      if (spans(depth)) {
        copy_positions(*s, head, 1, depth + reach, columns, place);
        place += depth + reach;
        continue;
      }
      for (std::ptrdiff_t k = 0; k < p_.shape.width; ++k, place += depth) {
        copy_positions(*s, head + k * p_.shape.dilation, p_.shape.stride, depth, columns, place);
      }
    }
  }

  // Columns start … start + count of a group, the first of them at this channel.
  struct Columns {
    std::ptrdiff_t channel, start, count;
  };

  // `rows` positions, `step` apart: those before the sequence, those in it, those after it.
  void copy_positions(const Segment& s, std::ptrdiff_t position, std::ptrdiff_t step, std::ptrdiff_t rows,
                      const Columns& columns, std::ptrdiff_t place) {
    const std::int64_t* const at = p_.call->batch.offsets + s.sequence;
    const std::ptrdiff_t length = at[1] - at[0], C = p_.shape.channels;
    const auto within = [&](std::ptrdiff_t count) { return count < 0 ? 0 : count < rows ? count : rows; };
    const std::ptrdiff_t before = within(ceil_div(-position, step)), until = within(ceil_div(length - position, step));
    const T* const x = static_cast<const T*>(p_.call->x) + at[0] * C;
    const bool copies = p_.shape.replicate && length > 0;
    copy_rows(copies ? x : nullptr, 0, before, columns, place);
    copy_rows(x + (position + before * step) * C, step * C, until - before, columns, place + before);
    copy_rows(copies ? x + (length - 1) * C : nullptr, 0, rows - until, columns, place + until);
  }

  // Rows `ld` apart, or zeros from nowhere.
  void copy_rows(const T* from, std::ptrdiff_t ld, std::ptrdiff_t rows, const Columns& columns,
                 std::ptrdiff_t place) {
    const std::ptrdiff_t w = p_.wide;
    for (std::ptrdiff_t row = 0; row < rows; row += rows_at_once) {
      const std::ptrdiff_t some = rows - row < rows_at_once ? rows - row : rows_at_once;
      for (std::ptrdiff_t u = 0; u < columns.count; ++u) {
        const std::ptrdiff_t channel = columns.channel + u * p_.unit;
        T* const to = x_ + u * column_size(p_) + (place + row) * w;
        if (from == nullptr) {
          std::memset(to, 0, sizeof(T) * static_cast<std::size_t>(some * w));
          continue;
        }
        const std::ptrdiff_t readable =
            channel + w <= p_.shape.channels ? w : static_cast<std::ptrdiff_t>(rows_of(columns.start + u));
        for (std::ptrdiff_t i = 0; i < readable; i += L) {
          const int lanes_read = static_cast<int>(readable - i < L ? readable - i : L);
          copy_vectors(from + row * ld + channel + i, ld, some, lanes_read, to + i, w);
        }
      }
    }
  }

  // Few channels: a tile's rows are pairs of tap and channel.
  void copy_pairs(std::int64_t b, std::ptrdiff_t g, std::ptrdiff_t start, std::ptrdiff_t count) {
    std::ptrdiff_t place = 0, segment = 0;
    for (const Segment* s = begin(b); s < end(b); ++s) {
      const std::ptrdiff_t depth = s->end - s->begin;
      place_[segment++] = place;
      for (std::ptrdiff_t u = start; u < start + count; ++u) {
        T* const to = x_ + (u - start) * column_size(p_) + place * p_.wide;
        for (int m = 0; m < rows_of(u); ++m) {
          const std::ptrdiff_t pair = u * p_.unit + m, tap = pair / p_.C, channel = g * p_.C + pair % p_.C;
          const std::ptrdiff_t head = s->begin * p_.shape.stride - p_.shape.left + tap * p_.shape.dilation;
          for (std::ptrdiff_t t = 0; t < depth; ++t) {
            const T* const from = x_row(*s, head + t * p_.shape.stride);
            to[t * p_.wide + m] = from == nullptr ? T(0) : from[channel];
          }
        }
      }
      place += depth;
    }
  }

  // ------------------------------------------------------------------------------------------- results

  // sums (g, k, c, o) to dw (g, o, c, k), for this thread's part.
  void finish() const {
    T* const dw = static_cast<T*>(p_.call->dw);
    for (std::ptrdiff_t u = share_.units.begin; u < share_.units.end; ++u) {
      const std::ptrdiff_t g = u / p_.units, first = u % p_.units * p_.unit;
      const std::ptrdiff_t last = first + p_.unit < p_.rows ? first + p_.unit : p_.rows;
      for (std::ptrdiff_t n = p_.panels.first(share_.panels.begin); n < columns_of(p_.panels, share_.panels).end;
           n += L) {
        const std::ptrdiff_t count = p_.O - n < L ? p_.O - n : L;
        for (std::ptrdiff_t r = first; r < last; ++r) {
          for (std::ptrdiff_t k = 0; k < p_.taps; ++k) {
            const T* from = p_.sums + ((g * p_.taps + k) * p_.rows + r) * p_.ld + n;
            const std::ptrdiff_t tap = p_.by_pairs() ? r / p_.C : k, channel = p_.by_pairs() ? r % p_.C : r;
            T* to = dw + ((g * p_.O + n) * p_.C + channel) * p_.shape.width + tap;
            for (std::ptrdiff_t l = 0; l < count; ++l) to[l * p_.C * p_.shape.width] = from[l];
          }
        }
      }
    }
  }

  const WeightPlan<T>& p_;
  WeightShare share_;
  Scratch scratch_;
  T *x_ = nullptr, *dy_ = nullptr;
  Run* runs_ = nullptr;
  std::int64_t* place_ = nullptr;
  std::ptrdiff_t dy_rows_ = 0;

 public:
  static bool spans_taps(const ConvShape& shape, std::ptrdiff_t rows) {
    return shape.stride == 1 && shape.dilation * (shape.width - 1) <= rows * (shape.width - 1);
  }
};

// Sizes of the largest block.
template <class T>
void measure_blocks(WeightPlan<T>& p) {
  const ConvShape& shape = p.shape;
  for (std::int64_t b = 0; b < p.blocks.count; ++b) {
    std::int64_t rows = 0, places = 0;
    for (std::int64_t i = p.blocks.first[b]; i < p.blocks.first[b + 1]; ++i) {
      const std::int64_t depth = p.blocks.segments[i].end - p.blocks.segments[i].begin;
      rows += depth;
      if (p.by_pairs()) {
        places += depth;
      } else if (WeightGradient<T>::spans_taps(shape, depth)) {
        places += depth + shape.dilation * (shape.width - 1);
      } else {
        places += depth * shape.width;
      }
    }
    const std::int64_t segments = p.blocks.first[b + 1] - p.blocks.first[b];
    p.most_rows = rows > p.most_rows ? rows : p.most_rows;
    p.most_places = places > p.most_places ? places : p.most_places;
    p.most_segments = segments > p.most_segments ? segments : p.most_segments;
  }
}

template <class T>
void weight_gradient_dense(const ConvWeightGradient& call, const Blocks& blocks) {
  WeightPlan<T> p{};
  p.shape = call.shape;
  p.call = &call;
  p.blocks = blocks;
  p.C = call.shape.channels / call.shape.groups;
  p.O = call.shape.outputs / call.shape.groups;
  // With too few channels to fill a tile, taps fill it.
  const bool pairs = call.shape.width > 1 && p.C < most_rows / 2;
  p.taps = pairs ? 1 : call.shape.width;
  p.rows = pairs ? p.C * call.shape.width : p.C;
  p.panels = channel_panels<T>(p.O, false);
  // As many tiles as make equal work for all threads, of nearly equal size.
  const std::ptrdiff_t most = max_rows(p.panels.vectors), threads = call.threads;
  const std::ptrdiff_t tiles = (p.rows + most * threads - 1) / (most * threads) * threads;
  p.unit = (p.rows + tiles - 1) / tiles;
  p.units = (p.rows + p.unit - 1) / p.unit;
  p.wide = round_up(p.unit, lanes<T>);
  p.ld = row_length<T>(p.O);
  measure_blocks(p);
  T* nothing = nullptr;
  const auto divide = [&](Pieces& pieces) {
    p.sums = pieces.take<T>(call.shape.groups * p.taps * p.rows * p.ld);
    nothing = pieces.take<T>(max_vectors * lanes<T>);
  };
  const DividedScratch scratch(divide);
  for (int i = 0; i < max_vectors * lanes<T>; ++i) nothing[i] = T(0);
  p.nothing = nothing;
  auto run = [&](int rank, int size) { WeightGradient<T>(p, rank, size).run(); };
  parallel(call.threads, run);
}

// ------------------------------------------------------------------------------------------- depthwise

// One vector of channels: a sum over tokens for each tap, in four chains that the tokens take in turns.
template <class T>
void weight_gradient_of_channels(const ConvWeightGradient& call, const Blocks& blocks, std::ptrdiff_t n, int count) {
  const ConvShape& shape = call.shape;
  const std::ptrdiff_t C = shape.channels;
  const auto part = [&](const T* from) { return count == lanes<T> ? load(from) : load_part(from, count); };
  const std::int64_t segments = blocks.first[blocks.count];
  for (std::ptrdiff_t k = -1; k < shape.width; ++k) {
    if (k < 0 && call.db == nullptr) continue;
    Vec<T> sums[4] = {};
    for (std::int64_t i = 0; i < segments; ++i) {
      const Segment& s = blocks.segments[i];
      const std::ptrdiff_t length = call.batch.offsets[s.sequence + 1] - call.batch.offsets[s.sequence];
      const T* x = static_cast<const T*>(call.x) + call.batch.offsets[s.sequence] * C + n;
      const T* dy = static_cast<const T*>(call.dy) + (call.batch.out_offsets[s.sequence] + s.begin) * C + n;
      std::ptrdiff_t position = s.begin * shape.stride + k * shape.dilation - shape.left;
      for (std::int64_t t = s.begin; t < s.end; ++t, position += shape.stride, dy += C) {
        if (k < 0) {
          sums[t & 3] += part(dy);
          continue;
        }
        std::ptrdiff_t at = position;
        if (at < 0 || at >= length) {
          if (!shape.replicate) continue;
          at = at < 0 ? 0 : length - 1;
        }
        sums[t & 3] = fma<T>(part(x + at * C), part(dy), sums[t & 3]);
      }
    }
    const Vec<T> sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    for (int l = 0; l < count; ++l) {
      if (k < 0) {
        static_cast<T*>(call.db)[n + l] = sum[l];
      } else {
        static_cast<T*>(call.dw)[(n + l) * shape.width + k] = sum[l];
      }
    }
  }
}

template <class T>
void weight_gradient_depthwise(const ConvWeightGradient& call, const Blocks& blocks) {
  const Panels<T> panels = channel_panels<T>(call.shape.channels, true);
  auto run = [&](int rank, int size) {
    for (std::ptrdiff_t q = rank; q < panels.count(); q += size) {
      weight_gradient_of_channels<T>(call, blocks, panels.first(q), panels.columns_of(q));
    }
  };
  parallel(call.threads, run);
}

template <class T>
void weight_gradient_of(const ConvWeightGradient& call, const Blocks& blocks) {
  if (is_depthwise(call.shape)) return weight_gradient_depthwise<T>(call, blocks);
  weight_gradient_dense<T>(call, blocks);
}

}  // namespace throughtime::TT_ISA
