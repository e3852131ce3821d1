// A correlation with packed weights, which computes both the convolution and the gradient of its input.
//
//   out[first + i·out_step] = start + Σ_j in[origin + i·row_step + j·tap_step] · weights_j      for each pass
//
// Tiles of rows times panels of channels; a tile's sum over taps and channels stays in registers. Rows of the
// input are read in place. Only tiles that extend beyond a sequence read a copy, which includes the border values.
#pragma once

#include "kernels/conv/kernels.h"
#include "kernels/pack.h"
#include "kernels/pieces.h"
#include "kernels/scratch.h"

namespace throughtime::TT_ISA {

// Quotients rounded up and down, for a positive divisor.
inline std::ptrdiff_t ceil_div(std::ptrdiff_t a, std::ptrdiff_t b) { return a > 0 ? (a + b - 1) / b : -(-a / b); }
inline std::ptrdiff_t floor_div(std::ptrdiff_t a, std::ptrdiff_t b) { return -ceil_div(-a, b); }

// Taps that meet the same rows of the output: all of them, or with a stride those of one remainder.
template <class T>
struct Pass {
  std::ptrdiff_t first, origin, taps;
  std::ptrdiff_t number, number_step;  // tap j is the weights' tap number + j · number_step
  T* packed;  // panels over the output channels of each group; rows: taps · depth
};

template <class T>
struct Correlation {
  std::ptrdiff_t in_channels, out_channels;  // of a row
  std::ptrdiff_t groups;                     // 1 for depthwise
  std::ptrdiff_t depth;                      // input channels of a group; 1 for depthwise
  Panels<T> panels;                          // output channels of a group; for depthwise all
  bool depthwise, relu, replicate;
  std::ptrdiff_t row_step, tap_step, out_step;
  const Pass<T>* pass;
  std::ptrdiff_t passes, most_taps;
  const T* in;
  T* out;
  const T* start;  // (groups, padded)
  const std::int64_t *in_offsets, *out_offsets;
  T* outside;  // (B, before + after, out channels): rows beyond the ends, or null
  std::ptrdiff_t before, after;
};

// Rows of a tile: where they are read and written.
template <class T>
struct TileRows {
  const T* a;                   // row 0 at tap `tap`
  std::ptrdiff_t lda, tap_distance;
  std::ptrdiff_t tap, taps;     // those that meet the sequence
  bool merged;                  // the taps' factors are one run
  T* out;
  std::ptrdiff_t ld_out;
  int rows;
};

template <class T>
class Correlator {
 public:
  static constexpr int L = lanes<T>;

  explicit Correlator(const Correlation<T>& c)
      : c_(c), edge_room_(edge_room(c)), scratch_(bytes(c)) {
    Pieces pieces(scratch_.data());
    divide(pieces, c, this);
  }

  void block(const Blocks& blocks, std::int64_t number) {
    for (std::ptrdiff_t p = 0; p < c_.passes; ++p) {
      for (std::int64_t s = blocks.first[number]; s < blocks.first[number + 1]; ++s) {
        segment(c_.pass[p], blocks.segments[s]);
      }
      flush(c_.pass[p]);
    }
  }

 private:
  static constexpr int most_tiles = 64;

  static std::ptrdiff_t edge_rows(const Correlation<T>& c, std::ptrdiff_t rows, std::ptrdiff_t taps) {
    const std::ptrdiff_t span = (rows - 1) * c.row_step + (taps - 1) * c.tap_step + 1;
    return span < rows * taps ? span : rows * taps;
  }
  static std::ptrdiff_t edge_room(const Correlation<T>& c) {
    const std::ptrdiff_t one = edge_rows(c, most_rows, c.most_taps) * c.in_channels;
    return one > 1 << 16 ? one : 1 << 16;
  }
  static void divide(Pieces& pieces, const Correlation<T>& c, Correlator* self) {
    T* const edges = pieces.take<T>(edge_room(c) + L);
    TileRows<T>* const tiles = pieces.take<TileRows<T>>(most_tiles);
    Run* const runs = pieces.take<Run>(c.most_taps + 1);
    if (self != nullptr) self->edges_ = edges, self->tiles_ = tiles, self->runs_ = runs;
  }
  static std::size_t bytes(const Correlation<T>& c) {
    Pieces pieces(nullptr);
    divide(pieces, c, nullptr);
    return pieces.used();
  }

