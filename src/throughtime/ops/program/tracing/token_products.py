"""Products of tokens within the loop, in place of one product of all tokens before it.

W x + b of all tokens is a matrix that is written to memory and read again, step by step. If a step has many
rows and the matrices stay in a core's cache, it is faster to multiply each step's tokens in the loop. Sums
have the same terms in the same order, so results have the same bits.
"""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import torch
from torch import fx
from torch.nn import functional as F

from throughtime.ops.program.builder import Builder, Value
from throughtime.ops.program.graph import Graph
from throughtime.ops.program.tracing.source import Source, operator_name

FEWEST_ROWS = 4
"""Rows of a step, for each thread, from which on tokens are multiplied in the loop."""

FEW_TOKENS = 32
"""Tokens of a batch up to which they are multiplied in the loop: a product before it is one more call."""

MOST_BYTES = 3 << 19
"""Maximum size of all matrices of a step together, so that they stay in the cache of a core."""


class Hoisted(NamedTuple):
    """The nodes that compute the leaves and matrices of a graph."""

    tokens: Sequence[fx.Node]
    sequences: Sequence[fx.Node]
    vectors: Sequence[fx.Node]
    matrices: Sequence[fx.Node]


class _Projection(NamedTuple):
    """The nodes of W x + b."""

    x: fx.Node
    weight: fx.Node
    bias: fx.Node


def with_token_products(
    source: Source, graph: Graph, hoisted: Hoisted, dtype: torch.dtype
) -> tuple[Graph, Hoisted] | None:
    """Return the graph with the products of its token matrices in it, and the nodes of its leaves.

    None if no token matrix is W x + b with a constant W and b, or if the matrices are too large. Without b
    the sum would begin with the other addend, and results would have other bits. So would gradients of an x
    that several token matrices are computed from; then there is such a graph without gradients only.
    """
    projections = [_projection(source, node, dtype) for node in hoisted.tokens]
    found = [one for one in projections if one is not None]
    weights = [*hoisted.matrices, *(one.weight for one in found)]
    if not found or sum(map(_size, weights)) * dtype.itemsize > MOST_BYTES:
        return None
    if torch.is_grad_enabled() and len(hoisted.tokens) > 1:
        return None
    kept = [node for node, one in zip(hoisted.tokens, projections, strict=True) if one is None]
    tokens = list(dict.fromkeys([*kept, *(one.x for one in found)]))
    builder = Builder()
    values: dict[int, Value] = {}
    for number, (node, one) in enumerate(zip(hoisted.tokens, projections, strict=True)):
        if one is None:
            values[number] = builder.leaf("token", tokens.index(node), _width(node))
            continue
        place = found.index(one)
        x = builder.leaf("token", tokens.index(one.x), _width(one.x))
        product = builder.product(len(hoisted.matrices) + place, x, _width(node))
        values[number] = product + builder.leaf("vector", len(hoisted.vectors) + place, _width(node))
    vectors = [*hoisted.vectors, *(one.bias for one in found)]
    return _with_tokens(builder, graph, values), Hoisted(tokens, hoisted.sequences, vectors, weights)


def _with_tokens(builder: Builder, graph: Graph, tokens: dict[int, Value]) -> Graph:
    """Return a graph that reads these values in place of its token leaves."""
    values: list[Value] = []
    for node in graph.nodes:
        if node.operator == "token":
            values.append(tokens[node.index])
        else:
            values.append(builder.copied(node, [values[position] for position in node.inputs]))
    return builder.graph(*([values[position] for position in of] for of in (graph.states, graph.outputs)))


def _projection(source: Source, node: fx.Node, dtype: torch.dtype) -> _Projection | None:
    """Return the parts of W x + b, None if the node computes something else."""
    parts = _parts(source, node)
    if parts is None:
        return None
    x, weight, bias = parts
    rank_and_dtype = [(len(part.meta["val"].shape), part.meta["val"].dtype) for part in parts]
    plain = rank_and_dtype == [(2, dtype), (2, dtype), (1, dtype)]
    constant = not source.dependence(weight) and not source.dependence(bias)
    return parts if plain and constant and source.sizes(x)[0][0] is None else None


def _parts(source: Source, node: fx.Node) -> _Projection | None:
    nodes = [part for part in node.args if isinstance(part, fx.Node)]
    if node.kwargs or len(node.args) != 3 or len(nodes) != 3:
        return None
    if node.target is F.linear:
        return _Projection(*nodes)
    if node.target not in {torch.addmm, torch.ops.aten.addmm.default}:
        return None
    bias, x, matrix = nodes
    turned = [part for part in matrix.all_input_nodes if operator_name(matrix) == "t"]
    return _Projection(x, turned[0] if turned else source.add(torch.t, matrix), bias)


def _width(node: fx.Node) -> int:
    return int(node.meta["val"].shape[1])


def _size(node: fx.Node) -> int:
    return prod(map(int, node.meta["val"].shape))
