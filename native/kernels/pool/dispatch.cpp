#include <algorithm>

#include "kernels/chosen.h"
#include "kernels/parallel.h"
#include "kernels/pool/kernels.h"

namespace throughtime {

THROUGHTIME_DECLARE_TABLES(PoolKernels, pool_table)

namespace {

THROUGHTIME_CHOSEN_TABLE(PoolKernels, pool_table)

// Of one value that is read: loading, comparing, and choosing twice.
constexpr double operations_of_a_value = 4;

struct Reading {
  std::int64_t rows;  // by all windows together
  std::int64_t most;  // by one window
};

Reading reading_of(const PoolShape& shape, const PoolBatch& batch) {
  Reading reading{0, 0};
  for (std::int64_t b = 0; b < batch.sequences; ++b) {
    const std::int64_t windows = batch.out_offsets[b + 1] - batch.out_offsets[b];
    const std::int64_t taps = std::min(shape.size, batch.offsets[b + 1] - batch.offsets[b]);
    reading.rows += windows * taps;
    if (windows > 0) reading.most = std::max(reading.most, taps);
  }
  return reading;
}

int useful_threads(int threads, std::int64_t rows, std::int64_t features) {
  return worthwhile_threads(operations_of_a_value * static_cast<double>(rows) * static_cast<double>(features), threads);
}

// Whether one sequence is so much of the work that threads must share it.
bool by_features(const Reading& reading, int threads) { return reading.most * threads * 2 > reading.rows; }

std::int64_t windows_of(const PoolWindows& call, std::int64_t length) {
  const PoolShape& shape = call.shape;
  const std::int64_t room = length + shape.left + call.right - (shape.size - 1) * shape.dilation - 1;
  if (length == 0) return 0;
  if (!call.ceil_mode) return room < 0 ? 0 : room / shape.stride + 1;
  const std::int64_t count = room < 0 ? 1 - -room / shape.stride : (room + shape.stride - 1) / shape.stride + 1;
  return std::max<std::int64_t>((count - 1) * shape.stride >= length + shape.left ? count - 1 : count, 0);
}

}  // namespace

std::int64_t pool_windows(const PoolWindows& call) {
  call.out_offsets[0] = 0;
  for (std::int64_t b = 0; b < call.sequences; ++b) {
    call.out_offsets[b + 1] = call.out_offsets[b] + windows_of(call, call.offsets[b + 1] - call.offsets[b]);
  }
  return call.out_offsets[call.sequences];
}

void pool_max(const PoolMax& call) {
  const Reading reading = reading_of(call.shape, call.batch);
  PoolMax mine = call;
  mine.threads = useful_threads(call.threads, reading.rows, call.shape.features);
  chosen().max(mine, by_features(reading, mine.threads));
}

void pool_sum(const PoolSum& call) {
  const Reading reading = reading_of(call.shape, call.batch);
  PoolSum mine = call;
  mine.threads = useful_threads(call.threads, reading.rows, call.shape.features);
  chosen().sum(mine, by_features(reading, mine.threads));
}

void pool_max_gradient(const PoolMaxGradient& call) {
  const std::int64_t rows = call.batch.offsets[call.batch.sequences];
  PoolMaxGradient mine = call;
  mine.threads = useful_threads(call.threads, rows, call.shape.features);
  chosen().max_gradient(mine);
}

void pool_sum_gradient(const PoolSumGradient& call) {
  const std::int64_t rows = call.batch.offsets[call.batch.sequences];
  PoolSumGradient mine = call;
  mine.threads = useful_threads(call.threads, rows, call.shape.features);
  chosen().sum_gradient(mine);
}

}  // namespace throughtime
