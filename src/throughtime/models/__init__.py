"""Named architectures, each a page of the blocks of `throughtime.nn`, with its paper.

`build_model` builds one by its name, for tokens or series, with an output per sequence or per step.
"""

from throughtime.models._blend import Blend as Blend
from throughtime.models._char_cnn import CharCNN as CharCNN
from throughtime.models._fcn import FCN as FCN
from throughtime.models._forecast import ForecastModel as ForecastModel
from throughtime.models._frame_model import FrameModel as FrameModel
from throughtime.models._inception_time import InceptionTime as InceptionTime
from throughtime.models._inputs import ModelInputs as ModelInputs
from throughtime.models._language_model import LanguageModel as LanguageModel
from throughtime.models._lenet import LeNet as LeNet
from throughtime.models._lstm_fcn import LSTMFCN as LSTMFCN
from throughtime.models._named import MODELS as MODELS
from throughtime.models._named import NamedModel as NamedModel
from throughtime.models._named import all_options as all_options
from throughtime.models._named import build_model as build_model
from throughtime.models._named import check_options as check_options
from throughtime.models._named import is_solved as is_solved
from throughtime.models._named import model_options as model_options
from throughtime.models._named import models_for as models_for
from throughtime.models._ngrams import NGrams as NGrams
from throughtime.models._recurrent import BiGRU as BiGRU
from throughtime.models._recurrent import BiLSTM as BiLSTM
from throughtime.models._recurrent import BiRNN as BiRNN
from throughtime.models._recurrent import GRUModel as GRUModel
from throughtime.models._recurrent import LSTMModel as LSTMModel
from throughtime.models._recurrent import RNNModel as RNNModel
from throughtime.models._resnet import ResNet as ResNet
from throughtime.models._rocket import Rocket as Rocket
from throughtime.models._sample import sample as sample
from throughtime.models._tcn import TCN as TCN
from throughtime.models._text_cnn import TextCNN as TextCNN
