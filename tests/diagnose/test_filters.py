"""n-grams of filters, against plain loops over all windows; effects against the weights of linear heads."""

import pytest
import torch
from torch import Tensor, nn

import throughtime as tt
from throughtime import Ragged
from throughtime.diagnose import filter_ngrams
from throughtime.errors import InputTypeError, ShapeError, UnsupportedError


def _text_cnn() -> tuple[tt.models.TextCNN, Ragged]:
    torch.manual_seed(0)
    model = tt.models.TextCNN(vocabulary_size=7, outputs=3, embedding_size=5, channels=6, kernel_sizes=(2, 3))
    tokens = [torch.randint(7, (length,)) for length in (9, 1, 0, 14, 2, 30)]
    return model, Ragged.from_list(tokens)


def _by_hand(model: tt.models.TextCNN, place: int, batch: Ragged) -> list[dict[tuple[int, ...], float]]:
    """Return the activation of every n-gram, for each filter; -1 stands for zeros beyond the ends."""
    conv = model.convolutions.blocks[place].conv
    size = conv.kernel_size[0]
    left = (size - 1) // 2
    table = torch.cat([model.embedding.weight.detach(), torch.zeros(1, model.embedding.embedding_dim)])
    activations: list[dict[tuple[int, ...], float]] = [{} for _ in range(conv.out_channels)]
    for tokens in batch.to_list():
        padded = [-1] * left + tokens.tolist() + [-1] * (size - 1 - left)
        for step in range(len(tokens)):
            ngram = tuple(padded[step : step + size])
            values = torch.einsum("ock,kc->o", conv.weight, table[list(ngram)]) + conv.bias
            for number, value in enumerate(values.relu().tolist()):
                activations[number][ngram] = value
    return activations


@pytest.mark.parametrize("place", [0, 1])
def test_they_are_the_ngrams_with_the_highest_activations(place: int) -> None:
    model, batch = _text_cnn()
    k = 4
    result = filter_ngrams(model, batch, k)[place]
    assert (result.name, result.field.size) == (f"convolutions.blocks.{place}", place + 2)
    expected = _by_hand(model, place, batch)
    assert len(result) == len(expected) == 6
    for number, activations in enumerate(expected):
        ngrams = [tuple(ngram) for ngram in result.ngrams[number].tolist()]
        assert len(set(ngrams)) == k
        shown = result.activation[number]
        torch.testing.assert_close(shown, torch.tensor([activations[ngram] for ngram in ngrams]))
        torch.testing.assert_close(shown, torch.tensor(sorted(activations.values(), reverse=True)[:k]))


def test_an_occurrence_and_the_count_of_each_ngram_are_those_of_the_batch() -> None:
    model, batch = _text_cnn()
    sequences = batch.to_list()
    for result in filter_ngrams(model, batch, 3):
        size, first = int(result.field.size), int(result.field.first)
        for number in range(len(result)):
            for rank in range(3):
                ngram = result.ngrams[number, rank].tolist()
                sequence, step = int(result.sequence[number, rank]), int(result.step[number, rank])
                assert _window(sequences[sequence], step, size) == ngram
                windows = [_window(t, first + s, size) for t in sequences for s in range(len(t))]
                assert int(result.count[number, rank]) == windows.count(ngram)


def _window(tokens: Tensor, step: int, size: int) -> list[int]:
    return [int(tokens[t]) if 0 <= t < len(tokens) else -1 for t in range(step, step + size)]


def test_the_effect_is_the_weight_of_a_linear_head() -> None:
    model, batch = _text_cnn()
    whole = batch[batch.lengths > 0]
    effects = [result.effect for result in filter_ngrams(model, whole, 1)]
    torch.testing.assert_close(torch.cat(effects, 1), model.output.weight.detach())


class _Squares(nn.Module):
    """Outputs that are the sum of squares of a convolution's outputs, times 1 and 3."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = tt.nn.Conv1d(2, 4, 3, dilation=2, stride=2, bias=False)

    def forward(self, x: Ragged) -> Tensor:
        rows = self.conv(x)
        total = rows.values.new_zeros(len(x)).index_add(
            0, rows.layout.sequence_ids, rows.values.square().sum(1)
        )
        return torch.stack([total, 3 * total], 1)


def test_of_features_with_stride_and_dilation() -> None:
    torch.manual_seed(1)
    model, batch = _Squares(), Ragged.from_lengths(torch.randn(23, 2), [12, 11])
    (result,) = filter_ngrams(model, batch, 2)
    assert result.name == "conv"
    assert result.ngrams is None
    assert (result.field.size, result.field.stride) == (5, 2)
    # The mean over two sequences of the gradient 2 a.
    sums = model.conv(batch).values.detach().sum(0)
    torch.testing.assert_close(result.effect, torch.stack([sums, 3 * sums]))
    kernels = model.conv.weight.detach()
    for number in range(4):
        values = [
            (float((row[step : step + 5 : 2].T * kernels[number]).sum()), sequence, step)
            for sequence, row in enumerate(batch.to_list())
            for step in range(0, len(row) - 4, 2)
        ]
        highest = sorted(values, reverse=True)[:2]
        assert result.activation[number].tolist() == pytest.approx(
            [value for value, _, _ in highest], rel=1e-5
        )
        places = zip(result.sequence[number].tolist(), result.step[number].tolist(), strict=True)
        assert list(places) == [(sequence, step) for _, sequence, step in highest]


def test_blocks_are_taken_with_their_normalisation_and_only_the_first_layer() -> None:
    torch.manual_seed(2)
    model = tt.models.FCN(3, 2)
    batch = Ragged.from_lengths(torch.randn(40, 3), [18, 22])
    (result,) = filter_ngrams(model, batch, 1)
    model.eval()
    first = next(module for module in model.modules() if isinstance(module, tt.nn.ConvBlock))
    torch.testing.assert_close(result.activation[:, 0], first(batch).values.amax(0))


def test_a_model_with_outputs_per_step_has_no_effect() -> None:
    model = tt.models.TextCNN(5, 2, per_step=True, channels=3)
    for result in filter_ngrams(model, Ragged.from_list([torch.arange(5)])):
        assert result.effect is None
        assert result.ngrams.shape == (3, 5, result.field.size)


def test_the_model_is_left_as_it_was() -> None:
    model, batch = _text_cnn()
    model.train()
    filter_ngrams(model, batch)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_fewer_ngrams_than_k() -> None:
    model, _ = _text_cnn()
    result = filter_ngrams(model, Ragged.from_list([torch.tensor([1, 1, 1])]), 9)[0]
    assert result.ngrams.shape == (6, 2, 2)
    assert sorted(result.count[0].tolist()) == [1, 2]


def test_what_it_refuses() -> None:
    model, batch = _text_cnn()
    with pytest.raises(InputTypeError, match="filter_ngrams takes a Ragged batch, got Tensor"):
        filter_ngrams(model, batch.values)
    with pytest.raises(ShapeError, match="no tokens"):
        filter_ngrams(model, batch[:0])
    with pytest.raises(ShapeError, match="k must be at least 1, got 0"):
        filter_ngrams(model, batch, 0)
    with pytest.raises(UnsupportedError, match="BiLSTM has no convolution whose input"):
        filter_ngrams(tt.models.BiLSTM(7, 2), batch)
