"""A function as an aten graph, for a batch of any size."""

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch.nn.utils import parametrize
from torch.utils import _pytree as pytree

from throughtime.ops.program.tracing.decompositions import decompositions
from throughtime.ops.program.tracing.errors import UntraceableError
from throughtime.ops.program.tracing.source_lines import SourceLines

_OF_NUMBER = "f depends on the number of sequences, n: it branches on it, or takes it as an int"


@dataclass(frozen=True)
class Capture:
    """One recorded call of f.

    Parameters
    ----------
    graph : fx.Graph
        Placeholders are leaves of the state, then of the token; ``get_attr`` nodes are tensors of f.
    states, tokens : list of fx.Node
        The placeholders.
    results : list of fx.Node
        The leaves of the next state.
    constants : dict
        The tensor of each ``get_attr`` node.
    mode : FakeTensorMode
        In which the values in ``node.meta["val"]`` are.
    batch : SymInt
        The number of rows.
    """

    graph: fx.Graph
    states: list[fx.Node]
    tokens: list[fx.Node]
    results: list[fx.Node]
    constants: dict[fx.Node, Tensor]
    mode: Any
    batch: torch.SymInt


def capture(f: Callable[[Any, Any], Any], state: Any, token: Any) -> Capture:
    """Return the graph of f on examples (n, …), whose values are not used."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    environment = ShapeEnv(allow_scalar_outputs=False, allow_dynamic_output_shape_ops=False)
    batch = _symbol(environment)
    mode = FakeTensorMode(shape_env=environment, allow_non_fake_inputs=True)
    leaves, structure = pytree.tree_flatten((state, token))
    before, state_structure = pytree.tree_flatten(state)
    results: list[Any] = []

    def flat(*arguments: Tensor) -> list[Any]:
        state, token = pytree.tree_unflatten(list(arguments), structure)
        after, after_structure = pytree.tree_flatten(f(state, token))
        _check_results(before, after, structures=(state_structure, after_structure))
        results[:] = after
        return after

    lines = SourceLines()
    grad = torch.is_grad_enabled()
    with (
        torch.inference_mode(mode=False),
        torch.set_grad_enabled(grad),
        mode,
        _plainly(),
        _no_random_numbers(),
    ):
        fakes = [_fake(leaf, batch) for leaf in leaves]
        with lines.errors(), lines:
            module = make_fx(flat, decomposition_table=decompositions(), _allow_non_fake_inputs=True)(*fakes)
    _check_autograd(results)
    _check_guards(environment)
    nodes = list(module.graph.nodes)
    placeholders = [node for node in nodes if node.op == "placeholder"]
    constants = {node: getattr(module, node.target) for node in nodes if node.op == "get_attr"}
    return Capture(
        graph=module.graph,
        states=placeholders[: len(before)],
        tokens=placeholders[len(before) :],
        results=list(nodes[-1].args[0]),
        constants=constants,
        mode=mode,
        batch=batch,
    )


def _symbol(environment: Any) -> Any:
    """Return a symbolic number of rows, of which only is known that it is at least two."""
    from torch._dynamo.source import ConstantSource
    from torch.fx.experimental.symbolic_shapes import DimDynamic

    hint, source = 5, ConstantSource("sequences")
    symbol = environment.create_symbol(hint, source, dynamic_dim=DimDynamic.DYNAMIC, constraint_dim=None)
    return environment.create_symintnode(symbol, hint=hint, source=source)


def _fake(leaf: Tensor, batch: Any) -> Tensor:
    fake = torch.empty((batch, *leaf.shape[1:]), dtype=leaf.dtype, device=leaf.device)
    # What f gets is mostly the result of the step before, which it may change in place.
    return fake.requires_grad_(leaf.is_floating_point()).clone()


@contextmanager
def _plainly() -> Iterator[None]:
    """Trace without autocast, cached weights, fused attention and logs, outside of function transforms."""
    from torch._dispatch.python import enable_python_dispatcher
    from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack
    from torch.backends import mha
    from torch.nn.attention import SDPBackend, sdpa_kernel

    log, fast = logging.getLogger("torch._subclasses.fake_tensor"), mha.get_fastpath_enabled()
    disabled, log.disabled = log.disabled, True
    cached, parametrize._cache_enabled = parametrize._cache_enabled, 0  # noqa: SLF001 - keeps results
    mha.set_fastpath_enabled(False)
    try:
        with (
            torch.autocast("cpu", enabled=False),
            enable_python_dispatcher(),  # operators for a symbolic number of rows
            sdpa_kernel(SDPBackend.MATH),
            temporarily_clear_interpreter_stack(),
        ):
            yield
    finally:
        log.disabled = disabled
        parametrize._cache_enabled = cached  # noqa: SLF001
        mha.set_fastpath_enabled(fast)


@contextmanager
def _no_random_numbers() -> Iterator[None]:
    """Refuse functions that draw numbers outside of torch, which would be the same at all steps."""
    before = _random_states()
    yield
    if before != _random_states():
        raise UntraceableError("f draws random numbers from Python's random or numpy")


def _random_states() -> tuple[Any, Any]:
    return random.getstate(), np.random.get_state(legacy=False)["state"]["pos"]  # noqa: NPY002 - what is watched


def _check_results(before: list[Any], after: list[Any], *, structures: tuple[Any, Any]) -> None:
    if structures[0] != structures[1]:
        raise UntraceableError("f returns a state of another structure than it takes")
    for old, new in zip(before, after, strict=True):
        if not isinstance(new, Tensor):
            raise UntraceableError(f"f returns {type(new).__name__} as a part of the state")
        if new.shape[:1] and isinstance(new.shape[0], int) and new.shape[1:] == old.shape[1:]:
            raise UntraceableError(_OF_NUMBER)
        if new.shape[1:] != old.shape[1:] or new.dim() != old.dim() or isinstance(new.shape[0], int):
            shapes = f"{_shown(old.shape)} becomes {_shown(new.shape)}"
            raise UntraceableError(f"f changes the shape of the state: {shapes}")
        if new.dtype != old.dtype:
            raise UntraceableError(f"f changes the dtype of the state: {old.dtype} becomes {new.dtype}")


def _shown(shape: torch.Size) -> str:
    numbers = [str(int(size)) for size in shape[1:]]
    return f"({', '.join(['n', *numbers])})"


def _check_autograd(results: list[Any]) -> None:
    """Refuse a gradient of the user's own, which the graph would not have."""
    from torch.autograd.function import BackwardCFunction

    waiting = [part.grad_fn for part in results if part.grad_fn is not None]
    seen = set(waiting)
    while waiting:
        function = waiting.pop()
        # Operators registered with torch.library have a gradient of their own wherever they are computed.
        registered = type(function).__name__.startswith("GeneratedBackwardFor_")
        if isinstance(function, BackwardCFunction) and not registered:
            name = type(function).__name__.removesuffix("Backward")
            raise UntraceableError(f"f uses the autograd.Function {name}, whose gradient cannot be traced")
        parents = {parent for parent, _ in function.next_functions if parent is not None} - seen
        seen |= parents
        waiting.extend(parents)


def _check_guards(environment: Any) -> None:
    if environment.guards:
        raise UntraceableError(_OF_NUMBER)
