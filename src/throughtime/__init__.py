"""Padding-free recurrent and convolutional sequence models for PyTorch."""

import typing as _typing
from contextlib import nullcontext as _nothing
from importlib.metadata import version as _version

from throughtime._importing import is_command as _is_command
from throughtime._importing import stopping_at_once as _stopping_at_once
from throughtime._lazy import LAZY as _LAZY
from throughtime._lazy import lazy_name as _lazy_name

with _stopping_at_once() if _is_command() else _nothing():
    from throughtime import bptt as bptt
    from throughtime import convert as convert
    from throughtime import diagnose as diagnose
    from throughtime import errors as errors
    from throughtime import export as export
    from throughtime import models as models
    from throughtime import nn as nn
    from throughtime import quantized as quantized
    from throughtime.quantized import quantize as quantize
    from throughtime.ragged import Ragged as Ragged
    from throughtime.ragged import collate as collate
    from throughtime.streaming import Stream as Stream

if _typing.TYPE_CHECKING:
    from throughtime.estimators import SequenceAnomalyDetector as SequenceAnomalyDetector
    from throughtime.estimators import SequenceClassifier as SequenceClassifier
    from throughtime.estimators import SequenceRegressor as SequenceRegressor
    from throughtime.estimators import SequenceTagger as SequenceTagger
    from throughtime.learn import Predictor as Predictor
    from throughtime.learn import fit as fit
    from throughtime.learn import load as load
    from throughtime.learn.tune import tune as tune

    __version__: str


def __getattr__(name: str) -> object:
    return _version("throughtime") if name == "__version__" else _lazy_name(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, "__version__"})
