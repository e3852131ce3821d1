"""`filter_ngrams`: the n-grams that activate each filter of a convolution most, and the filter's effect."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.diagnose._features import BatchFeatures
from throughtime.errors import InputTypeError, ShapeError, UnsupportedError
from throughtime.nn import ConvBlock
from throughtime.nn.description.field import ReceptiveField
from throughtime.nn.description.receptive_field import receptive_field
from throughtime.ops.modes import evaluating
from throughtime.ragged import Ragged

OUTSIDE = -1
"""Token of a step before the start or after the end of its sequence."""


@dataclass(frozen=True, eq=False)
class FilterNgrams:
    """n-grams of one convolution with C filters, for each filter the k with the highest activation.

    The n-grams of a filter are distinct, in descending order of activation. There are fewer than k if the
    batch has fewer distinct ones.

    Parameters
    ----------
    name : str
        Name of the module.
    field : ReceptiveField
        Steps that an output step reads; its ``size`` is the n of the n-grams.
    activation : Tensor
        (C, k) output of the module, after its normalisation and activation.
    ngrams : Tensor or None
        (C, k, n) int64 tokens, -1 outside of the sequence; None for a batch of features.
    sequence, step : Tensor
        (C, k) int64: where an occurrence is, sequence and first step; negative if the n-gram begins before
        its sequence.
    count : Tensor
        (C, k) int64: occurrences in the batch.
    effect : Tensor or None
        (N, C) mean over sequences of Σ_t ∂f_n/∂a_tc, the change of output n per unit of activation of filter
        c. For a linear head on pooled activations this is the head's weight. None if the model's output is
        not (B, N).
    """

    name: str
    field: ReceptiveField
    activation: Tensor
    ngrams: Tensor | None
    sequence: Tensor
    step: Tensor
    count: Tensor
    effect: Tensor | None

    def __len__(self) -> int:
        return len(self.activation)


def filter_ngrams(
    model: nn.Module, batch: Ragged, k: int = 5, *, features_of: nn.Module | None = None
) -> tuple[FilterNgrams, ...]:
    r"""Return, for each filter that reads the tokens directly, the k n-grams that activate it most.

    A filter c of width n computes a_tc = g(b_c + Σ_j w_cj · x_{t+j}) from the features of n tokens, so it
    detects n-grams. They are searched among all n-grams of the batch; equal n-grams count once. The model
    runs in evaluation mode. The activations of all tokens are held in memory.

    Parameters
    ----------
    model : Module
        Its convolutions (`throughtime.nn.ConvBlock`, `throughtime.nn.Conv1d`) whose input are the features of
        the tokens are measured, such as all of `throughtime.models.TextCNN`.
    batch : Ragged
        (T,) of integers, or (T, D) of features.
    k
        Number of n-grams per filter.
    features_of : Module, optional
        The module whose output is taken as the features; by default the model's only `torch.nn.Embedding`.

    Returns
    -------
    tuple of FilterNgrams
        One for each convolution, in the order in which they run.

    Raises
    ------
    UnsupportedError
        If no convolution reads the features directly, or the model has no embedding or several.
    ShapeError, InputTypeError
        If the batch has no tokens or is no Ragged, or ``k`` is below 1.

    References
    ----------
    .. [1] A. Jacovi, O. Sar Shalom and Y. Goldberg, "Understanding convolutional neural networks for text
       classification", BlackboxNLP (2018), section 3.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.TextCNN(vocabulary_size=10, outputs=2, channels=4, kernel_sizes=(2, 3))
    >>> batch = tt.Ragged.from_list([torch.tensor([1, 2, 3, 1, 2]), torch.tensor([4])])
    >>> bigrams, trigrams = tt.diagnose.filter_ngrams(model, batch, k=3)
    >>> bigrams.name, bigrams.field.size, tuple(bigrams.ngrams.shape)
    ('convolutions.blocks.0', 2, (4, 3, 2))
    >>> torch.allclose(bigrams.effect, model.output.weight[:, :4])  # the linear head's weights
    True
    """
    if not isinstance(batch, Ragged):
        raise InputTypeError(f"filter_ngrams takes a Ragged batch, got {type(batch).__name__}")
    if not len(batch.values):
        raise ShapeError("this batch has no tokens, so it has no n-grams; give at least one token")
    if k < 1:
        raise ShapeError(f"k must be at least 1, got {k}")
    features = BatchFeatures(model, batch, features_of)
    with evaluating(model):
        runs, output = _run(features)
        if not runs:
            raise UnsupportedError(
                f"{type(model).__name__} has no convolution whose input are the features of the tokens; "
                "filter_ngrams needs one, as in TextCNN"
            )
        effects = _effects(output, [run.output.values for run in runs])
        return tuple(_ngrams(run, batch, k, effect) for run, effect in zip(runs, effects, strict=True))


@dataclass(frozen=True, eq=False)
class _Run:
    """One convolution and its output, a leaf of the graph of the model's output."""

    name: str
    module: nn.Module
    output: Ragged


