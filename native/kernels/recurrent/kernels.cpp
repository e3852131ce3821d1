// The kernels for one instruction set. The build compiles this file once for each of them, with TT_ISA
// naming the namespace and TT_ISA_NAME the name.
#include "kernels/recurrent/kernels.h"

#include "kernels/recurrent/backward/loop.h"
#include "kernels/recurrent/cells/gru.h"
#include "kernels/recurrent/cells/gru_before.h"
#include "kernels/recurrent/cells/layer_norm_lstm.h"
#include "kernels/recurrent/cells/lstm.h"
#include "kernels/recurrent/cells/mgu.h"
#include "kernels/recurrent/cells/rnn.h"
#include "kernels/recurrent/forward/loop.h"

namespace throughtime::TT_ISA {
namespace {

#define THROUGHTIME_CHECK(name, type, gates_, saved_, has_c, least_own, most_own) \
  static_assert(type::gates == gates_ && type::saved == saved_ && type::own_rows == most_own && saved_ <= most_saved);
THROUGHTIME_CELLS(THROUGHTIME_CHECK)
#undef THROUGHTIME_CHECK

template <class T>
void forward(const ForwardCall& call, const Sequences& sequences) {
  switch (call.shape.cell) {
#define THROUGHTIME_FORWARD(name, type, ...) \
  case Cell::name: return forward_of<T, type>(call, sequences);
    THROUGHTIME_CELLS(THROUGHTIME_FORWARD)
#undef THROUGHTIME_FORWARD
  }
}

template <class T>
void backward(const BackwardCall& call, const Sequences& sequences) {
  switch (call.shape.cell) {
#define THROUGHTIME_BACKWARD(name, type, ...) \
  case Cell::name: return backward_of<T, type>(call, sequences);
    THROUGHTIME_CELLS(THROUGHTIME_BACKWARD)
#undef THROUGHTIME_BACKWARD
  }
}

double multiply_adds(std::int64_t rounds) {
  constexpr int count = many_registers ? 24 : 12;
  Vec<float> sums[count];
  for (int i = 0; i < count; ++i) sums[i] = broadcast(static_cast<float>(i));
  Vec<float> factor = broadcast(0.999f), addend = broadcast(0.001f);
  for (std::int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 24
    for (int i = 0; i < count; ++i) sums[i] = fma<float>(sums[i], factor, addend);
  }
  Vec<float> total{};
  for (int i = 0; i < count; ++i) total += sums[i];
  // The sum is used, so that the loop is not left out; it never is that large.
  const double used = total[0] > 1e30f ? 1.0 : 0.0;
  return 2.0 * count * lanes<float> * static_cast<double>(rounds) + used;
}

}  // namespace

const Kernels& table() {
  static const Kernels kernels{
      TT_ISA_NAME,
      [](const ForwardCall& call, const Sequences& sequences) {
        call.shape.is_double ? forward<double>(call, sequences) : forward<float>(call, sequences);
      },
      [](const BackwardCall& call, const Sequences& sequences) {
        call.shape.is_double ? backward<double>(call, sequences) : backward<float>(call, sequences);
      },
      &multiply_adds};
  return kernels;
}

}  // namespace throughtime::TT_ISA
