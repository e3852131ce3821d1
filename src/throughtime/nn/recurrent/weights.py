"""A recurrent module's parameters: names and shapes, found once, and values, checked at every call."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from throughtime.errors import InputTypeError, ShapeError
from throughtime.ops.linear import linear
from throughtime.ops.recurrent.native import RecurrentStack, native_stack
from throughtime.ops.recurrent.spec import CellSpec
from throughtime.ops.recurrent.weights import CONTEXT, NAMES, Weights, weight_shapes


class HasParameters(Protocol):
    """Protocol of a module with parameters."""

    _parameters: dict[str, nn.Parameter | None]


@dataclass(frozen=True)
class Place:
    """The parameters of one layer and direction.

    Parameters
    ----------
    names
        As `Weights` begins: ih, hh, both biases and hr; None for what the layer does not have.
    own
        Those of `CellSpec.own_parameters`.
    context
        The weights of a context, or None.
    shapes
        By name.
    """

    names: tuple[str | None, ...]
    own: tuple[str, ...]
    context: str | None
    shapes: Mapping[str, tuple[int, ...]]

    def named(self, weights: Weights) -> dict[str, Tensor]:
        """Return these weights, whose context is the parameter, by the names of their parameters."""
        named = {name: value for name, value in zip(self.names, weights, strict=False) if value is not None}
        if weights.own is not None:
            sizes = [self.shapes[name][0] for name in self.own]
            named |= zip(self.own, weights.own.split(sizes), strict=True)
        if weights.context is not None:
            named[self.context] = weights.context
        return named  # type: ignore[return-value]


class WeightPlan:
    """Where the weights of a module's layers and directions are: the only code that collects them.

    Parameters
    ----------
    spec
        The cell.
    module
        The name of the module's class, for errors.
    inputs, hidden, projection, context
        I, H, P and C, the last two 0 for none.
    suffixes
        What the names of parameters end with, for each layer its directions.
    biased
        Whether there are biases.
    """

    def __init__(
        self,
        spec: CellSpec,
        module: str,
        inputs: int,
        hidden: int,
        projection: int = 0,
        context: int = 0,
        *,
        suffixes: Sequence[Sequence[str]] = (("",),),
        biased: bool,
    ) -> None:
        self.module = module
        self.sizes = inputs, hidden, projection
        self.biased = biased
        width = (projection or hidden) * len(suffixes[0])
        self.layers = tuple(
            tuple(
                _place(spec, width if number else inputs, hidden, projection, context, suffix, biased=biased)
                for suffix in row
            )
            for number, row in enumerate(suffixes)
        )
        self.spec = spec
        self.joins = len(spec.own_parameters) > 1

    @property
    def places(self) -> Iterator[Place]:
        """All layers and directions, in the order of states."""
        return chain.from_iterable(self.layers)

    @cached_property
    def stack(self) -> RecurrentStack:
        """The native code of all layers, which looks at the parameters by their names itself."""
        inputs, hidden, projection = self.sizes
        return native_stack(
            self.spec,
            tuple((*filter(None, place.names), *place.own) for place in self.places),
            inputs,
            hidden,
            projection,
            directions=len(self.layers[0]),
            biased=self.biased,
        )

    def weights(
        self, module: HasParameters, dtype: torch.dtype, context: Tensor | None = None
    ) -> list[tuple[Weights, ...]]:
        """Return what acts on the tokens, for each layer its directions, whatever has put it in its place.

        Parameters
        ----------
        dtype
            That of the computation.
        context
            (B, C), what each sequence adds to the gates by weights of its own, or None.

        Raises
        ------
        ShapeError
            If a parameter does not have the shape that the layer's sizes imply.
        InputTypeError
            If the parameters are not floating-point, of several dtypes or on several devices.
        """
        return [tuple(self._at(place, module, dtype, context) for place in row) for row in self.layers]

    def parameters(self, module: HasParameters) -> list[tuple[Weights, ...]]:
        """Return the parameters as they are, detached; the context is the parameter, (G·H, C)."""
        return [
            tuple(
                _weights([_detached(module, name) for name in (*place.names, *place.own, place.context)])
                for place in row
            )
            for row in self.layers
        ]

    def named(self, layers: Sequence[Sequence[Weights]]) -> dict[str, Tensor]:
        """Return weights, whose context is the parameter, by the names of the module's parameters."""
        return {
            name: value
            for row, directions in zip(self.layers, layers, strict=True)
            for place, weights in zip(row, directions, strict=True)
            for name, value in place.named(weights).items()
        }

    def joined(self, layers: Iterable[tuple[Any, ...]]) -> tuple[tuple[Tensor | None, ...], ...]:
        """Return the weights that `stack` has found, several parameters of the cell's own as one tensor."""
        return tuple(
            [tuple([_joined(part) if type(part) is tuple else part for part in parts]) for parts in layers]
        )

    def _at(self, place: Place, module: HasParameters, dtype: torch.dtype, context: Tensor | None) -> Weights:
        # A parameter can be exchanged for any tensor (``layer.weight_hh_l0 = …``, `functional_call`), and
        # native code would read beyond the end of a smaller one.
        names = [*place.names, *place.own, None if context is None else place.context]
        values = [None if name is None else _value(module, name) for name in names]
        self._check(place, names, values)
        if values[0].dtype != dtype:  # type: ignore[union-attr]
            values = [None if value is None else value.to(dtype) for value in values]
        if context is not None:
            with torch.autocast(context.device.type, enabled=False):
                values[-1] = linear(context, values[-1])  # type: ignore[arg-type]
        return _weights(values)

    def _check(self, place: Place, names: list[str | None], values: list[Tensor | None]) -> None:
        dtype, device = values[0].dtype, values[0].device  # type: ignore[union-attr]
        for name, value in zip(names, values, strict=True):
            if name is None or value is None:
                continue
            if value.shape != place.shapes[name]:
                raise ShapeError(
                    f"{self.module}: the parameter {name} has shape {tuple(value.shape)}, expected "
                    f"{place.shapes[name]}; to change sizes, construct a new layer"
                )
            if value.dtype != dtype or value.device != device:
                raise InputTypeError(
                    f"{self.module}: the parameter {names[0]} is {dtype} on {device}, {name} is "
                    f"{value.dtype} on {value.device}; convert the whole layer with layer.to(...)"
                )
        if not dtype.is_floating_point:
            raise InputTypeError(
                f"{self.module} computes with real floating-point numbers, its parameters are {dtype}; "
                "convert the layer with layer.to(torch.float32)"
            )

    def __getstate__(self) -> dict[str, Any]:
        """Leave the native code out: a copy makes its own."""
        return {name: value for name, value in self.__dict__.items() if name != "stack"}


