#include "kernels/parallel.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>
#include <vector>

#if !defined(_WIN32)
#include <dlfcn.h>
#include <pthread.h>
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace throughtime {
namespace {

// A thread more pays for itself from about this many operations on.
constexpr double operations_of_a_thread = 4e5;

std::atomic<bool> forked{false};

struct OpenMp {
  void (*parallel)(void (*)(void*), void*, unsigned, unsigned) = nullptr;
  int (*rank)() = nullptr;
  int (*size)() = nullptr;

  OpenMp() {
#if !defined(_WIN32)
    pthread_atfork(nullptr, nullptr, [] { forked.store(true, std::memory_order_relaxed); });
    const char* wish = std::getenv("THROUGHTIME_THREADS");
    if (wish != nullptr && std::strcmp(wish, "std") == 0) return;
    rank = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "omp_get_thread_num"));
    size = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "omp_get_num_threads"));
    if (rank == nullptr || size == nullptr) return;
    parallel = reinterpret_cast<void (*)(void (*)(void*), void*, unsigned, unsigned)>(
        dlsym(RTLD_DEFAULT, "GOMP_parallel"));
#endif
  }
};

const OpenMp& openmp() {
  static const OpenMp found;
  return found;
}

struct Job {
  void (*body)(void*, int, int);
  void* context;
};

void pause() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#endif
}

// A step takes microseconds, so the others are looked for at once; but where more threads run than there are cores,
// they need ours.
template <class Condition>
void wait_until(const Condition& met) {
  for (int looks = 0; !met(); ++looks) {
    if (looks < 4000) {
      pause();
    } else {
      std::this_thread::yield();
    }
  }
}

}  // namespace

int worthwhile_threads(double operations, int threads) {
  const double useful = operations / operations_of_a_thread;
  return static_cast<int>(std::clamp(useful, 1.0, std::clamp(static_cast<double>(threads), 1.0, 128.0)));
}

void parallel(int threads, void (*body)(void*, int, int), void* context) {
  const OpenMp& omp = openmp();
  if (threads <= 1 || forked.load(std::memory_order_relaxed)) {
    body(context, 0, 1);
  } else if (omp.parallel != nullptr) {
    Job job{body, context};
    omp.parallel(
        [](void* given) {
          const Job* mine = static_cast<const Job*>(given);
          mine->body(mine->context, openmp().rank(), openmp().size());
        },
        &job, static_cast<unsigned>(threads), 0);
  } else {
    std::vector<std::thread> others;
    others.reserve(static_cast<std::size_t>(threads - 1));
    for (int rank = 1; rank < threads; ++rank) others.emplace_back(body, context, rank, threads);
    body(context, 0, threads);
    for (std::thread& other : others) other.join();
  }
}

void Barrier::wait(int rank, int size) {
  if (size <= 1) return;
  if (size <= few) {
    std::atomic<std::uint32_t>& own = of_thread_[rank].meetings;
    const std::uint32_t meeting = own.load(std::memory_order_relaxed) + 1;
    own.store(meeting, std::memory_order_release);
    for (int other = 0; other < size; ++other) {
      // Whoever was here may be at the next meeting already.
      wait_until([&] {
        const std::uint32_t seen = of_thread_[other].meetings.load(std::memory_order_acquire);
        return static_cast<std::int32_t>(seen - meeting) >= 0;
      });
    }
    return;
  }
  const std::uint32_t meeting = meeting_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) == size - 1) {
    arrived_.store(0, std::memory_order_relaxed);
    meeting_.store(meeting + 1, std::memory_order_release);
    return;
  }
  wait_until([&] { return meeting_.load(std::memory_order_acquire) != meeting; });
}

Barriers::Barriers(int count) : scratch_(sizeof(Barrier) * static_cast<std::size_t>(count)) {
  for (int i = 0; i < count; ++i) new (first() + i) Barrier;
}

const char* parallel_backend() { return openmp().parallel != nullptr ? "openmp" : "std::thread"; }

}  // namespace throughtime
