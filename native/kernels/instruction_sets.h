// The instruction sets that kernels are compiled for in this build: F(name) for each, the best one first. Each
// compilation puts its tables into a namespace of that name.
#pragma once

#if defined(THROUGHTIME_X86)
#define THROUGHTIME_EACH_SET(F) F(avx512) F(avx2) F(baseline)
#elif defined(THROUGHTIME_NEON)
#define THROUGHTIME_EACH_SET(F) F(neon)
#else
#define THROUGHTIME_EACH_SET(F) F(baseline)
#endif
