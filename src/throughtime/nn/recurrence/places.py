"""Base of multi-layer recurrent modules: the arguments of torch.nn, and layers and directions by name."""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn

from throughtime.errors import ShapeError
from throughtime.nn.description.kinds import Stateful, WholeSequence


class Place(NamedTuple):
    """One direction of one layer: its name, the number of input features, and whether it runs backward.

    ``suffix`` is l0, l0_reverse, l1, …, the ends of the names of torch's parameters.
    """

    suffix: str
    features: int
    reverse: bool


class PlacedLayer(nn.Module):
    """Stacked layers, each unidirectional or bidirectional.

    Parameters
    ----------
    sizes
        input_size, hidden_size and num_layers.
    flags
        bias, batch_first and bidirectional.
    dropout
        Probability of dropout on the output of each layer but the last, in training.
    """

    step: Callable[..., tuple[Tensor, Any]]

    def __init__(self, sizes: tuple[int, int, int], flags: tuple[bool, bool, bool], dropout: float) -> None:
        super().__init__()
        name = type(self).__name__
        for label, size in zip(("input_size", "hidden_size", "num_layers"), sizes, strict=True):
            if size < 1:
                raise ShapeError(f"{name}: {label} is at least 1, got {size}")
        if not 0 <= dropout <= 1:
            raise ShapeError(f"{name}: dropout is a probability, from 0 to 1; got {dropout}")
        self.input_size, self.hidden_size, self.num_layers = sizes
        self.bias, self.batch_first, self.bidirectional = flags
        self.dropout = float(dropout)

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def _places(self) -> list[Place]:
        return [
            Place(
                f"l{number}{'_reverse' if reverse else ''}",
                self.hidden_size * self._directions if number else self.input_size,
                reverse,
            )
            for number in range(self.num_layers)
            for reverse in (False, True)[: self._directions]
        ]

    def extra_repr(self) -> str:
        """Return the arguments that are not defaults."""
        options: dict[str, tuple[Any, Any]] = {
            "num_layers": (self.num_layers, 1),
            "bias": (self.bias, True),
            "batch_first": (self.batch_first, False),
            "dropout": (self.dropout, 0.0),
            "bidirectional": (self.bidirectional, False),
            **self._options(),
        }
        changed = (f"{name}={value!r}" for name, (value, default) in options.items() if value != default)
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *changed])

    def _options(self) -> dict[str, tuple[Any, Any]]:
        """Return the value and default of each argument that torch's layers do not have."""
        return {}

    def _description(self) -> Stateful | WholeSequence:
        if self.bidirectional:
            return WholeSequence("reads from the end, too")
        return Stateful(self, self.step)

    def _check_step(self, x_t: Any) -> None:
        """Check the input of a step."""
        name = type(self).__name__
        if self.bidirectional:
            raise ShapeError(
                f"{name}.step: a bidirectional layer reads from the end, too, which a stream does not have "
                "yet; use bidirectional=False, or call the layer on whole sequences"
            )
        if not isinstance(x_t, Tensor) or x_t.dim() not in {1, 2}:
            kind = f"shape {tuple(x_t.shape)}" if isinstance(x_t, Tensor) else type(x_t).__name__
            raise ShapeError(f"{name}.step takes one token (I,), or one of each stream (B, I), got {kind}")
