// The gradients of weights and bias: for each tap the product of x at that tap, transposed, and dy.
//
//   dw[o, c, k] = Σ_t dy[t, o] · x[t·stride + k·dilation − left, c]
//
// A block of tokens at a time, copied to where a tile reads it in order: dy as panels of outputs, x as a column
// of as many channels as a tile has rows, with what lies beyond the sequences. At stride 1 all taps read the same
// copy of x. The sums stay in one matrix over all tokens. Threads own parts of that matrix, so that its bits do
// not depend on them.
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
    T* const x = pieces.take<T>(p.most_places * p.unit + L);
    T* const dy = pieces.take<T>(p.most_rows * p.panels.padded());
    Run* const runs = pieces.take<Run>(p.most_segments);
    std::int64_t* const place = pieces.take<std::int64_t>(p.most_segments);
    T* const bias = pieces.take<T>(p.panels.padded());
    if (self == nullptr) return;
    self->x_ = x, self->dy_ = dy, self->runs_ = runs, self->place_ = place, self->bias_ = bias;
  }
  static std::size_t bytes(const WeightPlan<T>& p) {
    Pieces pieces(nullptr);
    divide(pieces, p, nullptr);
    return pieces.used();
  }

  const Segment* begin(std::int64_t b) const { return p_.blocks.segments + p_.blocks.first[b]; }
  const Segment* end(std::int64_t b) const { return p_.blocks.segments + p_.blocks.first[b + 1]; }

  void block(std::int64_t b) {
    std::ptrdiff_t group = -1;
    for (std::ptrdiff_t u = share_.units.begin; u < share_.units.end; ++u) {
      const std::ptrdiff_t g = u / p_.units, first = u % p_.units * p_.unit;
      const std::ptrdiff_t left = p_.rows - first;
      const int rows = static_cast<int>(left < p_.unit ? left : p_.unit);
      if (g != group) copy_dy(b, g, u % p_.units == 0 && p_.call->db != nullptr);
      group = g;
      if (p_.by_pairs()) {
        copy_pairs(b, g, first, rows);
      } else {
        copy_channels(b, g, first, rows);
      }
      for (std::ptrdiff_t q = share_.panels.begin; q < share_.panels.end; ++q) {
        for (std::ptrdiff_t k = 0; k < p_.taps; ++k) tile(b, g, first, rows, q, k);
      }
    }
  }

  void tile(std::int64_t b, std::ptrdiff_t g, std::ptrdiff_t first, int rows, std::ptrdiff_t q, std::ptrdiff_t k) {
    const int vectors = p_.panels.vectors_of(q);
    const std::ptrdiff_t n = p_.panels.first(q);
    T* out[most_rows];
    T* const sums = p_.sums + ((g * p_.taps + k) * p_.rows + first) * p_.ld + n;
    for (int m = 0; m < rows; ++m) out[m] = sums + m * p_.ld;
    Tile<T> tile{};
    tile.a = x_;
    tile.lda = p_.unit;
    tile.ldp = vectors * L;
    tile.panel = dy_ + n * dy_rows_;
    tile.out = out;
    tile.columns = vectors * L;
    tile.start = b == 0 ? p_.nothing : nullptr;
    std::ptrdiff_t count = 0, row = 0;
    for (const Segment* s = begin(b); s < end(b); ++s, ++count) {
      const std::ptrdiff_t depth = s->end - s->begin;
      const std::ptrdiff_t apart = p_.by_pairs() ? 0 : spans(depth) ? p_.shape.dilation : depth;
      runs_[count] = {(place_[count] + k * apart) * p_.unit, row * tile.ldp, depth};
      row += depth;
    }
    multiply_runs<T, Factors::columns>(rows, vectors, tile, runs_, count, false);
  }

  // ------------------------------------------------------------------------------------------- copies

  // Whether all taps of a segment read one copy of x, or each its own.
  bool spans(std::ptrdiff_t rows) const { return spans_taps(p_.shape, rows); }

  void copy_dy(std::int64_t b, std::ptrdiff_t g, bool bias) {
    const T* const dy = static_cast<const T*>(p_.call->dy) + g * p_.O;
    T* const db = static_cast<T*>(p_.call->db);
    dy_rows_ = 0;
    for (const Segment* s = begin(b); s < end(b); ++s) dy_rows_ += s->end - s->begin;
    for (std::ptrdiff_t q = share_.panels.begin; q < share_.panels.end; ++q) {
      const std::ptrdiff_t n = p_.panels.first(q), ldp = p_.panels.vectors_of(q) * L;
      T* to = dy_ + n * dy_rows_;
      if (bias) {
        for (std::ptrdiff_t i = 0; i < ldp; ++i) {
          const bool has = b > 0 && n + i < p_.O;
          bias_[n + i] = has ? db[g * p_.O + n + i] : T(0);
        }
      }
      for (std::ptrdiff_t v = 0; v < ldp; v += L) {
        const std::ptrdiff_t left = p_.O - n - v;
        const int count = static_cast<int>(left < L ? left : L);
        Vec<T> sum = bias ? load(bias_ + n + v) : Vec<T>{};
        T* place = to + v;
        for (const Segment* s = begin(b); s < end(b); ++s) {
          const T* from = dy + (p_.call->batch.out_offsets[s->sequence] + s->begin) * p_.shape.outputs + n + v;
          for (std::int64_t t = s->begin; t < s->end; ++t, from += p_.shape.outputs, place += ldp) {
            const Vec<T> row = count == L ? load(from) : load_part(from, count);
            store(place, row);
            sum += row;
          }
        }
        if (bias) store_part(db + g * p_.O + n + v, sum, count);
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

  // Channels of one unit at all positions, a row of `unit` values each; what is stored beyond is overwritten.
  void copy_channels(std::int64_t b, std::ptrdiff_t g, std::ptrdiff_t first, int rows) {
    const std::ptrdiff_t channel = g * p_.C + first, w = p_.unit;
    const bool whole = channel + round_up(w, L) <= p_.shape.channels;
    std::ptrdiff_t place = 0, count = 0;
    const auto copy = [&](const Segment& s, std::ptrdiff_t position) {
      const T* const from = x_row(s, position);
      T* const to = x_ + place++ * w;
      for (std::ptrdiff_t i = 0; i < w; i += L) {
        const std::ptrdiff_t left = rows - i;
        Vec<T> part{};
        if (from != nullptr && whole) {
          part = load(from + channel + i);
        } else if (from != nullptr && left > 0) {
          part = load_part(from + channel + i, static_cast<int>(left < L ? left : L));
        }
        store(to + i, part);
      }
    };
    for (const Segment* s = begin(b); s < end(b); ++s) {
      const std::ptrdiff_t depth = s->end - s->begin;
      const std::ptrdiff_t head = s->begin * p_.shape.stride - p_.shape.left;
      place_[count++] = place;
      if (spans(depth)) {
        const std::ptrdiff_t span = depth + p_.shape.dilation * (p_.shape.width - 1);
        for (std::ptrdiff_t i = 0; i < span; ++i) copy(*s, head + i);
        continue;
      }
      for (std::ptrdiff_t k = 0; k < p_.shape.width; ++k) {
        for (std::ptrdiff_t t = 0; t < depth; ++t) copy(*s, head + t * p_.shape.stride + k * p_.shape.dilation);
      }
    }
  }

  // Few channels: a tile's rows are pairs of tap and channel.
  void copy_pairs(std::int64_t b, std::ptrdiff_t g, std::ptrdiff_t first, int rows) {
    std::ptrdiff_t place = 0, count = 0;
    for (const Segment* s = begin(b); s < end(b); ++s) {
      const std::ptrdiff_t depth = s->end - s->begin;
      place_[count++] = place;
      for (int m = 0; m < rows; ++m) {
        const std::ptrdiff_t tap = (first + m) / p_.C, channel = g * p_.C + (first + m) % p_.C;
        const std::ptrdiff_t head = s->begin * p_.shape.stride - p_.shape.left + tap * p_.shape.dilation;
        for (std::ptrdiff_t t = 0; t < depth; ++t) {
          const T* const from = x_row(*s, head + t * p_.shape.stride);
          x_[(place + t) * p_.unit + m] = from == nullptr ? T(0) : from[channel];
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
  T *x_ = nullptr, *dy_ = nullptr, *bias_ = nullptr;
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
  p.ld = row_length<T>(p.O);
  measure_blocks(p);
  T* nothing = nullptr;
  const auto divide = [&](Pieces& pieces) {
    p.sums = pieces.take<T>(call.shape.groups * p.taps * p.rows * p.ld);
    nothing = pieces.take<T>(max_vectors * lanes<T>);
  };
  Pieces measure(nullptr);
  divide(measure);
  const Scratch scratch(measure.used());
  Pieces pieces(scratch.data());
  divide(pieces);
  for (int i = 0; i < max_vectors * lanes<T>; ++i) nothing[i] = T(0);
  p.nothing = nothing;
  parallel(
      call.threads,
      [](void* context, int rank, int size) {
        WeightGradient<T>(*static_cast<const WeightPlan<T>*>(context), rank, size).run();
      },
      &p);
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
  struct Work {
    const ConvWeightGradient* call;
    Blocks blocks;
  } work{&call, blocks};
  parallel(
      call.threads,
      [](void* context, int rank, int size) {
        const Work& mine = *static_cast<const Work*>(context);
        const Panels<T> panels = channel_panels<T>(mine.call->shape.channels, true);
        for (std::ptrdiff_t q = rank; q < panels.count(); q += size) {
          weight_gradient_of_channels<T>(*mine.call, mine.blocks, panels.first(q), panels.columns_of(q));
        }
      },
      &work);
}

template <class T>
void weight_gradient_of(const ConvWeightGradient& call, const Blocks& blocks) {
  if (is_depthwise(call.shape)) return weight_gradient_depthwise<T>(call, blocks);
  weight_gradient_dense<T>(call, blocks);
}

}  // namespace throughtime::TT_ISA
