// The instruction sets that kernels are compiled for in this build: F(name, Table, function) for each, the best
// one first. Each compilation puts its tables, which `const Table& function()` returns, into a namespace of that
// name.
#pragma once

#if defined(THROUGHTIME_X86)
#define THROUGHTIME_EACH_SET(F, Table, function) \
  F(avx512, Table, function) F(avx2, Table, function) F(baseline, Table, function)
#elif defined(THROUGHTIME_NEON)
#define THROUGHTIME_EACH_SET(F, Table, function) F(neon, Table, function)
#else
#define THROUGHTIME_EACH_SET(F, Table, function) F(baseline, Table, function)
#endif
