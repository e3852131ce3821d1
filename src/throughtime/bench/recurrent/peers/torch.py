"""torch.nn: a dense tensor for equal lengths, a `PackedSequence` that is packed beforehand for others."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from throughtime.bench._lengths import Mode
from throughtime.bench.recurrent.case import Case
from throughtime.bench.recurrent.peers._contender import Prepared
from throughtime.ragged import Ragged


def time_major(values: Tensor, case: Case) -> Tensor:
    """Return tokens (T, D) of equal sequences as (L, B, D), of its own memory."""
    batch, steps = case.shape.batch, case.shape.steps
    return values.view(batch, steps, -1).transpose(0, 1).contiguous()


def from_time_major(padded: Tensor, case: Case) -> Tensor:
    """Return the tokens of a (L, B, D) tensor end to end."""
    return Ragged.from_padded(padded, lengths=case.lengths, batch_first=False).values


class _Torch:
    name = "torch"
    version = torch.__version__

    def prepare(self, case: Case, mode: Mode) -> Prepared:
        """Return the case ready to run."""
        return _dense(case, mode) if case.kind == "equal" else _packed(case, mode)


def contender(threads: int) -> _Torch:
    """Return torch; its threads are set for the whole process."""
    torch.set_num_threads(threads)
    return _Torch()


def _dense(case: Case, mode: Mode) -> Prepared:
    layer, x = case.layer, time_major(case.values, case)
    if mode == "inference":

        def infer() -> Any:
            with torch.no_grad():
                return layer(x)[0]

        return Prepared(infer, lambda y: (from_time_major(y, case),))
    x.requires_grad_()
    gradient, parameters = time_major(case.gradient, case), list(layer.parameters())
    return Prepared(
        lambda: torch.autograd.grad(layer(x)[0], [x, *parameters], gradient),
        lambda found: (from_time_major(found[0], case), *found[1:]),
    )


def _packed(case: Case, mode: Mode) -> Prepared:
    layer = case.layer
    packed = _pack(case.values, case)
    if mode == "inference":

        def infer() -> Any:
            with torch.no_grad():
                return layer(packed)[0]

        return Prepared(infer, lambda y: (Ragged.from_packed(y).values,))
    leaf = packed.data.clone().requires_grad_()
    x = packed._replace(data=leaf)
    gradient, parameters = _pack(case.gradient, case).data, list(layer.parameters())

    def results(found: Any) -> tuple[Tensor, ...]:
        return (Ragged.from_packed(packed._replace(data=found[0])).values, *found[1:])

    return Prepared(lambda: torch.autograd.grad(layer(x)[0].data, [leaf, *parameters], gradient), results)


def _pack(values: Tensor, case: Case) -> PackedSequence:
    padded = Ragged.from_lengths(values, case.lengths).to_padded(batch_first=False)
    return pack_padded_sequence(padded, case.lengths, enforce_sorted=False)