def plan_of_layer(layer: nn.RNNBase, spec: CellSpec, context: int = 0) -> WeightPlan:
    """Return where the weights of one of torch's recurrent layers, or of ours, are."""
    suffixes = [names[0].removeprefix("weight_ih") for names in layer._all_weights]  # noqa: SLF001 - torch's
    count = 2 if layer.bidirectional else 1
    return WeightPlan(
        spec,
        type(layer).__name__,
        layer.input_size,
        layer.hidden_size,
        layer.proj_size,
        context,
        suffixes=[suffixes[first : first + count] for first in range(0, len(suffixes), count)],
        biased=bool(layer.bias),
    )


def plan_of_cell(cell: nn.RNNCellBase, spec: CellSpec) -> WeightPlan:
    """Return where the weights of one of torch's cells, or of ours, are."""
    name, inputs, hidden = type(cell).__name__, cell.input_size, cell.hidden_size
    if torch.compiler.is_compiling():  # it does not look into a cache, and makes the plan once for each graph
        return WeightPlan(spec, name, inputs, hidden, biased=bool(cell.bias))
    return known_plan_of_cell(spec.name, name, inputs, hidden, cell.bias)


@lru_cache(maxsize=256)
def known_plan_of_cell(spec: str, module: str, inputs: int, hidden: int, bias: bool) -> WeightPlan:  # noqa: FBT001
    """Return the plan, given the name of the spec, which hashes faster than the spec."""
    return WeightPlan(CellSpec.parse(spec), module, inputs, hidden, biased=bool(bias))


def _joined(own: Sequence[Any]) -> Tensor | None:
    """Return the cell's own parameters, one below the other; None if there are none."""
    if len(own) > 1:
        return torch.cat(tuple(own))
    return own[0] if own else None


def _value(module: HasParameters, name: str) -> Tensor:
    own = module._parameters  # noqa: SLF001 - where they mostly are; torch's own look-up is slow
    value: Tensor = own[name] if name in own else getattr(module, name)  # type: ignore[assignment]
    return value


def _detached(module: HasParameters, name: str | None) -> Tensor | None:
    return None if name is None else _value(module, name).detach()


def _weights(values: Sequence[Tensor | None]) -> Weights:
    """Put together what is named in `NAMES`, the cell's own parameters, and the context."""
    ih, hh, bias_ih, bias_hh, hr, *own, context = values
    return Weights(ih, hh, bias_ih, bias_hh, hr, _joined(own), context)  # type: ignore[arg-type]


def _place(
    spec: CellSpec,
    features: int,
    hidden: int,
    projection: int,
    context: int,
    suffix: str,
    *,
    biased: bool,
) -> Place:
    shapes = weight_shapes(
        spec.gates, spec.own_parameters, features, hidden, projection=projection, context=context
    )
    lacks = {"bias_ih": not biased, "bias_hh": not biased, "weight_hr": not projection, CONTEXT: not context}
    return Place(
        tuple(None if lacks.get(name) else name + suffix for name in NAMES),
        tuple(name + suffix for name in spec.own_parameters),
        None if lacks[CONTEXT] else CONTEXT + suffix,
        {name + suffix: shape for name, shape in shapes.items() if not lacks.get(name)},
    )
