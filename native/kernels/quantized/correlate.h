// Linear layers and convolutions in time with int8 weights: each token is rounded once, then every output row sums its
// taps, each with the scale of its own token.
#pragma once

#include "kernels/parallel.h"
#include "kernels/quantized/rows.h"
#include "kernels/quantized/tile.h"

namespace throughtime::TT_ISA {

struct Correlate {
  const QuantizedCorrelate& call;
  IntRows rows;  // T tokens, then one of zeros
  std::int64_t tokens, out_rows;
  std::ptrdiff_t groups;  // of one tap
  Barrier* barrier;

  // The output rows of one tile: where each has its first tap, and the tokens of its sequence.
  struct Places {
    std::int64_t first[most_tile_rows], begin[most_tile_rows], end[most_tile_rows];
  };

  void round(int rank, int size) const {
    const Range own = part_of(tokens, rank, size);
    for (std::int64_t t = own.begin; t < own.end; ++t) round_row(call.x + t * call.channels, call.channels, rows.from(t));
    if (rank != 0) return;
    const IntRows zeros = rows.from(tokens);
    std::memset(zeros.values, 0, static_cast<std::size_t>(rows.ld));
    *zeros.scale = 0;
    *zeros.sum = 0;
  }

  Places places_of(std::int64_t row, int count, std::int64_t& sequence) const {
    Places places{};
    for (int m = 0; m < count; ++m, ++row) {
      while (call.out_offsets[sequence + 1] <= row) ++sequence;
      places.begin[m] = call.offsets[sequence];
      places.end[m] = call.offsets[sequence + 1];
      places.first[m] = places.begin[m] + (row - call.out_offsets[sequence]) * call.stride - call.left;
    }
    return places;
  }

  // The row of factors that a tap reads.
  std::int64_t token(const Places& places, int m, std::int64_t tap) const {
    const std::int64_t t = places.first[m] + tap * call.dilation;
    if (t >= places.begin[m] && t < places.end[m]) return t;
    if (!call.replicate) return tokens;
    return t < places.begin[m] ? places.begin[m] : places.end[m] - 1;
  }

  void tile(const Places& places, std::int64_t row, int count, std::int64_t panel, float* sums) const {
    const PackedWeights& weights = call.weights;
    const int width = packed_columns * weights.vectors;
    IntTile tile{};
    tile.groups = groups;
    tile.ldp = width * packed_factors;
    tile.stride = packed_columns;
    for (std::int64_t tap = 0; tap < call.taps; ++tap) {
      for (int m = 0; m < count; ++m) {
        const IntRows source = rows.from(token(places, m, tap));
        tile.row[m] = source.values;
        tile.scale_of_row[m] = *source.scale;
        tile.sum_of_row[m] = *source.sum;
      }
      tile.adds = tap > 0;
      const std::int8_t* const packed = weights.values + (panel * weights.groups + tap * groups) * tile.ldp;
      for (int part = 0; part < parts_of_columns; ++part) {
        const std::ptrdiff_t column = part * lanes<float>;
        tile.panel = packed + column * packed_factors;
        tile.scale = tap + 1 < call.taps ? nullptr : weights.scale + panel * width + column;
        tile.start = call.bias + panel * width + column;
        for (int m = 0; m < count; ++m) tile.out[m] = sums + m * width + column;
        multiply(count, weights.vectors, tile);
      }
    }
    const std::int64_t first = panel * width, left = call.columns - first;
    const std::size_t bytes = sizeof(float) * static_cast<std::size_t>(left < width ? left : width);
    for (int m = 0; m < count; ++m) std::memcpy(call.y + (row + m) * call.columns + first, sums + m * width, bytes);
  }

  void multiply_range(Range panels, Range own) const {
    if (own.begin >= own.end) return;
    alignas(64) float sums[most_tile_rows * packed_columns * most_packed_vectors];
    for (std::int64_t panel = panels.begin; panel < panels.end; ++panel) {
      std::int64_t sequence = range_with(call.out_offsets, call.sequences, own.begin);
      for (std::int64_t row = own.begin; row < own.end;) {
        const int count = next_tile_rows(own.end - row, call.weights.vectors);
        tile(places_of(row, count, sequence), row, count, panel, sums);
        row += count;
      }
    }
  }

  void run(int rank, int size) const {
    round(rank, size);
    if (size > 1) barrier->wait(rank, size);
    const Range all_rows{0, out_rows}, all_panels{0, call.weights.panels};
    // Threads share the rows where there are enough of them, else the columns.
    if (out_rows >= 2 * most_tile_rows * size || call.weights.panels < size) {
      multiply_range(all_panels, part_of(out_rows, rank, size));
    } else {
      multiply_range(part_of(call.weights.panels, rank, size), all_rows);
    }
  }
};

inline void correlate_of(const QuantizedCorrelate& call) {
  Correlate work{call, {}, call.offsets[call.sequences], call.out_offsets[call.sequences], 0, nullptr};
  work.groups = (call.channels + packed_factors - 1) / packed_factors;
  work.rows.ld = int_row_length(call.channels);
  const Barriers barriers(1);
  work.barrier = barriers.first();
  const DividedScratch scratch([&](Pieces& pieces) { work.rows.take(pieces, work.tokens + 1); });
  auto run = [&](int rank, int size) { work.run(rank, size); };
  parallel(call.threads, run);
}

inline void sums_of_rows(const std::int8_t* rows, std::int64_t count, const PackedWeights& weights, std::int32_t* sums) {
  const int width = packed_columns * weights.vectors;
  const std::int64_t features = weights.groups * packed_factors, columns = weights.panels * width;
  IntTile tile{};
  tile.groups = weights.groups;
  tile.ldp = width * packed_factors;
  for (std::int64_t row = 0; row < count; ++row) {
    tile.row[0] = rows + row * features;
    tile.sum_of_row[0] = 0;
    for (std::int64_t i = 0; i < features; ++i) tile.sum_of_row[0] += tile.row[0][i];
    for (std::int64_t panel = 0; panel < weights.panels; ++panel) {
      for (int part = 0; part < parts_of_columns; ++part) {
        const std::ptrdiff_t column = part * lanes<float>;
        tile.panel = weights.values + panel * weights.groups * tile.ldp + column * packed_factors;
        exact_sums(weights.vectors, tile, sums + row * columns + panel * width + column);
      }
    }
  }
}

}  // namespace throughtime::TT_ISA