def _run(features: BatchFeatures) -> tuple[list[_Run], Any]:
    """Return the convolutions that read the features, with their outputs, and the model's output."""
    values, runs = features.features(), list[_Run]()
    with _hooked(features.model, values, runs.append), torch.enable_grad():
        return runs, features.output_with(features.batch, values)


@contextmanager
def _hooked(model: nn.Module, features: Tensor, record: Callable[[_Run], None]) -> Iterator[None]:
    """Record the outputs of convolutions whose input are these features, and detach them."""

    def hook(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], Ragged | None]:
        def detach(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Ragged | None:
            if not _reads(inputs[0], features):
                return None
            leaf: Ragged = output.with_values(output.values.detach().requires_grad_())
            record(_Run(name, module, leaf))
            return leaf

        return detach

    handles = [module.register_forward_hook(hook(name)) for name, module in _convolutions(model)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _reads(input: Any, features: Tensor) -> bool:  # noqa: A002 - torch's name
    return (
        isinstance(input, Ragged)
        and input.values.shape == features.shape
        and input.values.data_ptr() == features.data_ptr()
    )


def _convolutions(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the blocks, and convolutions outside of blocks, with their names."""
    inside: set[nn.Module] = set()
    for name, module in model.named_modules():
        if module not in inside and isinstance(module, ConvBlock | nn.Conv1d):
            inside.update(module.modules())
            yield name or type(module).__name__, module


def _effects(output: Any, activations: list[Tensor]) -> list[Tensor | None]:
    """Return (N, C) for each convolution: the mean over sequences of the gradients summed over steps."""
    if not isinstance(output, Tensor) or output.dim() != 2 or not output.requires_grad:
        return [None] * len(activations)
    rows = [
        torch.autograd.grad(total, activations, retain_graph=True, materialize_grads=True)
        for total in output.mean(0)
    ]
    return [torch.stack([gradient.sum(0) for gradient in gradients]) for gradients in zip(*rows, strict=True)]


def _ngrams(run: _Run, batch: Ragged, k: int, effect: Tensor | None) -> FilterNgrams:
    field = receptive_field(run.module)
    activation, layout = run.output.values.detach(), run.output.layout
    sequence, step = layout.sequence_ids, layout.positions * int(field.stride) + int(field.first)
    windows = None if batch.values.is_floating_point() else _windows(batch, sequence, step, int(field.size))
    kinds, count = _kinds(windows, len(activation))
    best, row = _highest(activation, kinds, len(count), min(k, len(count)))
    return FilterNgrams(
        run.name,
        field,
        activation.gather(0, row.T).T,
        None if windows is None else windows[row],
        sequence[row],
        step[row],
        count[best],
        effect,
    )


def _windows(batch: Ragged, sequence: Tensor, step: Tensor, size: int) -> Tensor:
    """Return (T', n): the tokens of the window of every output step, `OUTSIDE` beyond the ends."""
    steps = step[:, None] + torch.arange(size)
    inside = (steps >= 0) & (steps < batch.lengths[sequence][:, None])
    rows = (batch.offsets[sequence][:, None] + steps).clamp(0, len(batch.values) - 1)
    return torch.where(inside, batch.values[rows].long(), OUTSIDE)


def _kinds(windows: Tensor | None, rows: int) -> tuple[Tensor, Tensor]:
    """Return (T',) the number of each row's n-gram, and (U,) the occurrences of each n-gram."""
    if windows is None:
        return torch.arange(rows), torch.ones(rows, dtype=torch.int64)
    _, kinds, count = torch.unique(windows, dim=0, return_inverse=True, return_counts=True)
    return kinds, count


def _highest(activation: Tensor, kinds: Tensor, total: int, k: int) -> tuple[Tensor, Tensor]:
    """Return (C, k) the numbers of the n-grams with the highest activations, and (C, k) a row of each."""
    filters = activation.shape[1]
    index = kinds[:, None].expand(-1, filters)
    highest = activation.new_full((total, filters), -torch.inf).scatter_reduce(0, index, activation, "amax")
    rows = torch.arange(len(kinds))[:, None].expand(-1, filters)
    where_highest = torch.where(activation == highest[kinds], rows, len(kinds))
    row = rows.new_full((total, filters), len(kinds)).scatter_reduce(0, index, where_highest, "amin")
    best = highest.topk(k, dim=0).indices
    return best.T, row.gather(0, best).T
