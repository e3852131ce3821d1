"""Convolution, pooling, normalization and a TextCNN against torch: ``throughtime bench conv``."""

from throughtime.bench.conv._plan import PARTS as PARTS
from throughtime.bench.conv._plan import SHAPES as SHAPES
from throughtime.bench.conv._plan import Plan as Plan
from throughtime.bench.conv._plan import Shape as Shape
from throughtime.bench.conv._processes import measure as measure
from throughtime.bench.conv.record import Comparison as Comparison
from throughtime.bench.conv.record import Record as Record
from throughtime.bench.conv.record import Row as Row
