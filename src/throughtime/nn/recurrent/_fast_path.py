"""Whole calls and single steps on plain tensors: straight to the native loop.

A step at batch 1 is a few microseconds of arithmetic, and a call on a short sequence not many more; the
general path would spend several times that on looking at its arguments. Here only what can go wrong is looked
at, most of it natively, and anything unusual is left to the general path, which also has the words for what
is wrong. Calls with gradients go this way, too: native code looks at everything and finds the weights, and
each layer becomes one node of the graph.
"""

from typing import Any

import torch
from torch import Tensor, nn

from throughtime.nn.inputs.output import RecurrentOutput
from throughtime.nn.inputs.resets import flags_by_row
from throughtime.nn.recurrent.stack import Stack, over_layers
from throughtime.nn.recurrent.weights import known_plan_of_cell
from throughtime.ops.plain import unobserved
from throughtime.ops.recurrent.autograd import node_of_layer
from throughtime.ops.recurrent.native import layer_forward
from throughtime.ops.recurrent.spec import CellSpec
from throughtime.ops.recurrent.steps import dense_steps, ragged_steps
from throughtime.ragged import Ragged

_Result = tuple[Tensor, Tensor, Tensor | None]


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
    return module.weight_plan.stack.step(module._parameters, torch.get_num_threads(), x, state)  # noqa: SLF001


def quick_call(module: Stack, x: Any, state: Any, reset: Any = None) -> RecurrentOutput | None:
    """Return what ``module(x, state, reset=reset)`` returns, or None where the general path must decide."""
    if (
        not unobserved()
        or _has_more_to_do(module, state)
        or (reset is not None and module.learn_initial_state)
    ):
        return None
    if reset is None and not torch.is_grad_enabled():
        return _at_once(module, x, state)
    return _layer_by_layer(module, x, state, reset)


def _at_once(module: Stack, x: Any, state: Any) -> RecurrentOutput | None:
    """Run all layers in one native call, which keeps nothing for a backward pass."""
    parameters, threads = module._parameters, torch.get_num_threads()  # noqa: SLF001
    stack = module.weight_plan.stack
    if type(x) is Ragged:
        results = stack.ragged(parameters, threads, x.values, x.layout.offsets, state)
        return None if results is None else RecurrentOutput(x.with_values(results[0]), results[1])
    results = stack.dense(parameters, threads, x, bool(module.batch_first), state)
    return None if results is None else RecurrentOutput(*results)


def _layer_by_layer(module: Stack, x: Any, state: Any, reset: Any) -> RecurrentOutput | None:
    parameters, stack, single = module._parameters, module.weight_plan.stack, False  # noqa: SLF001
    if type(x) is Ragged:
        layers = stack.ragged_weights(parameters, x.values, x.layout.offsets, state)
        if layers is None:
            return None
        tokens, steps = x.values, ragged_steps(x.layout)
    else:
        layers = stack.dense_weights(parameters, x, bool(module.batch_first), state)
        if layers is None:
            return None
        tokens, single = x, x.dim() == 2
        length, batch = (x.shape[0], 1) if single else x.shape[:2]
        if module.batch_first and not single:
            length, batch = batch, length
        steps = dense_steps(batch, length, batch_first=module.batch_first and not single)
    h0, c0 = state if isinstance(state, tuple) else (state, None)
    wanted = torch.is_grad_enabled() and _wanted(parameters, tokens, h0, c0)
    if not wanted and reset is None:
        return _at_once(module, x, state)
    plan, spec = module.weight_plan, module.spec
    weights = plan.joined(layers) if plan.joins else layers
    if reset is not None:
        steps = steps._replace(reset=flags_by_row(reset, x, type(module).__name__))

    def run(weights: Any, x: Tensor, h: Tensor | None, c: Tensor | None) -> _Result:
        if wanted:
            return node_of_layer(x, steps, spec, h, c, weights)
        return layer_forward(x, steps, spec, h, c, weights, save=False)[:3]

    y, h_n, c_n = over_layers(weights, tokens, h0, c0, run)
    if single:
        h_n, c_n = h_n.squeeze(1), None if c_n is None else c_n.squeeze(1)
    output = x.with_values(y) if type(x) is Ragged else y
    return RecurrentOutput(output, h_n if c_n is None else (h_n, c_n))


def quick_cell(module: nn.RNNCellBase, spec: CellSpec, x: Any, state: Any) -> tuple[Tensor, Any] | None:
    """Return h and c of one step of a cell, None for c if it has none; or None for the general path."""
    if not unobserved():
        return None
    name = type(module).__name__
    stack = known_plan_of_cell(spec.name, name, module.input_size, module.hidden_size, module.bias).stack
    parameters = module._parameters  # noqa: SLF001
    if not torch.is_grad_enabled():
        return stack.cell(parameters, torch.get_num_threads(), x, state)
    layers = stack.cell_weights(parameters, x, state)
    if layers is None:
        return None
    h0, c0 = state if isinstance(state, tuple) else (state, None)
    if not _wanted(parameters, x, h0, c0):
        return stack.cell(parameters, torch.get_num_threads(), x, state)
    steps = dense_steps(1 if x.dim() == 1 else x.shape[0], 1, batch_first=False)
    h, _, c = node_of_layer(x, steps, spec, h0, c0, layers[0])  # type: ignore[arg-type]
    return h, None if c is None else c.view(h.shape)


def _wanted(parameters: dict[str, Any], *tensors: Tensor | None) -> bool:
    """Return whether a gradient of these tensors is required."""
    everything = (*parameters.values(), *tensors)
    return True in [tensor.requires_grad for tensor in everything if tensor is not None]


def _has_more_to_do(module: Stack, state: Any) -> bool:
    """Tell whether the module does anything but run its cells natively, or is watched or carried."""
    return bool(
        not module.spec.is_native
        or (module.dropout and module.training)
        or module.context_size
        or module._watchers is not None  # noqa: SLF001
        or module._carriers is not None  # noqa: SLF001 - carried states set the initial ones
        or (state is None and module.learn_initial_state)
    )
