"""Ragged batches: sequences of unequal length without padding. Independent of the layers."""

from throughtime.ragged._collate import collate as collate
from throughtime.ragged._layout import Layout as Layout
from throughtime.ragged._ragged import Ragged as Ragged
from throughtime.ragged._tensor import implements as implements
from throughtime.ragged._tracing import refuse_compiling as refuse_compiling
from throughtime.ragged._tracing import refuse_tracing as refuse_tracing
from throughtime.ragged._tracing import tracing as tracing
from throughtime.ragged._transforms import assert_when_run as assert_when_run
from throughtime.ragged._transforms import host_array as host_array
from throughtime.ragged._transforms import plain_integers as plain_integers
