"""Next-step models against the same models in torch.nn, in values and all gradients; sampling."""

import itertools
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import throughtime as tt
from throughtime.errors import InputTypeError, NotFiniteError, ShapeError
from throughtime.models import FrameModel, LanguageModel, sample
from throughtime.models._drawing import nucleus

V = 30
LENGTHS = [5, 1, 0, 7]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"tied": False},
    {"embedding_size": 16},
    {"tied": False, "embedding_size": 5, "cell": "gru", "num_layers": 1},
    {"cutoffs": (6, 15)},
    {"cutoffs": (6, 15), "tied": False, "embedding_size": 7},
    {"cutoffs": (10,), "embedding_size": 8, "cell": "rnn"},
]
each_option = pytest.mark.parametrize("options", OPTIONS, ids=str)


def _model(**options: Any) -> LanguageModel:
    torch.manual_seed(0)
    model = LanguageModel(V, **{"embedding_size": 20, "hidden_size": 20, "dropout": 0.0} | options).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.4)
    return model


def _words(seed: int = 1) -> tt.Ragged:
    generator = torch.Generator().manual_seed(seed)
    return tt.Ragged.from_lengths(torch.randint(V, (sum(LENGTHS),), generator=generator), LENGTHS)


def _by_torch(model: LanguageModel, words: torch.Tensor) -> torch.Tensor:
    """Log-probabilities (T, V) of one sequence by torch.nn alone, a word's vectors as the full matrix they mean."""
    outputs, bias = _output_matrix(model)
    h = F.embedding(words, outputs if model.embedding is None else model.embedding)
    for layer in model.layers:
        twin = getattr(nn, type(layer).__name__)(layer.input_size, layer.hidden_size).double()
        for name, value in layer.named_parameters():
            delattr(twin, name)
            setattr(twin, name, value)
        twin._flat_weights = [getattr(twin, name) for name in twin._flat_weights_names]
        h = twin(h)[0]
    if model.projection is not None:
        h = h @ model.projection.weight.t()
    if not isinstance(model.softmax, nn.AdaptiveLogSoftmaxWithLoss):
        return (h @ outputs.t() + bias).log_softmax(-1)
    # Clusters as in Grave et al. (2017): p(word) = p(cluster) p(word | cluster).
    ends = [0, *model.softmax.cutoffs]
    head = (h @ model.softmax.head.weight.t() + model.softmax.head.bias).log_softmax(-1)
    parts = [head[:, : ends[1]]]
    for i, (low, high) in enumerate(itertools.pairwise(ends[1:])):
        parts.append(head[:, ends[1] + i, None] + (h @ outputs[low:high].t()).log_softmax(-1))
    return torch.cat(parts, 1)


def _output_matrix(model: LanguageModel) -> tuple[torch.Tensor, Any]:
    softmax = model.softmax
    if not isinstance(softmax, nn.AdaptiveLogSoftmaxWithLoss):
        return softmax.weight, softmax.bias
    first = softmax.head.weight[: softmax.cutoffs[0]]
    return torch.cat([first, *(tail[1].weight @ tail[0].weight for tail in softmax.tail)]), None


@each_option
def test_values_and_gradients_are_those_of_torch(options: dict[str, Any]) -> None:
    model, words, targets = _model(**options), _words(), _words(2)
    scored = model.score(model.states(words).values, targets.values)
    rows = [_by_torch(model, row) for row in words if len(row)]
    expected = torch.cat(rows)
    torch.testing.assert_close(model(words).values, expected)
    losses = -expected.gather(1, targets.values[:, None])[:, 0]
    torch.testing.assert_close(scored.losses, losses)
    assert torch.equal(scored.right, expected.argmax(1) == targets.values)
    torch.testing.assert_close(expected.exp().sum(1), torch.ones(len(expected)).double())
    parameters = list(model.parameters())
    weighting = torch.randn(len(losses)).double()
    found, wanted = (
        torch.autograd.grad((one * weighting).sum(), parameters, materialize_grads=True)
        for one in (scored.losses, losses)
    )
    for (name, _), a, b in zip(model.named_parameters(), found, wanted, strict=True):
        torch.testing.assert_close(a, b, msg=lambda text, name=name: f"{name}: {text}")


@each_option
def test_steps_are_the_whole(options: dict[str, Any]) -> None:
    model, words = _model(**options, dropout=0.5).eval(), _words()
    for row, expected in zip(words, model(words), strict=True):
        model.train()  # dropout does not act in step
        state = None
        for word, probabilities in zip(row, expected, strict=True):
            following, state = model.step(word[None], state)
            torch.testing.assert_close(following[0], probabilities)
        model.eval()


