"""What layers state about themselves, and how to state it for a module of one's own.

Every layer of throughtime has a method ``describe()``, which returns a description: what an output step
depends on, as data. `throughtime.nn.receptive_field`, `throughtime.nn.output_lengths`,
`throughtime.nn.Stream` and `throughtime.export.onnx` read nothing else; for torch's own layers there is one
table. A layer may have a method ``operators()``, too, which returns the operators that it calls in evaluation
mode: these are exported.

=================  ===================================================================
description        an output step depends on
=================  ===================================================================
`Tokenwise`        the input step of the same number
`Windowed`         the steps of a window, as in convolution and pooling
`Spread`           the steps whose windows it lies in, as in transposed convolution
`Stateful`         all steps so far, by a state
`WholeSequence`    all steps
`NoSequence`       nothing that could be stated: the input is no sequence
`Series`           what its parts depend on, one after the other
`SideBySide`       what any of its parts depends on
`Reversed`         what its part depends on, in reversed time
=================  ===================================================================

A module made of layers names them in the order in which its ``forward`` calls them. That is all that it takes
to measure, stream and export it. ``forward`` may call the series itself, so that the order is stated once.

A module is refused by name if its class has no ``describe()``, if it overrides ``forward`` or another method
of the class that has it, and if it has forward hooks: then the description may not hold.

Examples
--------
>>> import torch, throughtime as tt
>>> from torch import nn
>>> class Tagger(nn.Module):
...     def __init__(self):
...         super().__init__()
...         self.conv = tt.nn.Conv1d(4, 8, 3, padding="causal")
...         self.recurrent, self.output = tt.nn.GRU(8, 8), nn.Linear(8, 2)
...
...     def describe(self):
...         return tt.nn.description.Series.of(conv=self.conv, recurrent=self.recurrent, output=self.output)
...
...     def forward(self, x):
...         return self.describe()(x)
>>> tagger, x = Tagger(), tt.Ragged.from_lengths(torch.randn(5, 4), [3, 2])
>>> tt.nn.receptive_field(tagger)
ReceptiveField(first=-inf, last=0, stride=1)
>>> y, state = tt.nn.Stream(tagger)(x)
>>> torch.allclose(y.values, tagger(x).values, atol=1e-6)
True
"""

from throughtime.nn.description.kinds import NoSequence as NoSequence
from throughtime.nn.description.kinds import Spread as Spread
from throughtime.nn.description.kinds import Stateful as Stateful
from throughtime.nn.description.kinds import Tokenwise as Tokenwise
from throughtime.nn.description.kinds import WholeSequence as WholeSequence
from throughtime.nn.description.kinds import Windowed as Windowed
from throughtime.nn.description.lookup import description_of as description_of
from throughtime.nn.description.lookup import operators_of as operators_of
from throughtime.nn.description.merges import Added as Added
from throughtime.nn.description.merges import WeightedSum as WeightedSum
from throughtime.nn.description.merges import concatenated as concatenated
from throughtime.nn.description.operator import Operator as Operator
from throughtime.nn.description.parts import OfTokens as OfTokens
from throughtime.nn.description.parts import Reversed as Reversed
from throughtime.nn.description.parts import Series as Series
from throughtime.nn.description.parts import SideBySide as SideBySide
from throughtime.ops.windows import Windows as Windows
