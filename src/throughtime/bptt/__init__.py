"""Backpropagation through time in the user's hands: windows, carried states, long sequences whole."""

from throughtime.bptt._carried import Carried as Carried
from throughtime.bptt._recomputed import recomputed as recomputed
from throughtime.bptt._windows import Window as Window
from throughtime.bptt._windows import streams as streams
from throughtime.bptt._windows import windows as windows
