"""`packed_sequences`: torch.export of modules that pack and pad inside their forward."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_compiling
from torch.overrides import TorchFunctionMode


@contextmanager
def packed_sequences() -> Iterator[None]:
    """Let torch.export record ``pack_padded_sequence`` and ``pad_packed_sequence``.

    Inside the context, `torch.export.export` and ``torch.onnx.export(dynamo=True)`` record both functions of
    `torch.nn.utils.rnn` as indexing operations with dynamic batch size and lengths. Without it, torch 2.13
    records a wrong number of tokens for the first, and refuses the second. Results and gradients are the
    same. Calls outside an export are left as they are. It has no effect with ``strict=True``, which does
    not trace into ``pack_padded_sequence``.

    Raises
    ------
    RuntimeError
        When the exported program runs with lengths below 1, above the number of steps, or, with
        ``enforce_sorted=True``, not in descending order.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
    >>> class Tagger(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.lstm = tt.nn.LSTM(3, 5, batch_first=True)
    ...     def forward(self, x, lengths):
    ...         packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    ...         return pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0]
    >>> model, dynamic = Tagger().eval(), torch.export.Dim.DYNAMIC
    >>> example = torch.randn(2, 7, 3), torch.tensor([4, 7])
    >>> with tt.export.packed_sequences():
    ...     program = torch.export.export(
    ...         model, example, dynamic_shapes=({0: dynamic, 1: dynamic}, {0: dynamic})
    ...     )
    >>> x, lengths = torch.randn(3, 9, 3), torch.tensor([2, 9, 5])
    >>> torch.allclose(program.module()(x, lengths), model(x, lengths), atol=1e-6)
    True
    """
    with _Recorded():
        yield


class _Recorded(TorchFunctionMode):
    """Replaces torch's two functions by operations that have a shape for every batch."""

    def __init__(self) -> None:
        super().__init__()
        # The lengths that batch sizes were made from, with them, so that no other tensor has their id.
        self._lengths: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        replacements: dict[str, Callable[..., Any]] = {
            "_pack_padded_sequence": self._packed,
            "_pad_packed_sequence": self._padded,
        }
        name = getattr(function, "__name__", "")
        if name in replacements and is_compiling():
            return replacements[name](*args)
        return function(*args, **(kwargs or {}))

    def _packed(self, x: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor]:  # noqa: FBT001
        """Return the tokens of all first steps, all second ones, …, and how many these are."""
        rows = x.transpose(0, 1) if batch_first else x
        _check_lengths(lengths, rows.shape[0])
        inside = _inside(lengths, rows.shape[0])
        index = inside.flatten().nonzero().squeeze(1)
        data = rows.flatten(0, 1).index_select(0, index.to(x.device))
        longest: int = lengths[0].item()  # type: ignore[assignment]
        torch._check(longest > 0)  # noqa: SLF001
        torch._check(longest <= rows.shape[0])  # noqa: SLF001
        sizes = inside.sum(1).narrow(0, 0, longest)
        self._lengths[id(sizes)] = sizes, lengths
        return data, sizes

    def _padded(
        self,
        data: Tensor,
        sizes: Tensor,
        batch_first: bool,  # noqa: FBT001 - torch's signature
        padding_value: float,
        steps: int,
    ) -> tuple[Tensor, Tensor]:
        """Return the padded batch of as many steps, and the lengths."""
        lengths = self._lengths[id(sizes)][1] if id(sizes) in self._lengths else _lengths_of(sizes)
        inside = _inside(lengths, steps).flatten()
        row_of_padding = data.new_full((1, *data.shape[1:]), padding_value)
        rows = torch.where(inside, inside.cumsum(0) - 1, data.shape[0])
        flat = torch.cat([data, row_of_padding]).index_select(0, rows.to(data.device))
        padded = flat.view(steps, lengths.shape[0], *data.shape[1:])
        return padded.transpose(0, 1) if batch_first else padded, lengths


def _check_lengths(lengths: Tensor, steps: int) -> None:
    torch._assert_async(  # noqa: SLF001
        ((lengths > 0) & (lengths <= steps)).all(),
        "pack_padded_sequence: lengths must be between 1 and the number of steps",
    )
    torch._assert_async(  # noqa: SLF001
        (lengths == lengths.sort(descending=True).values).all(),
        "pack_padded_sequence: lengths must be in descending order; use enforce_sorted=False",
    )


def _inside(lengths: Tensor, steps: int) -> Tensor:
    """(L, B) bool: whether a step belongs to its sequence."""
    return torch.arange(steps)[:, None] < lengths


def _lengths_of(sizes: Tensor) -> Tensor:
    """(B,) int64: the lengths of sequences, of which as many are left at each step."""
    return (torch.arange(sizes[0].item())[:, None] < sizes).sum(1)
