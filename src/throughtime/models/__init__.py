"""Named architectures, each a page of the blocks of `throughtime.nn`, with its paper."""

from throughtime.models._bi_recurrent import BiGRU as BiGRU
from throughtime.models._bi_recurrent import BiLSTM as BiLSTM
from throughtime.models._frame_model import FrameModel as FrameModel
from throughtime.models._language_model import LanguageModel as LanguageModel
from throughtime.models._sample import sample as sample
from throughtime.models._text_cnn import TextCNN as TextCNN
