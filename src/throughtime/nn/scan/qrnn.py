"""`QRNN`: quasi-recurrent networks, convolutions in time with a pooling that has a state."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.description.kinds import Stateful, WholeSequence
from throughtime.nn.description.operator import Operator
from throughtime.nn.inputs.tokens import Input, is_unbatched
from throughtime.nn.recurrence.places import Place
from throughtime.nn.recurrent.carrying import rows_after
from throughtime.nn.scan.layer import PlaceResult, ScanLayer, Traced
from throughtime.nn.scan.tracing import Added
from throughtime.ops.conv.layer import conv1d
from throughtime.ops.recurrent.steps import ragged_steps
from throughtime.ops.scan.gated_output import gated_output
from throughtime.ops.scan.gates import BLOCKS, Gates
from throughtime.ops.sigmoid import sigmoid
from throughtime.ops.windows import Windows
from throughtime.ragged import Ragged

Pooling = Literal["f", "fo", "ifo"]

_GATES: dict[Pooling, Gates] = {"f": "forget", "fo": "forget", "ifo": "separate"}


class QRNN(ScanLayer):
    r"""Quasi-recurrent network, which runs in parallel over time.

    .. code-block:: text

        z_t = tanh(W_z * x)_t                              (1)
        f_t = σ(W_f * x)_t                                 (2)
        o_t = σ(W_o * x)_t    with "fo" and "ifo"          (3)
        i_t = σ(W_i * x)_t    with "ifo"                   (4)
        c_t = f_t ⊙ c_{t−1} + (1 − f_t) ⊙ z_t              (5)   "f", "fo"
        c_t = f_t ⊙ c_{t−1} + i_t ⊙ z_t                    (6)   "ifo"
        h_t = o_t ⊙ c_t, with "f" h_t = c_t                (7)

    W * x are causal convolutions with kernels of k steps: they see x_{t−k+1} … x_t, and zeros before the
    first step. (5) and (6) are linear recurrences, whose steps threads share; see `MinGRU`. Zoneout on f
    (section 2.1 of [1]_) is not applied.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    num_layers
        Layers one on top of the other.
    bias
        Whether there are b.
    batch_first
        Whether plain tensors are (B, L, I) and not (L, B, I).
    dropout
        Probability of dropout on the output of each layer but the last, in training.
    bidirectional
        Whether a second recurrence reads from the end; outputs are side by side.
    device, dtype
        Of the parameters: ``weight_ih_l0`` (blocks · H, I, k), rows of f, i with "ifo", z, o but with "f";
        ``bias_ih_l0``; ``…_l0_reverse``, ``…_l1``, … of the other directions and layers.
    kernel_size : int
        k, of all layers.
    pooling : "f", "fo" or "ifo"
        Which gates there are.

    Returns
    -------
    output
        (T, H), h of every step, of the kind that came in.
    state : tuple
        c of each sequence's last step, (layers · directions, B, H), and the last k − 1 inputs of each layer
        and direction, a tuple of tensors (B, k − 1, its features).

    Raises
    ------
    ShapeError, InputTypeError
        If the input or the state does not fit; the message names both sides.

    References
    ----------
    .. [1] J. Bradbury, S. Merity, C. Xiong and R. Socher, "Quasi-recurrent neural networks", ICLR (2017),
       section 2, equations (1) to (4).

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer = tt.nn.QRNN(3, 5, kernel_size=2)
    >>> output, (c, inputs) = layer(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)]))
    >>> output, tuple(c.shape), tuple(inputs[0].shape)
    (Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True), (1, 2, 5), (2, 1, 3))
    """

    state_name = "c"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        batch_first: bool = False,  # noqa: FBT001, FBT002
        dropout: float = 0.0,
        bidirectional: bool = False,  # noqa: FBT001, FBT002
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        kernel_size: int = 2,
        pooling: Pooling = "fo",
    ) -> None:
        if kernel_size < 1:
            raise ShapeError(f"QRNN: kernel_size is at least 1, got {kernel_size}")
        if pooling not in _GATES:
            raise ShapeError(f"QRNN: pooling is 'f', 'fo' or 'ifo', got {pooling!r}")
        self._kernel_size, self._pooling = kernel_size, pooling
        super().__init__(
            (input_size, hidden_size, num_layers),
            (bias, batch_first, bidirectional),
            dropout,
            _GATES[pooling],
            "tanh",
            device=device,
            dtype=dtype,
        )

    @property
    def kernel_size(self) -> int:
        """How many steps a window has, k."""
        return self._kernel_size

    @property
    def pooling(self) -> Pooling:
        """Which gates there are."""
        return self._pooling

    def describe(self) -> Stateful | WholeSequence:
        """Return how the layer passes on its state; with both directions it reads whole sequences."""
        return self._description()

    def operators(self) -> tuple[Operator, ...]:
        """Return the layer itself, whose weights and gates an exporter reads."""
        return super().operators()

    def _options(self) -> dict[str, tuple[Any, Any]]:
        return {"kernel_size": (self.kernel_size, 2), "pooling": (self.pooling, "fo")}

    def _blocks(self, features: int) -> int:
        del features
        return BLOCKS[self.gates] + (self.pooling != "f")

    def _shapes(self, features: int) -> dict[str, tuple[int, ...]]:
        shapes = super()._shapes(features)
        return {**shapes, "weight_ih": (*shapes["weight_ih"], self.kernel_size)}

    def _run(self, place: Place, x: Ragged, start: Any, added: Added | None) -> PlaceResult:
        c0, window = start
        read = x.reverse() if place.reverse else x
        products = self._convolved(place, read, window)
        if place.reverse:
            products = [x.with_values(product).reverse().values for product in products]
        if window is None:
            window = x.values.new_zeros(x.layout.num_sequences, self.kernel_size - 1, place.features)
        result = self._recur(x, products, c0, added, reverse=place.reverse)
        return result._replace(window=_last_steps(window, read), before=(window, read))

    def _convolved(self, place: Place, x: Ragged, window: Tensor | None) -> list[Tensor]:
        """Return the pre-activations of sequences in the order of reading.

        ``window`` has the inputs before them, (B, k − 1, D); None for zeros.
        """
        reach = self.kernel_size - 1
        if window is None or not reach:
            seen, windows = x, Windows(self.kernel_size, left=reach)
        else:
            seen, windows = _behind(window, x), Windows(self.kernel_size)
        weight, bias = self._parameters_of(place, x.dtype)
        products = []
        for rows in self._rows(place.features):
            of_rows = None if bias is None else bias[rows]
            product, _ = conv1d(seen.values, seen.layout, weight[rows], of_rows, windows)
            if torch.compiler.is_compiling():  # a graph does not know it
                torch._check(product.shape[0] == x.values.shape[0])  # noqa: SLF001
            products.append(product)
        return products

    def _output(self, h: Tensor, x: Tensor, products: list[Tensor], traced: Traced | None) -> Tensor:
        del x
        if not products:
            return h
        if traced is None:
            return gated_output(products[0], h)
        return traced.name("h", traced.name("output", sigmoid(products[0])) * h)

    def _starts(self, state: Any, x: Input, ragged: Ragged) -> Callable[[int, Ragged], Any]:
        if state is None:
            return lambda number, x: (None, None)  # noqa: ARG005
        places = len(self._places)
        if not isinstance(state, tuple | list) or len(state) != 2 or not isinstance(state[1], tuple | list):
            raise InputTypeError(
                "QRNN takes a pair as its state: c, and a tuple of the last inputs of each layer, got "
                f"{type(state).__name__}"
            )
        c0, inputs = super()._starts(state[0], x, ragged), list(state[1])
        if len(inputs) != places or not all(isinstance(part, Tensor) for part in inputs):
            raise InputTypeError(f"QRNN: the last inputs are {places} tensors, got {len(inputs)}")

        def start(number: int, at: Ragged) -> Any:
            window = inputs[number].unsqueeze(0) if is_unbatched(x) else inputs[number]
            expected = (at.layout.num_sequences, self.kernel_size - 1, self._places[number].features)
            if window.shape != expected:
                raise ShapeError(
                    f"QRNN: the last inputs of layer {number} have shape {tuple(window.shape)}, expected "
                    f"{expected}"
                )
            return c0(number, at), window.to(at.dtype)

        return start

    def _initial(self, batch: int) -> list[Tensor]:
        windows = [
            self._weight.new_zeros(batch, self.kernel_size - 1, place.features) for place in self._places
        ]
        return [*super()._initial(batch), *windows]

    def _given(self, leaves: list[Tensor], x: Input) -> Any:
        windows = leaves[1:]
        if is_unbatched(x):
            windows = [window.squeeze(0) for window in windows]
        return super()._given(leaves, x), tuple(windows)

    def _states_after(
        self, after: int | None, x: Ragged, places: list[PlaceResult], dtype: torch.dtype
    ) -> list[Tensor]:
        windows = [place.window for place in places if place.window is not None]
        if after is not None and len(x.values):
            ends = rows_after(ragged_steps(x.layout), after, len(x.values)).to(x.device)
            windows = [_steps_up_to(ends, *place.before) for place in places if place.before is not None]
        return [*super()._states_after(after, x, places, dtype), *(window.to(dtype) for window in windows)]

    def _after(self, x: Input, places: list[PlaceResult], cast: Callable[[Tensor], Tensor]) -> Any:
        windows = [cast(place.window) for place in places if place.window is not None]
        if is_unbatched(x):
            windows = [window.squeeze(0) for window in windows]
        return super()._after(x, places, cast), tuple(windows)


def _behind(window: Tensor, x: Ragged) -> Ragged:
    """Return sequences behind the steps before them, (B, steps, D)."""
    count, steps = window.shape[:2]
    offsets = torch.arange(count + 1, device=x.device) * steps
    joined: Ragged = Ragged.cat_time([Ragged(window.flatten(0, 1), offsets), x])
    return joined


def _last_steps(window: Tensor, x: Ragged) -> Tensor:
    """Return the last steps of each sequence, as many as came before it in ``window`` (B, steps, D)."""
    sequences = torch.arange(window.shape[0], device=x.device)
    return _steps_before(x.offsets[1:], x.offsets[:-1], sequences, window, x)


def _steps_up_to(last: Tensor, window: Tensor, x: Ragged) -> Tensor:
    """Return the steps up to each of the tokens ``last``, as many as ``window`` has."""
    sequences = x.layout.sequence_ids.index_select(0, last)
    return _steps_before(last + 1, x.offsets.index_select(0, sequences), sequences, window, x)


def _steps_before(ends: Tensor, begins: Tensor, sequences: Tensor, window: Tensor, x: Ragged) -> Tensor:
    """Return the steps (N, steps, D) before the tokens ``ends`` of sequences that begin at ``begins``."""
    steps = window.shape[1]
    numbers = torch.arange(steps, device=x.device)
    of_tokens = ends[:, None] - steps + numbers
    # What a sequence has too few steps for is of the window, whose steps move up by as many as there are.
    of_window = x.values.shape[0] + sequences[:, None] * steps + numbers + (ends - begins)[:, None]
    rows = torch.where(of_tokens < begins[:, None], of_window, of_tokens)
    values = torch.cat((x.values, window.flatten(0, 1)))
    return values.index_select(0, rows.flatten()).view(sequences.shape[0], *window.shape[1:])
