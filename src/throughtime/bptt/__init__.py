"""Backpropagation through time: truncated in windows with carried states, or whole with checkpointing."""

from throughtime.bptt._carried import Carried as Carried
from throughtime.bptt._checkpointed import checkpointed as checkpointed
from throughtime.bptt._windows import Window as Window
from throughtime.bptt._windows import streams as streams
from throughtime.bptt._windows import windows as windows
