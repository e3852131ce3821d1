"""What a recurrent layer returns, and what a layer accepts as its input."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from throughtime.errors import InputTypeError, ShapeError
from throughtime.ragged import Ragged


class RecurrentOutput(NamedTuple):
    """The pair ``output, state`` that every recurrent layer returns.

    It unpacks as torch's pair does, and can be made from an iterable of both parts as a tuple can. Given to a
    torch function as it is, it stands for its ``output``, so that
    ``nn.Sequential(nn.Embedding(…), tt.nn.LSTM(…), nn.Linear(…))`` works.
    """

    output: Any
    state: Any

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: tuple[type, ...],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        def is_pair(leaf: object) -> bool:
            return isinstance(leaf, cls)

        def output(leaf: Any) -> Any:
            return leaf.output if is_pair(leaf) else leaf

        args, kwargs = pytree.tree_map(output, (args, dict(kwargs or {})), is_leaf=is_pair)
        return func(*args, **kwargs)

    def dim(self) -> int:
        """Return the number of dimensions of the output (for torch's BatchNorm)."""
        dimensions: int = self.output.dim()
        return dimensions


_MISSING = object()


def _new(cls: type[RecurrentOutput], output: Any, state: Any = _MISSING) -> RecurrentOutput:
    """Make a pair of its parts, or of an iterable of both, as torch's own named results are made."""
    if state is not _MISSING:
        return tuple.__new__(cls, (output, state))
    if isinstance(output, Tensor | Ragged) or not isinstance(output, Iterable):
        raise InputTypeError(
            "RecurrentOutput takes an output and a state, or an iterable of both, got "
            f"{type(output).__name__}"
        )
    parts = tuple(output)
    if len(parts) != 2:
        raise ShapeError(f"RecurrentOutput has two parts, output and state, got {len(parts)}")
    return tuple.__new__(cls, parts)


# Not in the class body, where typing.NamedTuple allows no __new__; a subclass would be no named tuple to
# torch.compile.
RecurrentOutput.__new__ = _new  # type: ignore[method-assign, assignment]
# With a name of its own, programs that return one can be saved by `torch.export.save`.
pytree._register_namedtuple(  # noqa: SLF001 - the one way there is
    RecurrentOutput, serialized_type_name="throughtime.nn.RecurrentOutput"
)
# And `torch.load` reads one by default.
torch.serialization.add_safe_globals([RecurrentOutput])


def unwrapped(x: Any) -> Any:
    """Return the output of a recurrent layer's pair, and anything else as it is."""
    return x.output if isinstance(x, RecurrentOutput) else x


def as_ragged(x: object, layer: str) -> Ragged:
    """Return the ragged batch that came in, alone or as the output of a recurrent layer."""
    x = unwrapped(x)
    if isinstance(x, Ragged):
        return x
    kind = f"a tensor of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
    raise InputTypeError(
        f"{layer} takes a Ragged, got {kind}; make one with Ragged.from_list, or with "
        "Ragged.from_padded(x, lengths=...) where there is padding"
    )


def sequences_of(x: object, layer: str) -> Ragged:
    """Return the ragged batch that came in; a tensor (N, C, L) is N sequences of L steps."""
    x = unwrapped(x)
    if not isinstance(x, Tensor) or x.dim() != 3:
        return as_ragged(x, layer)
    tokens = x.transpose(1, 2)
    return Ragged.from_lengths(tokens.reshape(-1, x.shape[1]), [x.shape[2]] * len(x))


def check_real(x: Ragged | Tensor, layer: str) -> None:
    """Refuse complex tokens, which have no order and no variance that a layer could mean."""
    values = x.values if isinstance(x, Ragged) else x
    if values.is_complex():
        raise InputTypeError(
            f"{layer} takes real numbers, got {values.dtype}; give it both parts as features, or a "
            "magnitude such as x.abs()"
        )


def check_features(x: Ragged, expected: int, layer: str) -> None:
    """Refuse tokens whose feature shape is not ``(expected,)``."""
    if x.shape[1:] != (expected,):
        raise ShapeError(
            f"{layer} expects {expected} features per token, got tokens of shape {tuple(x.shape[1:])}"
        )
