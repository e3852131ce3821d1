"""Named architectures, each a page of the blocks of `throughtime.nn`, with its paper."""

from throughtime.models._bi_recurrent import BiGRU as BiGRU
from throughtime.models._bi_recurrent import BiLSTM as BiLSTM
from throughtime.models._text_cnn import TextCNN as TextCNN
