"""The recurrent layers against every peer: ``throughtime bench recurrent``."""

from throughtime.bench.recurrent._run import Measured as Measured
from throughtime.bench.recurrent._run import Plan as Plan
from throughtime.bench.recurrent._run import run as run
from throughtime.bench.recurrent.record import Row as Row
