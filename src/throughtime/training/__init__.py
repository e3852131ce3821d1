"""Training of models for any task, with runs that can be stopped and resumed.

A run is a folder of JSON and safetensors files. Lightning is imported when `fit` is called, not before.
"""

from throughtime.training import processes as processes
from throughtime.training._evaluation import evaluate as evaluate
from throughtime.training._files import without_flush as without_flush
from throughtime.training._fit import FitResult as FitResult
from throughtime.training._fit import fit as fit
from throughtime.training._fit import require_same as require_same
from throughtime.training._gradient_file import GradientRecord as GradientRecord
from throughtime.training._gradient_file import LayerGradients as LayerGradients
from throughtime.training._gradient_file import read_gradients as read_gradients
from throughtime.training._how import require_supported as require_supported
from throughtime.training._lock import only_training as only_training
from throughtime.training._metrics import EpochMetrics as EpochMetrics
from throughtime.training._metrics import Metrics as Metrics
from throughtime.training._metrics import Score as Score
from throughtime.training._metrics import best_epoch as best_epoch
from throughtime.training._run import Run as Run
from throughtime.training._run import RunConfig as RunConfig
from throughtime.training._settings import BLEND as BLEND
from throughtime.training._settings import CUSTOM as CUSTOM
from throughtime.training._settings import ModelFactory as ModelFactory
from throughtime.training._settings import ModelSpec as ModelSpec
from throughtime.training._settings import Settings as Settings
