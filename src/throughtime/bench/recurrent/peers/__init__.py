"""What we are measured against, one file for each library. Those that are absent are left out."""

from throughtime.bench.recurrent.peers._contender import Contender as Contender
from throughtime.bench.recurrent.peers._contender import Prepared as Prepared
from throughtime.bench.recurrent.peers._contender import SkipCaseError as SkipCaseError
from throughtime.bench.recurrent.peers._find import PEERS as PEERS
from throughtime.bench.recurrent.peers._find import find as find
