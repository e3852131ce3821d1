"""Every public layer and model is exported with equal results, or refused with an error that names it."""

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import nn

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import ThroughtimeError

from ..models.named import BUILT, Built
from ..nn.contract import CASES, FEATURES, Case, output_of
from .runtime import close, padded, run, session

BATCHES = ([4, 0, 7, 1], [3], [12, 5])

_ONE_STEP = "runs one step of a sequence"
# Public modules without a form in ONNX, and the reason in the error. One that is new belongs here, or into the
# exporter.
NOT_EXPORTED: dict[type[nn.Module], str] = {
    tt.nn.AttentionGRU: "reads a memory beside the sequence",
    tt.nn.ConvBlock2d: "reads images .* which have no steps",
    tt.nn.GRUCell: _ONE_STEP,
    tt.nn.LSTMCell: _ONE_STEP,
    tt.nn.RNNCell: _ONE_STEP,
    tt.nn.Stream: "keeps its state between calls; export its model",
}


def _blend(inputs: str) -> tt.models.Blend:
    """Return two models, the first in two copies, with different weights."""
    if inputs == "tokens":
        networks = [tt.models.TextCNN(11, 2, embedding_size=4, channels=4) for _ in range(2)]
        solved: nn.Module = tt.models.NGrams(11, 2, buckets=64)
    else:
        networks = [tt.models.FCN(FEATURES, 2, channels=(4, 4, 4)) for _ in range(2)]
        solved = tt.models.Rocket(FEATURES, 2, features=84)
    blend = tt.models.Blend([networks, [solved]])
    blend.weights.copy_(torch.tensor([0.3, 1.1]))
    return blend


# Public modules that the contract of sequence layers does not have.
_OTHERS: Sequence[Callable[[], nn.Module]] = (
    lambda: tt.nn.AttentionGRU(FEATURES, 4, 2),
    lambda: tt.nn.IndRNNCell(FEATURES, 4),
    lambda: tt.nn.Zoneout(tt.nn.GRUCell(FEATURES, 4), 0.1),
    lambda: tt.nn.ConvBlock(FEATURES, 4, 3, padding="same"),
    lambda: tt.nn.ConvBlock2d(FEATURES, 4, 3),
    lambda: tt.nn.ConvStack(FEATURES, [4], 3),
    lambda: tt.nn.GRUCell(FEATURES, 4),
    lambda: tt.nn.LSTMCell(FEATURES, 4),
    lambda: tt.nn.RNNCell(FEATURES, 4),
    lambda: tt.nn.Parallel(tt.nn.Conv1d(FEATURES, 4, 3, padding="same")),
    lambda: tt.nn.Residual(tt.nn.Conv1d(FEATURES, FEATURES, 3, padding="same")),
    lambda: _blend("tokens"),
    lambda: tt.models.BiGRU(11, 2, embedding_size=4, hidden_size=4),
    lambda: tt.models.BiLSTM(11, 2, embedding_size=4, hidden_size=4),
    lambda: tt.models.BiRNN(11, 2, embedding_size=4, hidden_size=4),
    lambda: tt.models.RNNModel(11, 2, embedding_size=4, hidden_size=4),
    lambda: tt.models.LSTMModel(11, 2, embedding_size=4, hidden_size=4),
    lambda: tt.models.GRUModel(11, 2, embedding_size=4, hidden_size=4),
    lambda: tt.models.TextCNN(11, 2, embedding_size=4, channels=4),
    lambda: tt.models.CharCNN(11, 2),
    lambda: tt.models.FCN(FEATURES, 2),
    lambda: tt.models.ForecastModel(FEATURES, hidden_size=4),
    lambda: tt.models.FrameModel(FEATURES, hidden_size=4),
    lambda: tt.models.InceptionTime(FEATURES, 2),
    lambda: tt.models.LSTMFCN(FEATURES, 2),
    lambda: tt.models.LanguageModel(11, hidden_size=4),
    lambda: tt.models.LeNet(2),
    lambda: tt.models.NGrams(11, 2, buckets=64),
    lambda: tt.models.ResNet(FEATURES, 2),
    lambda: tt.models.Rocket(FEATURES, 2, features=84),
    lambda: tt.models.TCN(FEATURES, 2),
)


