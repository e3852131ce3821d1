"""`Stream`: a causal model on many sequences that arrive piece by piece."""

from throughtime.streaming.source import Source as Source
from throughtime.streaming.stream import Stream as Stream
