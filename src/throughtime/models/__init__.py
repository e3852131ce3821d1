"""Named architectures, each a page of the blocks of `throughtime.nn`, with its paper."""

from throughtime.models._bi_recurrent import BiGRU as BiGRU
from throughtime.models._bi_recurrent import BiLSTM as BiLSTM
from throughtime.models._char_cnn import CharCNN as CharCNN
from throughtime.models._fcn import FCN as FCN
from throughtime.models._frame_model import FrameModel as FrameModel
from throughtime.models._inception_time import InceptionTime as InceptionTime
from throughtime.models._language_model import LanguageModel as LanguageModel
from throughtime.models._lenet import LeNet as LeNet
from throughtime.models._lstm_fcn import LSTMFCN as LSTMFCN
from throughtime.models._resnet import ResNet as ResNet
from throughtime.models._sample import sample as sample
from throughtime.models._tcn import TCN as TCN
from throughtime.models._text_cnn import TextCNN as TextCNN
