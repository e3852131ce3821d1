// The lists of all cells of the loop and of their activations. The header of each cell is in cells/.
#pragma once

// Name, type in cells/, G gates, S values kept of each step, whether there is a c, and the rows of H that the cell's own
// parameters have in all, from least to most; see recurrent.h. The first four have one set of activations and no options,
// and are the fastest.
#define THROUGHTIME_CELLS(CELL)                               \
  CELL(lstm, Lstm, 4, 4, true, 0, 0)                          \
  CELL(gru, Gru<false>, 3, 4, false, 0, 0)                    \
  CELL(rnn_tanh, Rnn<RnnKind::tanh>, 1, 0, false, 0, 0)       \
  CELL(rnn_relu, Rnn<RnnKind::relu>, 1, 0, false, 0, 0)       \
  CELL(lstm_general, GeneralLstm<false>, 4, 4, true, 0, 3)    \
  CELL(lstm_coupled, GeneralLstm<true>, 3, 4, true, 0, 2)     \
  CELL(gru_general, Gru<true>, 3, 4, false, 0, 0)             \
  CELL(gru_before, GruBefore, 3, 3, false, 0, 0)              \
  CELL(rnn_general, Rnn<RnnKind::general>, 1, 0, false, 0, 0) \
  CELL(mgu, Mgu, 2, 2, false, 0, 0)                           \
  CELL(layer_norm_lstm, LayerNormLstm, 4, 12, true, 10, 10)

// The activations of the ONNX operators, see choice.h.
#define THROUGHTIME_ACTIVATIONS(ACTIVATION) \
  ACTIVATION(affine)                        \
  ACTIVATION(elu)                           \
  ACTIVATION(hard_sigmoid)                  \
  ACTIVATION(leaky_relu)                    \
  ACTIVATION(relu)                          \
  ACTIVATION(scaled_tanh)                   \
  ACTIVATION(sigmoid)                       \
  ACTIVATION(softplus)                      \
  ACTIVATION(softsign)                      \
  ACTIVATION(tanh)                          \
  ACTIVATION(thresholded_relu)
