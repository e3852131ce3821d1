"""Padding-free recurrent and convolutional sequence models for PyTorch."""

from contextlib import nullcontext as _nothing

from throughtime._importing import is_command as _is_command
from throughtime._importing import stopping_at_once as _stopping_at_once

with _stopping_at_once() if _is_command() else _nothing():
    from throughtime import bptt as bptt
    from throughtime import convert as convert
    from throughtime import diagnose as diagnose
    from throughtime import errors as errors
    from throughtime import export as export
    from throughtime import models as models
    from throughtime import nn as nn
    from throughtime.ragged import Ragged as Ragged
    from throughtime.ragged import collate as collate
