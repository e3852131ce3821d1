"""Every peer that is installed computes what we compute; the others are skipped, by name."""

import pytest

from throughtime.bench._lengths import Lengths, Mode
from throughtime.bench.recurrent._run import _check_agreement
from throughtime.bench.recurrent.case import Cell, Shape, make_case
from throughtime.bench.recurrent.peers import PEERS, find
from throughtime.bench.recurrent.peers import ours as ours_peer

TRAINS = ("torch", "jax")


@pytest.mark.parametrize("kind", ["equal", "ragged"])
@pytest.mark.parametrize("cell", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize(
    ("name", "mode"),
    [
        (name, mode)
        for name in PEERS
        for mode in ("inference", "training")
        if mode == "inference" or name in TRAINS
    ],
)
def test_peers_agree_with_us(name: str, mode: Mode, cell: Cell, kind: Lengths) -> None:
    peers, missing = find([name], 1)
    if missing:
        pytest.skip(missing[0])
    case = make_case(cell, Shape(5, 9, 4, 6), kind)
    ours = ours_peer.prepare(case, mode)
    _check_agreement(peers[0].prepare(case, mode), ours.results(ours.run()), name, case)