  void segment(const Pass<T>& pass, const Segment& s) {
    const std::ptrdiff_t length = c_.in_offsets[s.sequence + 1] - c_.in_offsets[s.sequence];
    const std::ptrdiff_t end = ceil_div(s.end - pass.first, c_.out_step);
    for (std::ptrdiff_t i = ceil_div(s.begin - pass.first, c_.out_step); i < end;) {
      const int rows = next_rows(end - i, c_.panels.vectors);
      tile(pass, s, length, i, rows);
      i += rows;
    }
  }

  T* out_row(std::int64_t sequence, std::ptrdiff_t row) const {
    const std::ptrdiff_t length = c_.out_offsets[sequence + 1] - c_.out_offsets[sequence];
    if (row >= 0 && row < length) return c_.out + (c_.out_offsets[sequence] + row) * c_.out_channels;
    const std::ptrdiff_t beyond = row < 0 ? c_.before + row : c_.before + row - length;
    return c_.outside + (sequence * (c_.before + c_.after) + beyond) * c_.out_channels;
  }

  void tile(const Pass<T>& pass, const Segment& s, std::ptrdiff_t length, std::ptrdiff_t i, int rows) {
    const std::ptrdiff_t head = pass.origin + i * c_.row_step, tail = head + (rows - 1) * c_.row_step;
    std::ptrdiff_t tap = 0, end = pass.taps;
    if (!c_.replicate) {
      if (tail < 0) tap = ceil_div(-tail, c_.tap_step);
      const std::ptrdiff_t reached = floor_div(length - 1 - head, c_.tap_step) + 1;
      if (reached < end) end = reached;
      if (length == 0 || end < tap) end = tap;
    }
    const std::ptrdiff_t taps = end - tap, C = c_.in_channels;
    const std::ptrdiff_t low = head + tap * c_.tap_step, high = tail + (end - 1) * c_.tap_step;
    const bool inside = taps == 0 || (low >= 0 && high < length);
    const bool spans = inside || (high - low + 1) <= rows * taps;
    const std::ptrdiff_t needs = inside ? 0 : (spans ? high - low + 1 : rows * taps) * C;
    if (tile_count_ == most_tiles || edges_used_ + needs > edge_room_) flush(pass);
    TileRows<T>& t = tiles_[tile_count_++];
    t.out = out_row(s.sequence, pass.first + i * c_.out_step);
    t.ld_out = c_.out_step * c_.out_channels;
    t.rows = rows;
    t.tap = tap;
    t.taps = taps;
    t.lda = spans ? c_.row_step * C : C;
    t.tap_distance = spans ? c_.tap_step * C : rows * C;
    t.merged = spans && c_.tap_step == 1 && c_.depth == C && !c_.depthwise;
    const T* const in = c_.in + c_.in_offsets[s.sequence] * C;
    if (inside) {
      t.a = taps == 0 ? in : in + low * C;
      return;
    }
    T* to = edges_ + edges_used_;
    t.a = to;
    edges_used_ += needs;
    if (spans) {
      for (std::ptrdiff_t p = low; p <= high; ++p, to += C) copy_row(in, p, length, to);
    } else {
      for (std::ptrdiff_t j = tap; j < end; ++j) {
        for (int r = 0; r < rows; ++r, to += C) {
          copy_row(in, head + r * c_.row_step + j * c_.tap_step, length, to);
        }
      }
    }
  }

  void copy_row(const T* in, std::ptrdiff_t p, std::ptrdiff_t length, T* to) const {
    if (c_.replicate) p = p < 0 ? 0 : p < length ? p : length - 1;
    const std::size_t bytes = sizeof(T) * static_cast<std::size_t>(c_.in_channels);
    if (p < 0 || p >= length) {
      std::memset(to, 0, bytes);
    } else {
      std::memcpy(to, in + p * c_.in_channels, bytes);
    }
  }