def test_windows_go_on_and_dropout_is_locked() -> None:
    model, words = _model().eval(), _words()
    carried, whole = tt.bptt.Carried(), model(words)
    for window in tt.bptt.windows(words, 3):
        with carried.carry(model, window):
            found = model(window.of(words))
        torch.testing.assert_close(found.values, window.of(whole).values)
    dropped = LanguageModel(V, embedding_size=8, hidden_size=8, dropout=0.5)
    seen: list[tt.Ragged] = []
    dropped.dropout.register_forward_hook(lambda module, given, made: seen.append(made))
    dropped.states(words)
    assert len(seen) == 2
    for made in seen:
        zeros = [(row == 0) for row in made if len(row)]
        assert all(torch.equal(row, row[:1].expand_as(row)) and row.any() for row in zeros)


def test_no_sequences_give_zero_and_gradients_of_zero() -> None:
    """What a process gets whose neighbours have more windows."""
    for options in OPTIONS:
        model, empty = _model(**options), tt.Ragged.empty(dtype=torch.int64)
        loss = model.score(model.states(empty).values, empty.values).losses.sum()
        loss.backward()
        assert loss == 0
        assert all(p.grad is None or not p.grad.any() for p in model.parameters())
        if not (options.get("cutoffs") and not options.get("tied", True)):
            assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("options", [{}, {"embedding_size": 6, "cell": "gru", "num_layers": 2}], ids=str)
def test_frames_against_torch(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = FrameModel(4, hidden_size=5, dropout=0.0, **options).double()
    frames = tt.Ragged.from_lengths(torch.randint(2, (13, 4)).to(torch.uint8), LENGTHS)
    targets = torch.randint(2, (13, 4)).to(torch.uint8)
    rows = []
    for row in frames:
        h = row.double()
        if model.embedding is not None:
            h = torch.tanh(model.embedding(h))
        for layer in model.layers:
            h = layer(h[:, None]).output[:, 0]
        rows.append(model.output(h))
    logits = torch.cat(rows)
    torch.testing.assert_close(model(frames).values, logits)
    scored = model.score(model.states(frames).values, targets)
    p = torch.sigmoid(logits)
    losses = -(targets * p.log() + (1 - targets.double()) * (1 - p).log()).sum(1)
    torch.testing.assert_close(scored.losses, losses)
    assert torch.equal(scored.right, ((p > 0.5) == targets.bool()).all(1))
    state = None
    for frame, expected in zip(frames[3], model(frames)[3], strict=True):
        following, state = model.step(frame[None], state)
        torch.testing.assert_close(following[0], expected)


# ------------------------------------------------------------------ drawing


def test_the_nucleus_is_the_smallest_set_of_the_probable() -> None:
    torch.manual_seed(0)
    for top_p in (0.01, 0.3, 0.77, 0.999, 1.0):
        for temperature in (0.5, 1.0, 2.0):
            log_probabilities = torch.randn(11).double().log_softmax(0)
            found = nucleus(log_probabilities, temperature, top_p)
            scaled = (log_probabilities / temperature).exp()
            scaled = scaled / scaled.sum()
            order = scaled.argsort(descending=True).tolist()
            sizes = [n for n in range(1, 12) if float(scaled[order[:n]].sum()) >= top_p - 1e-12]
            inside = order[: sizes[0]]
            expected = torch.zeros(11).double()
            expected[inside] = scaled[inside] / scaled[inside].sum()
            torch.testing.assert_close(found, expected)


def test_what_is_drawn_has_the_distribution_of_the_whole_sequence() -> None:
    """Every step's draw, again and again, against softmax of the forward pass over all before it."""
    model = _model(dropout=0.5)
    prompt = torch.tensor([3, 1, 4])
    generator = torch.Generator().manual_seed(0)
    counts, second = torch.zeros(V), torch.zeros(V)
    first_word = int(model.eval()(tt.Ragged.from_list([prompt])).values[-1].argmax())
    model.train()
    for _ in range(4000):
        one, two = itertools.islice(sample(model, prompt, generator=generator, temperature=0.8), 2)
        counts[one] += 1
        if one == first_word:
            second[two] += 1
    model.eval()
    for found, before in ((counts, prompt), (second, torch.cat([prompt, torch.tensor([first_word])]))):
        whole = model(tt.Ragged.from_list([before])).values[-1].detach()
        expected = (whole / 0.8).softmax(0).float()
        n = found.sum()
        deviation = (n * expected * (1 - expected)).sqrt()
        assert n > 300
        assert ((found - n * expected).abs() < 5 * deviation + 2).all()


@pytest.mark.parametrize(
    ("model", "prompt"),
    [(LanguageModel(9), torch.tensor([1])), (FrameModel(3, hidden_size=4), torch.ones(1, 3))],
)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_nothing_is_drawn_from_what_is_no_number(
    model: Any, prompt: torch.Tensor, temperature: float
) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)
    with pytest.raises(NotFiniteError, match="the model gives NaN for the next step"):
        next(sample(model, prompt, temperature=temperature))