def _export(model: nn.Module) -> Any:
    """The ONNX model, or the error that names the path of the last module."""
    try:
        return tt.export.onnx(model)
    except ThroughtimeError as error:
        if isinstance(model, nn.Sequential):
            assert re.match(rf"{len(model) - 1}\b", str(error))  # noqa: PT017
        return str(error)


def _fitting(model: nn.Module, lengths: list[int]) -> list[int]:
    """The lengths, with more steps where a layer makes none of them."""
    try:
        made = tt.nn.output_lengths(model, lengths)
    except ThroughtimeError:  # it pools
        return lengths
    short = any(length and not steps for length, steps in zip(lengths, made, strict=True))
    return [length + 9 if length else 0 for length in lengths] if short else lengths


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_layer_is_exported_as_it_computes_or_refused_by_name(case: Case) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, FEATURES), case.make())
    proto = _export(model)
    if isinstance(proto, str):
        assert re.search(NOT_EXPORTED.get(type(model[1]), "states no operators"), proto)
        return
    assert NOT_EXPORTED.keys().isdisjoint(map(type, model.modules()))
    model.eval()
    runtime = session(proto)
    for given in BATCHES:
        lengths = _fitting(model, given)
        x = Ragged.from_lengths(torch.randn(sum(lengths), FEATURES), lengths)
        _compare(model, runtime, x, "x")


def _compare(model: nn.Module, runtime: Any, x: Ragged, name: str) -> None:
    with torch.no_grad():
        expected = output_of(model, x)
    found = run(runtime, **{name: padded(x, batch_first=True)}, lengths=x.lengths)
    if isinstance(expected, Ragged):
        length = found["output"].shape[1]
        close(found["output"], expected.to_padded(length=length, batch_first=True))
        lengths = found.get("output_lengths", x.lengths)
        assert lengths.tolist() == expected.lengths.tolist()
    else:
        close(found["logits"], expected)


@pytest.mark.parametrize("built", BUILT.values(), ids=str)
def test_a_model_by_name_is_exported_for_tokens_and_series_with_outputs_of_sequences_and_steps(
    built: Built,
) -> None:
    model = built.make().float()
    runtime = session(tt.export.onnx(model))
    for lengths in BATCHES:
        x = built.batch(lengths)
        x = x if built.kind == "tokens" else x.float()
        _compare(model, runtime, x, "tokens" if built.kind == "tokens" else "x")


@pytest.mark.parametrize("inputs", ["tokens", "series"])
def test_a_blend_is_exported_as_it_computes(inputs: str) -> None:
    torch.manual_seed(0)
    blend = _blend(inputs)
    for parameter in blend.parameters():  # those of models that are solved for are 0 at first
        parameter.data.normal_(std=0.5)
    runtime = session(tt.export.onnx(blend.eval()))
    for lengths in ([14, 11, 17], [12]):
        count = sum(lengths)
        values = torch.randint(11, (count,)) if inputs == "tokens" else torch.randn(count, FEATURES)
        _compare(
            blend, runtime, Ragged.from_lengths(values, lengths), "tokens" if inputs == "tokens" else "x"
        )


def test_every_public_module_is_exported_or_listed_as_refused() -> None:
    public = {
        kind
        for names in (tt.nn, tt.models)
        for kind in vars(names).values()
        if inspect.isclass(kind) and issubclass(kind, nn.Module) and not issubclass(kind, tt.nn.Cell)
    }
    exported, refused = set(), set()
    for make in [*(case.make for case in CASES), *_OTHERS]:
        module = make()
        if type(module) not in public:  # one that binds an argument which the contract does not have
            continue
        alone = type(module).__module__.startswith("throughtime.models")
        proto = _export(module if alone else nn.Sequential(nn.Linear(FEATURES, 3), module))
        if isinstance(proto, str):
            assert re.search(NOT_EXPORTED[type(module)], proto)
        (refused if isinstance(proto, str) else exported).add(type(module))
    assert exported.isdisjoint(NOT_EXPORTED)
    assert refused == set(NOT_EXPORTED)
    assert exported | refused == public
