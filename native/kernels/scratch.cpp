#include "kernels/scratch.h"

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace throughtime {
namespace {

constexpr std::size_t huge_page = std::size_t{2} << 20;
constexpr std::size_t pool_bytes = std::size_t{64} << 20;  // kept at most

struct Block {
  void* data;
  std::size_t bytes;
};

struct Pool {
  std::mutex mutex;
  std::vector<Block> blocks;
  std::size_t bytes = 0;
};

// Never destroyed: a thread may still return a block while the process ends.
Pool& pool() {
  static Pool* const the_pool = new Pool;
  return *the_pool;
}

void* allocate(std::size_t bytes) {
  const std::size_t alignment = bytes >= huge_page ? huge_page : 64;
  void* data = std::aligned_alloc(alignment, bytes);
  if (data == nullptr) throw std::bad_alloc();
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (bytes >= huge_page) madvise(data, bytes, MADV_HUGEPAGE);
#endif
  return data;
}

std::size_t rounded(std::size_t bytes) {
  const std::size_t unit = bytes >= huge_page ? huge_page : 4096;
  return (bytes + unit - 1) / unit * unit;
}

bool poisons() {
  static const bool wanted = std::getenv("THROUGHTIME_POISON") != nullptr;
  return wanted;
}

}  // namespace

Scratch::Scratch(std::size_t bytes) : data_(nullptr), bytes_(rounded(bytes == 0 ? 1 : bytes)) {
  {
    Pool& shared = pool();
    const std::lock_guard<std::mutex> lock(shared.mutex);
    std::size_t best = shared.blocks.size();
    for (std::size_t i = 0; i < shared.blocks.size(); ++i) {
      const std::size_t has = shared.blocks[i].bytes;
      if (has < bytes_ || has > 2 * bytes_ + (std::size_t{1} << 16)) continue;
      if (best == shared.blocks.size() || has < shared.blocks[best].bytes) best = i;
    }
    if (best < shared.blocks.size()) {
      data_ = shared.blocks[best].data;
      bytes_ = shared.blocks[best].bytes;
      shared.bytes -= bytes_;
      shared.blocks[best] = shared.blocks.back();
      shared.blocks.pop_back();
    }
  }
  if (data_ == nullptr) data_ = allocate(bytes_);
  if (poisons()) std::memset(data_, 0xff, bytes_);
}

Scratch::~Scratch() {
  std::vector<Block> released;
  {
    Pool& shared = pool();
    const std::lock_guard<std::mutex> lock(shared.mutex);
    shared.blocks.push_back({data_, bytes_});
    shared.bytes += bytes_;
    // The oldest go first.
    while (shared.bytes > pool_bytes) {
      released.push_back(shared.blocks.front());
      shared.bytes -= shared.blocks.front().bytes;
      shared.blocks.erase(shared.blocks.begin());
    }
  }
  for (const Block& block : released) std::free(block.data);
}

}  // namespace throughtime