def test_a_sampled_sequence_repeats_with_its_seed_and_greedy_takes_the_best() -> None:
    model, prompt = _model(), torch.tensor([3])

    def drawn(**options: Any) -> list[int]:
        generator = torch.Generator().manual_seed(options.pop("seed", 0))
        return [int(w) for w in itertools.islice(sample(model, prompt, generator=generator, **options), 20)]

    assert drawn() == drawn() != drawn(seed=1)
    greedy = drawn(temperature=0)
    whole = model(tt.Ragged.from_list([torch.tensor([3, *greedy])])).values.argmax(1)
    assert whole[:-1].tolist() == greedy == drawn(top_p=1e-9)


def test_words_that_are_left_out_are_not_drawn_and_the_others_are_as_likely_as_before() -> None:
    model, prompt = _model(), torch.tensor([3])
    probabilities = model.step(prompt)[0][0].exp().detach()
    out = probabilities.argsort(descending=True)[:5].tolist()
    generator = torch.Generator().manual_seed(0)
    drawn = [int(next(sample(model, prompt, without=out, generator=generator))) for _ in range(2000)]
    assert not set(drawn) & set(out)
    probabilities[out] = 0
    expected = 2000 * probabilities / probabilities.sum()
    counts = torch.bincount(torch.tensor(drawn), minlength=V)
    assert ((counts - expected).abs() < 5 * expected.sqrt() + 2).all()


def test_frames_are_drawn_note_by_note() -> None:
    torch.manual_seed(0)
    model = FrameModel(3, hidden_size=4)
    nn.init.normal_(model.output.bias, 0, 2)
    frame = torch.tensor([[1.0, 0.0, 1.0]])
    logits = model.eval()(tt.Ragged.from_list([frame])).values[-1]
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack(
        [next(sample(model, frame, temperature=2.0, generator=generator)) for _ in range(3000)]
    )
    assert set(drawn.unique().tolist()) <= {0.0, 1.0}
    torch.testing.assert_close(drawn.mean(0), torch.sigmoid(logits / 2).detach(), atol=0.04, rtol=0)
    assert torch.equal(next(sample(model, frame, temperature=0)), (logits > 0).float())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: LanguageModel(9, cell="elman"), ShapeError, "unknown cell 'elman'"),
        (lambda: LanguageModel(0), ShapeError, "vocabulary_size must be at least 1, got 0"),
        (lambda: LanguageModel(9, num_layers=0), ShapeError, "at least 1; got 0 layers"),
        (lambda: LanguageModel(9, hidden_size=0), ShapeError, "at least 1"),
        (lambda: LanguageModel(9, dropout=1.5), ShapeError, "p is a probability"),
        (lambda: LanguageModel(9, cutoffs=(9,)), ShapeError, "rise from 1 to below the 9 words"),
        (lambda: LanguageModel(9, cutoffs=(4, 4)), ShapeError, "rise from 1"),
        (lambda: LanguageModel(9, embedding_size=8, cutoffs=(2, 4)), ShapeError, "8 / 4^2"),
        (
            lambda: LanguageModel(9)(tt.Ragged.from_list([torch.ones(3)])),
            InputTypeError,
            "reads words as int64",
        ),
        (lambda: FrameModel(9)(tt.Ragged.from_list([torch.ones(3, 8)])), ShapeError, "frames of 9 notes"),
        (
            lambda: LanguageModel(9).step(torch.tensor([1]), (None,)),
            ShapeError,
            "use a state of the same architecture",
        ),
        (lambda: LanguageModel(9).step(torch.tensor([1]), torch.ones(3)), ShapeError, "got a Tensor"),
        (lambda: sample(LanguageModel(9), torch.tensor([]).long()), ShapeError, "at least one step"),
        (lambda: sample(LanguageModel(9), torch.tensor([1]), temperature=-1), ShapeError, "temperature"),
        (
            lambda: sample(LanguageModel(9), torch.tensor([1]), top_p=0),
            ShapeError,
            "top_p must be above 0 and at most 1",
        ),
        (
            lambda: sample(FrameModel(9), torch.ones(1, 9), without=(0,)),
            ShapeError,
            "without is for words only, got [0]",
        ),
        (
            lambda: next(sample(FrameModel(9), torch.ones(1, 9), top_p=0.5)),
            ShapeError,
            "sampled independently",
        ),
    ],
)
def test_what_cannot_be_is_named(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
