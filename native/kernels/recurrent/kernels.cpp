// The kernels for one instruction set. The build compiles this file once for each of them, with TT_ISA
// naming the namespace and TT_ISA_NAME the name.
#include "kernels/recurrent/kernels.h"

#include "kernels/recurrent/backward/loop.h"
#include "kernels/recurrent/cells/gru.h"
#include "kernels/recurrent/cells/gru_before.h"
#include "kernels/recurrent/cells/lstm.h"
#include "kernels/recurrent/cells/rnn.h"
#include "kernels/recurrent/forward/loop.h"

namespace throughtime::TT_ISA {
namespace {

template <class T>
void forward(const ForwardCall& call, const Sequences& sequences) {
  switch (call.shape.cell) {
    case Cell::lstm: return forward_of<T, Lstm>(call, sequences);
    case Cell::gru: return forward_of<T, Gru<false>>(call, sequences);
    case Cell::rnn_tanh: return forward_of<T, Rnn<RnnKind::tanh>>(call, sequences);
    case Cell::rnn_relu: return forward_of<T, Rnn<RnnKind::relu>>(call, sequences);
    case Cell::lstm_general: return forward_of<T, GeneralLstm<false>>(call, sequences);
    case Cell::lstm_coupled: return forward_of<T, GeneralLstm<true>>(call, sequences);
    case Cell::gru_general: return forward_of<T, Gru<true>>(call, sequences);
    case Cell::gru_before: return forward_of<T, GruBefore>(call, sequences);
    case Cell::rnn_general: return forward_of<T, Rnn<RnnKind::general>>(call, sequences);
  }
}

template <class T>
void backward(const BackwardCall& call, const Sequences& sequences) {
  switch (call.shape.cell) {
    case Cell::lstm: return backward_of<T, Lstm>(call, sequences);
    case Cell::gru: return backward_of<T, Gru<false>>(call, sequences);
    case Cell::rnn_tanh: return backward_of<T, Rnn<RnnKind::tanh>>(call, sequences);
    case Cell::rnn_relu: return backward_of<T, Rnn<RnnKind::relu>>(call, sequences);
    case Cell::lstm_general: return backward_of<T, GeneralLstm<false>>(call, sequences);
    case Cell::lstm_coupled: return backward_of<T, GeneralLstm<true>>(call, sequences);
    case Cell::gru_general: return backward_of<T, Gru<true>>(call, sequences);
    case Cell::gru_before: return backward_of<T, GruBefore>(call, sequences);
    case Cell::rnn_general: return backward_of<T, Rnn<RnnKind::general>>(call, sequences);
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
