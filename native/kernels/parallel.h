// Threads for the kernels: torch's own OpenMP pool where the process has one, else std::thread.
//
// A second pool of threads would compete with torch's. So OpenMP is neither compiled in nor linked: its entry
// points are looked up in the process, where torch has loaded them. Without them, and with THROUGHTIME_THREADS=std
// (sanitizers), plain threads start for each call, which costs some ten microseconds each.
#pragma once

#include <atomic>
#include <cstdint>

#include "kernels/scratch.h"

namespace throughtime {

// Calls body(context, rank, size) on `size` threads, 1 <= size <= threads, rank 0 … size − 1, and waits for
// all of them. Inside another parallel region, and in a forked child (whose pool is gone), size is 1.
void parallel(int threads, void (*body)(void* context, int rank, int size), void* context);

// The same for run(rank, size) of any function object.
template <class Run>
void parallel(int threads, Run& run) {
  parallel(threads, [](void* context, int rank, int size) { (*static_cast<Run*>(context))(rank, size); }, &run);
}

// How many of these threads are worth their start for so many operations, at least one.
int worthwhile_threads(double operations, int threads);

// Where the threads of `parallel` meet. One object serves any number of meetings of the same threads.
class alignas(64) Barrier {
 public:
  // Returns once threads 0 … size − 1 have called it.
  void wait(int rank, int size);

 private:
  // Few threads each have a line of their own to write, and look at those of the others: one way between two cores,
  // where a common counter would take three.
  static constexpr int few = 8;
  struct alignas(64) Count {
    std::atomic<std::uint32_t> meetings{0};
  };
  Count of_thread_[few];
  std::atomic<int> arrived_{0};
  std::atomic<std::uint32_t> meeting_{0};
};

// So many of them.
class Barriers {
 public:
  explicit Barriers(int count);
  Barrier* first() const { return static_cast<Barrier*>(scratch_.data()); }

 private:
  Scratch scratch_;
};

// "openmp" or "std::thread".
const char* parallel_backend();

}  // namespace throughtime