  void flush(const Pass<T>& pass) {
    for (std::ptrdiff_t g = 0; g < c_.groups; ++g) {
      for (std::ptrdiff_t q = 0; q < c_.panels.count(); ++q) {
        for (int i = 0; i < tile_count_; ++i) {
          if (c_.depthwise) {
            each_channel(pass, q, tiles_[i]);
          } else {
            panel(pass, g, q, tiles_[i]);
          }
        }
      }
    }
    tile_count_ = 0;
    edges_used_ = 0;
  }

  void panel(const Pass<T>& pass, std::ptrdiff_t g, std::ptrdiff_t q, const TileRows<T>& t) {
    const std::ptrdiff_t n = c_.panels.first(q), padded = c_.panels.padded();
    const int vectors = c_.panels.vectors_of(q);
    T* rows[most_rows];
    for (int m = 0; m < t.rows; ++m) rows[m] = t.out + m * t.ld_out;
    Tile<T> tile{};
    tile.a = t.a + g * c_.depth;
    tile.lda = t.lda;
    tile.ldp = vectors * L;
    tile.panel = pass.packed + (g * padded + n) * pass.taps * c_.depth + t.tap * c_.depth * tile.ldp;
    tile.out = rows;
    tile.offset = g * c_.panels.columns + n;
    tile.columns = c_.panels.columns_of(q);
    tile.start = c_.start + g * padded + n;
    std::ptrdiff_t count = 1;
    if (t.merged || t.taps == 0) {
      runs_[0] = {0, 0, t.taps * c_.depth};
    } else {
      count = t.taps;
      for (std::ptrdiff_t j = 0; j < count; ++j) {
        runs_[j] = {j * t.tap_distance, j * c_.depth * tile.ldp, c_.depth};
      }
    }
    multiply_runs<T, Factors::rows>(t.rows, vectors, tile, runs_, count, c_.relu);
  }

  // ---------------------------------------------------------------------------------------- depthwise

  template <int MR>
  void channels_of(const Pass<T>& pass, std::ptrdiff_t n, int count, const TileRows<T>& t) const {
    const T* w = pass.packed + t.tap * c_.panels.padded() + n;
    const T* a = t.a + n;
    Vec<T> acc[MR];
#pragma GCC unroll 12
    for (int m = 0; m < MR; ++m) acc[m] = load(c_.start + n);
    for (std::ptrdiff_t j = 0; j < t.taps; ++j, w += c_.panels.padded(), a += t.tap_distance) {
      const Vec<T> weight = load(w);
#pragma GCC unroll 12
      for (int m = 0; m < MR; ++m) {
        const T* from = a + m * t.lda;
        acc[m] = fma<T>(count == L ? load(from) : load_part(from, count), weight, acc[m]);
      }
    }
#pragma GCC unroll 12
    for (int m = 0; m < MR; ++m) {
      const Vec<T> sum = c_.relu ? at_least<T>(acc[m], T(0)) : acc[m];
      T* const to = t.out + m * t.ld_out + n;
      if (count == L) {
        store(to, sum);
      } else {
        store_part(to, sum, count);
      }
    }
  }

  template <int MR>
  void choose(int rows, const Pass<T>& pass, std::ptrdiff_t n, int count, const TileRows<T>& t) const {
    if constexpr (MR > 1) {
      if (rows < MR) return choose<MR - 1>(rows, pass, n, count, t);
    }
    channels_of<MR>(pass, n, count, t);
  }

  void each_channel(const Pass<T>& pass, std::ptrdiff_t q, const TileRows<T>& t) const {
    choose<most_rows>(t.rows, pass, c_.panels.first(q), c_.panels.columns_of(q), t);
  }

  const Correlation<T>& c_;
  std::ptrdiff_t edge_room_;
  Scratch scratch_;
  T* edges_ = nullptr;
  TileRows<T>* tiles_ = nullptr;
  Run* runs_ = nullptr;
  std::ptrdiff_t edges_used_ = 0;
  int tile_count_ = 0;
};

// Panels of 2 vectors: tiles of 12 rows then read least of a panel that does not fit into the first cache.
template <class T>
Panels<T> channel_panels(std::ptrdiff_t columns, bool depthwise) {
  return {columns, depthwise || columns <= lanes<T> ? 1 : 2};
}

}  // namespace throughtime::TT_ISA
