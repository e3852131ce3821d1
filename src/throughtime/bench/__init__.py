"""Measure our layers against others on the user's own machine: what ``throughtime bench`` runs."""

from throughtime.bench._record import Row as Row
from throughtime.bench._recurrent import Measured as Measured
from throughtime.bench._recurrent import Plan as Plan
from throughtime.bench._recurrent import run as run
