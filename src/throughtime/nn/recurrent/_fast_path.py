"""Whole calls and single steps on plain tensors: straight to the native loop.

A step at batch 1 is a few microseconds of arithmetic, and a call on a short sequence not many more; the
general path would spend several times that on looking at its arguments. Here only what can go wrong is looked
at, most of it natively, and anything unusual is left to the general path, which also has the words for what
is wrong. Calls with gradients go this way, too.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.nn.inputs.output import RecurrentOutput
from throughtime.nn.recurrent.stack import Stack
from throughtime.ops.plain import differentiable, unobserved
from throughtime.ops.recurrent.autograd import node_of_layer
from throughtime.ops.recurrent.native import RecurrentStack, native_stack
from throughtime.ops.recurrent.spec import CellSpec
from throughtime.ops.recurrent.steps import Steps, dense_steps, ragged_steps
from throughtime.ops.recurrent.weights import PARTS
from throughtime.ragged import Ragged

# Where a layer keeps it; not part of its state.
STACK = "_native_stack"


def quick_step(module: Stack, x: Any, state: Any) -> tuple[Tensor, Any] | None:
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
    if torch.is_grad_enabled() or not unobserved() or _has_more_to_do(module, state):
        return None
    return _stack_of(module).step(module._parameters, torch.get_num_threads(), x, state)  # noqa: SLF001


def quick_call(module: Stack, x: Any, state: Any) -> RecurrentOutput | None:
    """Return what ``module(x, state)`` returns, or None where the general path must decide."""
    if not unobserved() or _has_more_to_do(module, state):
        return None
    if torch.is_grad_enabled():
        return _with_gradients(module, x, state)
    parameters, threads = module._parameters, torch.get_num_threads()  # noqa: SLF001
    if type(x) is Ragged:
        found = _stack_of(module).ragged(parameters, threads, x.values, x.layout.offsets, state)
        return None if found is None else RecurrentOutput(x.with_values(found[0]), found[1])
    found = _stack_of(module).dense(parameters, threads, x, bool(module.batch_first), state)
    return None if found is None else RecurrentOutput(*found)


def _with_gradients(module: Stack, x: Any, state: Any) -> RecurrentOutput | None:
    parameters, single = module._parameters, False  # noqa: SLF001
    if type(x) is Ragged:
        if not _stack_of(module).fits_ragged(parameters, x.values, x.layout.offsets, state):
            return None
        tokens, steps = x.values, ragged_steps(x.layout)
    else:
        if not _stack_of(module).fits_dense(parameters, x, bool(module.batch_first), state):
            return None
        tokens, single = x, x.dim() == 2
        length, batch = (x.shape[0], 1) if single else x.shape[:2]
        if module.batch_first and not single:
            length, batch = batch, length
        steps = dense_steps(batch, length, batch_first=module.batch_first and not single)
    weights = _flat_weights(module)
    h0, c0 = state if isinstance(state, tuple) else (state, None)
    if not differentiable(tokens, h0, c0, *weights):
        return None
    y, h_n, c_n = _all_layers(module, tokens, steps, h0, c0, weights)
    if single:
        h_n, c_n = h_n.squeeze(1), None if c_n is None else c_n.squeeze(1)
    output = x.with_values(y) if type(x) is Ragged else y
    return RecurrentOutput(output, h_n if c_n is None else (h_n, c_n))


def _all_layers(
    module: Stack, x: Tensor, steps: Steps, h0: Tensor | None, c0: Tensor | None, weights: list[Tensor | None]
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return y of the last layer, and the final states of all."""
    if module.num_layers == 1:
        return node_of_layer(x, steps, module.spec, h0, c0, weights)
    count, finals = 2 if module.bidirectional else 1, []
    for first in range(0, module.num_layers * count, count):
        h, c = (None if part is None else part[first : first + count] for part in (h0, c0))
        own = weights[first * PARTS : (first + count) * PARTS]
        x, h_n, c_n = node_of_layer(x, steps, module.spec, h, c, own)
        finals.append((h_n, c_n))
    h_ends, c_ends = zip(*finals, strict=True)
    return x, torch.cat(h_ends), torch.cat(c_ends) if module.spec.has_c else None


def quick_cell(module: nn.RNNCellBase, spec: CellSpec, x: Any, state: Any) -> tuple[Tensor, Any] | None:
    """Return h and c of one step of a cell, None for c if it has none; or None for the general path."""
    if not unobserved():
        return None
    stack = _stack_of_cell(module.input_size, module.hidden_size, module.bias, spec)
    parameters = module._parameters  # noqa: SLF001
    if not torch.is_grad_enabled():
        return stack.cell(parameters, torch.get_num_threads(), x, state)
    if not stack.fits_cell(parameters, x, state):
        return None
    h0, c0 = state if isinstance(state, tuple) else (state, None)
    weights: list[Tensor | None] = [*(parameters[name] for name in _CELL_NAMES), None, None, None]
    if not differentiable(x, h0, c0, *weights):
        return None
    steps = dense_steps(1 if x.dim() == 1 else x.shape[0], 1, batch_first=False)
    h, _, c = node_of_layer(x, steps, spec, h0, c0, weights)
    return h, None if c is None else c.view(h.shape)


_CELL_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


@lru_cache(maxsize=256)
def _stack_of_cell(inputs: int, hidden: int, bias: bool, spec: CellSpec) -> RecurrentStack:  # noqa: FBT001
    names = _CELL_NAMES if bias else _CELL_NAMES[:2]
    return native_stack(spec, (names,), inputs, hidden, biased=bool(bias))


def _flat_weights(module: Stack) -> list[Tensor | None]:
    """Return the fields of `Weights` of each direction."""
    own, spec, flat = module._parameters, module.spec, []  # noqa: SLF001
    for names in module._all_weights:  # noqa: SLF001
        parts = [own[name] for name in names]
        biases = parts[2:4] if module.bias else [None, None]
        hr = parts[-1] if module.proj_size else None
        peephole = own[_peephole_of(names)] if spec.own_blocks else None
        flat += [*parts[:2], *biases, hr, peephole, None]
    return flat


def _has_more_to_do(module: Stack, state: Any) -> bool:
    """Tell whether the module does anything but run its cells natively, or is watched or carried."""
    return bool(
        not module.spec.is_native
        or (module.dropout and module.training)
        or module.context_size
        or module._watchers is not None  # noqa: SLF001
        or module._carriers is not None  # noqa: SLF001 - whoever carries states says where a stream is
        or (state is None and module.learn_initial_state)
    )


def _stack_of(module: Stack) -> RecurrentStack:
    known: RecurrentStack | None = module.__dict__.get(STACK)
    if known is None:
        names = tuple(_with_peephole(own, bool(module.spec.own_blocks)) for own in module._all_weights)  # noqa: SLF001
        known = module.__dict__[STACK] = native_stack(
            module.spec,
            names,
            module.input_size,
            module.hidden_size,
            module.proj_size,
            directions=2 if module.bidirectional else 1,
            biased=bool(module.bias),
        )
    return known


def _with_peephole(names: list[str], peephole: bool) -> tuple[str, ...]:  # noqa: FBT001
    return (*names, _peephole_of(names)) if peephole else tuple(names)


def _peephole_of(names: list[str]) -> str:
    return "weight_peephole" + names[0].removeprefix("weight_ih")
