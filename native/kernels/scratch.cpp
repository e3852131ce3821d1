#include "kernels/scratch.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <vector>

#if !defined(_WIN32)
#include <pthread.h>
#endif
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace throughtime {
namespace {

constexpr std::size_t cache_line = 64;
constexpr std::size_t huge_page = std::size_t{2} << 20;
// From here on a block takes whole huge pages: weights on scattered small ones do not all fit into a cache of
// their own size, and a layer of 128 units ran at 138 or 184 GFLOP/s, as the pages fell.
constexpr std::size_t huge_from = std::size_t{256} << 10;

struct Block {
  void* data;
  std::size_t bytes;
};

struct Pool {
  std::mutex mutex;
  std::vector<Block> blocks;
  std::size_t bytes = 0;
};

// Never destroyed: a thread may still return a block while the process ends. A fork takes the lock first, so
// that the child does not inherit it from a thread that it does not have.
Pool& pool() {
  static Pool* const the_pool = [] {
    Pool* const made = new Pool;
#if !defined(_WIN32)
    pthread_atfork([] { pool().mutex.lock(); }, [] { pool().mutex.unlock(); }, [] { pool().mutex.unlock(); });
#endif
    return made;
  }();
  return *the_pool;
}

#if defined(__linux__) && defined(MADV_HUGEPAGE)
// Pages of their own: what malloc hands out may lie on small pages that exist already.
void* allocate_huge(std::size_t bytes) {
  void* const mapped =
      mmap(nullptr, bytes + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  const std::uintptr_t begin = reinterpret_cast<std::uintptr_t>(mapped);
  const std::uintptr_t data = (begin + huge_page - 1) / huge_page * huge_page;
  if (data > begin) munmap(mapped, data - begin);
  const std::size_t behind = begin + huge_page - data;
  if (behind > 0) munmap(reinterpret_cast<void*>(data + bytes), behind);
  madvise(reinterpret_cast<void*>(data), bytes, MADV_HUGEPAGE);
  return reinterpret_cast<void*>(data);
}

void free_huge(void* data, std::size_t bytes) { munmap(data, bytes); }
#else
void* allocate_huge(std::size_t bytes) { return ::operator new(bytes, std::align_val_t{huge_page}); }

void free_huge(void* data, std::size_t) { ::operator delete(data, std::align_val_t{huge_page}); }
#endif

void* allocate(std::size_t bytes) {
  return bytes >= huge_from ? allocate_huge(bytes) : ::operator new(bytes, std::align_val_t{cache_line});
}

void give_back(const Block& block) {
  if (block.bytes >= huge_from) {
    free_huge(block.data, block.bytes);
  } else {
    ::operator delete(block.data, std::align_val_t{cache_line});
  }
}

std::size_t rounded(std::size_t bytes) {
  const std::size_t unit = bytes >= huge_from ? huge_page : 4096;
  return (bytes + unit - 1) / unit * unit;
}

bool poisons() {
  static const bool wanted = std::getenv("THROUGHTIME_POISON") != nullptr;
  return wanted;
}

std::size_t pool_bytes() {
  static const std::size_t bytes = [] {
    const char* megabytes = std::getenv("THROUGHTIME_POOL_MB");
    return (megabytes == nullptr ? std::size_t{512} : std::strtoull(megabytes, nullptr, 10)) << 20;
  }();
  return bytes;
}

// The smallest block that serves, if it is not far too large.
void* reuse(std::size_t& bytes) {
  Pool& shared = pool();
  const std::lock_guard<std::mutex> lock(shared.mutex);
  std::vector<Block>& blocks = shared.blocks;
  std::size_t best = blocks.size();
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    if (blocks[i].bytes < bytes || blocks[i].bytes > 2 * bytes + huge_page) continue;
    if (best == blocks.size() || blocks[i].bytes < blocks[best].bytes) best = i;
  }
  if (best == blocks.size()) return nullptr;
  void* const data = blocks[best].data;
  bytes = blocks[best].bytes;
  shared.bytes -= bytes;
  blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(best));
  return data;
}

}  // namespace

void* acquire(std::size_t& bytes) {
  bytes = rounded(bytes == 0 ? 1 : bytes);
  void* data = reuse(bytes);
  if (data == nullptr) data = allocate(bytes);
  if (poisons()) std::memset(data, 0xff, bytes);
  return data;
}

void release(void* data, std::size_t bytes) {
  std::vector<Block> surplus;
  {
    Pool& shared = pool();
    const std::lock_guard<std::mutex> lock(shared.mutex);
    shared.blocks.push_back({data, bytes});
    shared.bytes += bytes;
    while (shared.bytes > pool_bytes()) {  // the oldest go first
      surplus.push_back(shared.blocks.front());
      shared.bytes -= shared.blocks.front().bytes;
      shared.blocks.erase(shared.blocks.begin());
    }
  }
  for (const Block& block : surplus) give_back(block);
}

Scratch::Scratch(std::size_t bytes) : data_(nullptr), bytes_(bytes) { data_ = acquire(bytes_); }

Scratch::~Scratch() { release(data_, bytes_); }

}  // namespace throughtime
