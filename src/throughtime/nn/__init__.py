"""Layers with parameters, on ragged batches, and on tensors as torch.nn takes them."""

from throughtime.nn import init as init
from throughtime.nn._bidirectional import Bidirectional as Bidirectional
from throughtime.nn._cells import GRUCell as GRUCell
from throughtime.nn._cells import LSTMCell as LSTMCell
from throughtime.nn._cells import RNNCell as RNNCell
from throughtime.nn._conv import Conv1d as Conv1d
from throughtime.nn._conv_block import ConvBlock as ConvBlock
from throughtime.nn._gradients import DirectionGradients as DirectionGradients
from throughtime.nn._gru import GRU as GRU
from throughtime.nn._lstm import LSTM as LSTM
from throughtime.nn._output import RecurrentOutput as RecurrentOutput
from throughtime.nn._pool import Pool as Pool
from throughtime.nn._readout import Readout as Readout
from throughtime.nn._recurrence import Recurrence as Recurrence
from throughtime.nn._recurrence import RecurrenceTrace as RecurrenceTrace
from throughtime.nn._rnn import RNN as RNN
from throughtime.nn._trace import DirectionTrace as DirectionTrace
from throughtime.nn._trace import Trace as Trace
from throughtime.nn._wide_conv import WideConv as WideConv
from throughtime.ops.cell import Activation as Activation
