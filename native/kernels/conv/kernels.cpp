// The convolution's kernels for one instruction set; compiled once for each, like kernels/recurrent/kernels.cpp.
#include "kernels/conv/kernels.h"

#include "kernels/conv/few.h"
#include "kernels/conv/passes.h"
#include "kernels/conv/rows.h"
#include "kernels/conv/weight_gradient.h"

namespace throughtime::TT_ISA {
namespace {

template <class T>
void forward(const ConvForward& call, const Blocks& blocks) {
  if (is_product_of_few(call.shape, call.batch)) return few_rows_forward<T>(call);
  forward_of<T>(call, blocks);
}

template <class T>
void input_gradient(const ConvInputGradient& call, const Blocks& blocks, std::int64_t before, std::int64_t after) {
  if (is_product_of_few(call.shape, call.batch)) return few_rows_input_gradient<T>(call);
  if (!few_input_gradient<T>(call)) input_gradient_of<T>(call, blocks, before, after);
}

template <class T>
void weight_gradient(const ConvWeightGradient& call, const Blocks& blocks) {
  if (is_product_of_few(call.shape, call.batch)) return few_rows_weight_gradient<T>(call);
  if (!few_weight_gradient<T>(call)) weight_gradient_of<T>(call, blocks);
}

}  // namespace

const ConvKernels& conv_table() {
  static const ConvKernels kernels{
      [](const ConvForward& call, const Blocks& blocks) {
        call.shape.is_double ? forward<double>(call, blocks) : forward<float>(call, blocks);
      },
      [](const ConvInputGradient& call, const Blocks& blocks, std::int64_t before, std::int64_t after) {
        call.shape.is_double ? input_gradient<double>(call, blocks, before, after)
                             : input_gradient<float>(call, blocks, before, after);
      },
      [](const ConvWeightGradient& call, const Blocks& blocks) {
        call.shape.is_double ? weight_gradient<double>(call, blocks) : weight_gradient<float>(call, blocks);
      }};
  return kernels;
}

}  // namespace throughtime::TT_ISA
