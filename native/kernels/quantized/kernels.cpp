// The kernels with int8 weights for one set of instructions; compiled once for each, see dispatch.cpp.
#include "kernels/quantized/kernels.h"

#include "kernels/quantized/correlate.h"
#include "kernels/quantized/recurrent.h"

namespace throughtime::TT_ISA {

const QuantizedKernels& quantized_table() {
  static const QuantizedKernels kernels{
      &correlate_of,
      [](const QuantizedRecurrent& call, const Sequences& sequences) {
        switch (call.cell) {
          case Cell::lstm: return int_recurrent_of<Lstm>(call, sequences);
          case Cell::gru: return int_recurrent_of<Gru<false>>(call, sequences);
          case Cell::rnn_tanh: return int_recurrent_of<Rnn<RnnKind::tanh>>(call, sequences);
          case Cell::rnn_relu: return int_recurrent_of<Rnn<RnnKind::relu>>(call, sequences);
          default: return;
        }
      },
      &sums_of_rows};
  return kernels;
}

}  // namespace throughtime::TT_ISA
