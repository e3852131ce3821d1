"""One step of a stream without gradients: straight to the native loop.

A step at batch 1 is a few microseconds of arithmetic; the general path would spend several times that on
looking at its arguments. Here only what can go wrong is looked at, and anything unusual is left to the
general path, which also has the words for what is wrong. Written for speed: every call counts here.
"""

from typing import Any

import torch
from torch import Tensor, nn

from throughtime.nn._stack import Stack
from throughtime.ops._recurrent_native import forward_one_step, is_plain_call

_DTYPES = (torch.float32, torch.float64)


def quick_step(  # noqa: PLR0911 - one test after the other, each of which may end it
    module: Stack, x: Tensor, state: Any
) -> tuple[Tensor, Any] | None:
    """Return what ``module.step(x, state)`` returns, or None where the general path must decide.

    Parameters
    ----------
    module
        A recurrent layer in one direction.
    x : Tensor
        (B, I) or (I,).
    state
        As in `throughtime.nn.LSTM.step`.
    """
    if torch.is_grad_enabled() or type(x) is not Tensor or not is_plain_call():
        return None
    dtype, shape = x.dtype, x.shape
    if (
        dtype not in _DTYPES
        or not 1 <= len(shape) <= 2
        or shape[-1] != module.input_size
        or not x.is_cpu
        or not x.is_contiguous()
        or (module.dropout and module.training)
        or module.context_size
        or module._carrier is not None  # noqa: SLF001 - whoever carries states says where a stream is
    ):
        return None
    lstm, layers, streams = module.spec.kind == "LSTM", module.num_layers, shape[:-1]
    sizes = (module.proj_size or module.hidden_size, module.hidden_size)
    h = c = None
    if state is None:
        if module.learn_initial_state:
            return None
    else:
        if lstm:
            if type(state) is not tuple or len(state) != 2:
                return None
            h, c = state
            if not _fits(c, dtype, (layers, *streams, sizes[1])):
                return None
        else:
            h = state
        if not _fits(h, dtype, (layers, *streams, sizes[0])):
            return None
    rows = module.spec.gates * sizes[1]
    addresses = [
        _addresses(module, names, dtype, rows, sizes[0] if layer else shape[-1], sizes)
        for layer, names in enumerate(module._all_weights)  # noqa: SLF001
    ]
    if None in addresses:
        return None
    return forward_one_step(x, module.cell, h, c, addresses, sizes)  # type: ignore[arg-type]


def _fits(part: Any, dtype: torch.dtype, shape: tuple[int, ...]) -> bool:
    return (
        type(part) is Tensor
        and part.dtype is dtype
        and part.shape == shape
        and part.is_cpu
        and part.is_contiguous()
    )


def _addresses(
    module: Stack,
    names: list[str],
    dtype: torch.dtype,
    rows: int,
    features: int,
    sizes: tuple[int, int],
) -> tuple[int, ...] | None:
    """Return where a layer's parameters lie, in the order of the native call.

    None unless they are plain parameters of this dtype and of the shapes that G·H ``rows``, the input's
    ``features``, and the ``sizes`` P and H imply.
    """
    parameters = module._parameters  # noqa: SLF001
    shapes: list[tuple[int, ...]] = [(rows, features), (rows, sizes[0])]
    if module.bias:
        shapes += (rows,), (rows,)
    if module.proj_size:
        shapes.append(sizes)
    if module.spec.peephole:
        names = [*names, "weight_peephole" + names[0].removeprefix("weight_ih")]
        shapes.append((module.spec.peepholes * sizes[1],))
    found = []
    for name, shape in zip(names, shapes, strict=True):
        part = parameters.get(name)
        if (
            type(part) is not nn.Parameter
            or part.shape != shape
            or part.dtype is not dtype
            or not part.is_cpu
            or not part.is_contiguous()
        ):
            return None
        found.append(part.data_ptr())
    if not module.bias:
        found[2:2] = 0, 0
    if not module.proj_size:
        found.insert(4, 0)
    if not module.spec.peephole:
        found.append(0)
    return tuple(found)
