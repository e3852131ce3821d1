#include "kernels/processor.h"

#if defined(THROUGHTIME_X86)
#include <cpuid.h>
#elif defined(THROUGHTIME_NEON) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace throughtime {
namespace {

#if defined(THROUGHTIME_X86)
struct Registers {
  unsigned a = 0, b = 0, c = 0, d = 0;
};

// Zeros for a leaf that the processor does not have.
Registers cpuid(unsigned leaf, unsigned subleaf) {
  Registers r;
  __get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d);
  return r;
}

template <class... Bits>
bool all(unsigned word, Bits... bits) {
  return (((word >> bits) & 1u) && ...);
}

// The registers that the operating system saves when it changes threads.
unsigned saved_registers() {
  unsigned low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

// Bits as in Intel's Software Developer's Manual, volume 2A, CPUID, and volume 1, section 13.1.
Processor detect() {
  Processor found;
  const Registers basic = cpuid(1, 0), extended = cpuid(7, 0);
  if (!all(basic.c, 27)) return found;  // no xgetbv
  const unsigned saved = saved_registers();
  found.avx2 = all(saved, 1, 2) && all(basic.c, 12, 28) && all(extended.b, 5);
  found.avx512 = found.avx2 && all(saved, 5, 6, 7) && all(extended.b, 16, 17, 30, 31);
  found.avx2_vnni = found.avx2 && all(cpuid(7, 1).a, 4);
  found.avx512_vnni = found.avx512 && all(extended.c, 11);
  found.amx = all(saved, 17, 18) && all(extended.d, 22, 24);
  return found;
}
#elif defined(THROUGHTIME_NEON) && defined(__linux__)
Processor detect() {
  Processor found;
  found.neon_dot = (getauxval(AT_HWCAP) & (1ul << 20)) != 0;  // HWCAP_ASIMDDP
  return found;
}
#else
Processor detect() {
  Processor found;
#if defined(__APPLE__) && defined(__aarch64__)
  found.neon_dot = true;  // every processor that macOS runs on
#endif
  return found;
}
#endif

}  // namespace

const Processor& processor() {
  static const Processor found = detect();
  return found;
}

}  // namespace throughtime
