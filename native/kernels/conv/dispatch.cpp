#include <algorithm>
#include <cstring>

#include "kernels/chosen.h"
#include "kernels/conv/kernels.h"
#include "kernels/parallel.h"

namespace throughtime {

THROUGHTIME_DECLARE_TABLES(ConvKernels, conv_table)

namespace {

// Rows of a segment: whole tiles of 12, 8, 6, 4 or 3 rows. It is the same for every batch and any number of
// threads, so that a sequence always falls into the same tiles.
constexpr std::int64_t rows_of_a_segment = 48;
// Rows of a block: their part of x stays in the second cache.
constexpr std::int64_t rows_of_a_block = 240;
// Of a block of the weight gradient: what a tile reads of it stays in the first cache.
constexpr std::int64_t rows_of_a_sum = 144;

THROUGHTIME_CHOSEN_TABLE(ConvKernels, conv_table)

int useful_threads(int threads, const ConvShape& shape, const ConvBatch& batch) {
  const double operations = 2.0 * static_cast<double>(batch.out_offsets[batch.sequences] * shape.width) *
                            static_cast<double>(shape.channels / shape.groups * shape.outputs);
  return worthwhile_threads(operations, threads);
}

// A long sequence alone still makes work for every thread.
std::int64_t block_rows(const std::int64_t* offsets, std::int64_t sequences, int threads) {
  const std::int64_t share = offsets[sequences] / (4 * std::max(threads, 1));
  return std::clamp(share, rows_of_a_segment, rows_of_a_block);
}

// Positions that windows reach beyond the last token, at most.
std::int64_t reach_after(const ConvShape& shape, const ConvBatch& batch) {
  std::int64_t most = 0;
  for (std::int64_t b = 0; b < batch.sequences; ++b) {
    const std::int64_t length = batch.offsets[b + 1] - batch.offsets[b];
    const std::int64_t windows = batch.out_offsets[b + 1] - batch.out_offsets[b];
    if (windows == 0) continue;
    const std::int64_t last = (windows - 1) * shape.stride + (shape.width - 1) * shape.dilation - shape.left;
    most = std::max(most, last - (length - 1));
  }
  return most;
}

}  // namespace

void conv_forward(const ConvForward& call) {
  ConvForward mine = call;
  mine.threads = useful_threads(call.threads, call.shape, call.batch);
  const std::int64_t* const rows = call.batch.out_offsets;
  const RowBlocks blocks(call.batch.sequences, rows, rows_of_a_segment,
                         block_rows(rows, call.batch.sequences, mine.threads));
  chosen().forward(mine, blocks.view());
}

void conv_input_gradient(const ConvInputGradient& call) {
  ConvInputGradient mine = call;
  mine.threads = useful_threads(call.threads, call.shape, call.batch);
  std::int64_t before = 0, after = 0;
  if (call.shape.replicate) {
    before = std::max<std::int64_t>(call.shape.left, 0);
    after = reach_after(call.shape, call.batch);
  }
  const std::int64_t* const rows = call.batch.offsets;
  const RowBlocks blocks(call.batch.sequences, rows, rows_of_a_segment,
                         block_rows(rows, call.batch.sequences, mine.threads), before, after);
  chosen().input_gradient(mine, blocks.view(), before, after);
}

void conv_weight_gradient(const ConvWeightGradient& call) {
  const ConvShape& shape = call.shape;
  ConvWeightGradient mine = call;
  mine.threads = useful_threads(call.threads, shape, call.batch);
  const RowBlocks blocks(call.batch.sequences, call.batch.out_offsets, rows_of_a_sum, rows_of_a_sum);
  if (blocks.view().count == 0) {
    const std::size_t size = shape.is_double ? 8 : 4;
    std::memset(call.dw, 0, size * static_cast<std::size_t>(shape.outputs * (shape.channels / shape.groups) * shape.width));
    if (call.db != nullptr) std::memset(call.db, 0, size * static_cast<std::size_t>(shape.outputs));
    return;
  }
  chosen().weight_gradient(mine, blocks.view());
}

}  // namespace throughtime
