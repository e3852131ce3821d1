"""A traced transition: the graph of a step, and the code that runs before the loop."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, compress, pairwise
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from throughtime.ops.program.counts import Counts
from throughtime.ops.program.graph import Graph
from throughtime.ops.program.inputs import Inputs
from throughtime.ops.program.tracing.capture import Capture, capture
from throughtime.ops.program.tracing.errors import UntraceableError, UntraceableNodeError
from throughtime.ops.program.tracing.hoisting import as_rows, hoisted_code
from throughtime.ops.program.tracing.in_place import make_functional
from throughtime.ops.program.tracing.lowering import Lowering
from throughtime.ops.program.tracing.numbering import renumbered
from throughtime.ops.program.tracing.places import Place
from throughtime.ops.program.tracing.source import Source, described, operator_name
from throughtime.ops.program.tracing.token_products import (
    FEW_TOKENS,
    FEWEST_ROWS,
    Hoisted,
    with_token_products,
)
from throughtime.ops.program.tracing.watching import Watched


@dataclass(frozen=True)
class TracedStep:
    """Result of `traced`.

    Parameters
    ----------
    graph : Graph
        One step. Its k-th state is the k-th leaf of the state that is not constant.
    constant : tuple of bool
        For each leaf of the state, whether f returns it unchanged: it is constant over each sequence.
    shapes : tuple of torch.Size
        For each leaf of the state, its shape without the dimension of sequences; in a row it is flattened.
    of_many_rows : TracedStep, optional
        The same step with the products of tokens in the graph, for steps of many rows.
    """

    graph: Graph
    constant: tuple[bool, ...]
    shapes: tuple[torch.Size, ...]
    _code: Callable[..., tuple[Tensor, ...]]
    _constants: tuple[Place, ...]
    _kinds: list[tuple[torch.Size, torch.dtype]]
    _bounds: tuple[tuple[int, int], ...]
    of_many_rows: "TracedStep | None" = None

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """For each leaf of the state, its number of values per sequence."""
        return tuple(shape.numel() for shape in self.shapes)

    def for_rows(self, rows: int) -> "TracedStep":
        """Return the form of the step that is faster with so many rows; results have the same bits."""
        if self.of_many_rows is None or rows < FEWEST_ROWS:
            return self
        return self.of_many_rows

    def for_batch(self, sequences: int, tokens: int, threads: int) -> "TracedStep":
        """Return the form that is faster for a batch of so many sequences and tokens."""
        return self.for_rows(FEWEST_ROWS if tokens <= FEW_TOKENS else sequences // threads)

    @cached_property
    def counts(self) -> Counts:
        """How many tensors of each kind the graph reads."""
        tokens, sequences, vectors, matrices = (end - begin for begin, end in self._bounds)
        return Counts(tokens, sequences, vectors, matrices, len(self.graph.states))

    def has_constants(self) -> bool:
        """Tell whether the tensors that f reads have the same shapes and dtypes as when f was traced."""
        return self.constants() is not None

    def constants(self) -> list[Tensor] | None:
        """Return the tensors that f reads; None if one has another shape or dtype than when f was traced."""
        try:
            constants = [container[key] for container, key, _ in self._constants]
            same = [(constant.shape, constant.dtype) for constant in constants] == self._kinds
        except (LookupError, ValueError, AttributeError):
            return None
        return constants if same else None

    def tensors(self, constants: Sequence[Tensor], tokens: Tensor) -> tuple[Tensor, ...]:
        """Return the tensors of `inputs` one after the other, for a token of one tensor.

        Parameters
        ----------
        constants
            As `constants` returns them.
        tokens : Tensor
            (T, …).
        """
        return self._code(*constants, tokens.contiguous())

    def inputs(self, tokens: Any, sequences: Sequence[Tensor] = ()) -> Inputs:
        """Return the tensors of the leaves of the graph, differentiable.

        Parameters
        ----------
        tokens
            In the structure of the token, each leaf (T, …).
        sequences : sequence of Tensor
            The leaves of the state that are constant, (B, …) each.
        """
        return self._inputs([container[key] for container, key, _ in self._constants], tokens, sequences)

    def inputs_with(self, tensors: Mapping[Any, Tensor], tokens: Any, sequences: Sequence[Tensor]) -> Inputs:
        """Return `inputs`, of other tensors than those that f reads, each by its key in its container."""
        constants = [tensors.get(key, container[key]) for container, key, _ in self._constants]
        return self._inputs(constants, tokens, sequences)

    def _inputs(self, constants: Sequence[Tensor], tokens: Any, sequences: Sequence[Tensor]) -> Inputs:
        leaves = [tokens] if isinstance(tokens, Tensor) else pytree.tree_leaves(tokens)
        # Views of the trace are those of contiguous examples.
        parts = self._code(*constants, *[leaf.contiguous() for leaf in (*leaves, *sequences)])
        return Inputs(*[parts[begin:end] for begin, end in self._bounds])


def traced(f: Callable[[Any, Any], Any], state: Any, token: Any, watched: Watched) -> TracedStep:
    """Return f as a graph of one step, and the code that runs before the loop.

    Parameters
    ----------
    f : callable
        (state, token) to the next state.
    state, token
        Examples of both with any number of rows; of their values none is looked at.
    watched : Watched
        Where the tensors that f reads are.

    Raises
    ------
    UntraceableError
        If f has no such form; the message says why.
    """
    leaves = pytree.tree_leaves(state)
    _check_leaves(leaves, pytree.tree_leaves(token))
    captured = capture(f, state, token)
    _check_nodes(captured)
    constant = _constant_leaves(captured)
    source = Source(captured, set(compress(captured.states, constant)))
    states, results = (_others(nodes, constant) for nodes in (captured.states, captured.results))
    lowering = Lowering(source, _dtype(states))
    for index, node in enumerate(states):
        lowering.add_state(node, index)
    graph, hoisted = _lowered(lowering, results)
    many = with_token_products(source, graph, hoisted, lowering.dtype)

    def step(graph: Graph, hoisted: Hoisted, of_many_rows: TracedStep | None) -> TracedStep:
        code = hoisted_code(source, [node for nodes in hoisted for node in nodes])
        constants = [captured.constants[node] for node in code.constants]
        return TracedStep(
            graph=graph,
            constant=constant,
            shapes=tuple(leaf.shape[1:] for leaf in leaves),
            _code=code.function,
            _constants=tuple(map(watched.place, constants, code.constants)),
            _kinds=[(tensor.shape, tensor.dtype) for tensor in constants],
            _bounds=tuple(pairwise(accumulate(map(len, hoisted), initial=0))),
            of_many_rows=of_many_rows,
        )

    return step(graph, hoisted, None if many is None else step(*many, None))


def _lowered(lowering: Lowering, results: list[fx.Node]) -> tuple[Graph, Hoisted]:
    """Return the graph, and the nodes of its tokens, sequences, vectors and matrices."""
    whole = lowering.builder.graph([lowering.row(lowering.value(node)) for node in results])
    graph, used = renumbered(whole, (*lowering.leaves, "product"))
    tokens, sequences, vectors = [
        [as_rows(lowering.source, nodes[number], lowering.dtype) for number in used[kind]]
        for kind, nodes in lowering.leaves.items()
    ]
    matrices = [lowering.matrices[number] for number in used["product"]]
    return graph, Hoisted(tokens, sequences, vectors, matrices)


def _check_leaves(states: list[Any], tokens: list[Any]) -> None:
    for leaf in (*states, *tokens):
        if not isinstance(leaf, Tensor) or leaf.dim() < 1:
            raise UntraceableError(
                "a part of the state or of the token is not a tensor of one row per sequence"
            )
        if leaf.device.type != "cpu":
            raise UntraceableError(
                f"the state or the token is on {leaf.device}, but the native loop runs on the CPU"
            )


def _check_nodes(captured: Capture) -> None:
    for node in list(captured.graph.nodes):
        tags = getattr(node.target, "tags", ())
        if torch.Tag.nondeterministic_seeded in tags and node.users:
            raise UntraceableNodeError(f"{described(node)} draws random numbers, as dropout in training does")
        if getattr(getattr(node.target, "_schema", None), "is_mutable", False):
            make_functional(node)


def _constant_leaves(captured: Capture) -> tuple[bool, ...]:
    """Tell which leaves of the state f returns as they are; none, if it does so with all of them."""
    constant = tuple(map(_is_unchanged, captured.states, captured.results))
    return (False,) * len(constant) if all(constant) else constant


def _is_unchanged(before: fx.Node, after: fx.Node) -> bool:
    while after.op == "call_function" and operator_name(after) in {"alias", "clone"}:
        after = after.args[0]  # type: ignore[assignment]
    return before is after


def _others(nodes: list[fx.Node], constant: tuple[bool, ...]) -> list[fx.Node]:
    return [node for node, same in zip(nodes, constant, strict=True) if not same]


def _dtype(states: list[fx.Node]) -> torch.dtype:
    dtypes = {node.meta["val"].dtype for node in states}
    if len(dtypes) != 1:
        kinds = ", ".join(sorted(str(dtype) for dtype in dtypes))
        raise UntraceableError(
            f"the parts of the state that f changes have the dtypes {kinds}; they must have one dtype"
        )
    (dtype,) = dtypes
    if not dtype.is_floating_point:
        raise UntraceableError(f"the state is {dtype}, but the native loop needs floating-point states")
    return dtype  # type: ignore[no-any-return]
