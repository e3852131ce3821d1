// The extensions that this processor has and that its operating system saves; all are false on other processors. The
// compilers' __builtin_cpu_supports needs a library that clang-cl does not link.
#pragma once

namespace throughtime {

struct Processor {
  bool avx2 = false;         // AVX2 and FMA
  bool avx512 = false;       // AVX-512 F, VL, DQ and BW
  bool avx2_vnni = false;    // products of bytes, AVX-VNNI
  bool avx512_vnni = false;  // products of bytes, AVX-512 VNNI
  bool amx = false;          // tile registers with products of bfloat16
  bool neon_dot = false;     // products of bytes, FEAT_DotProd
};

const Processor& processor();

}  // namespace throughtime
