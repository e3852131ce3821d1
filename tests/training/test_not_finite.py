"""Missing and infinite values are refused by name where a model would turn them into its results."""

import math

import pytest
import torch
from torch import nn

import throughtime as tt
from tests.training import toy, toy_next
from throughtime import Ragged
from throughtime.data.examples import Examples
from throughtime.data.frames import FrameParts
from throughtime.data.next_step import frame_source
from throughtime.errors import DataError, NotFiniteError
from throughtime.tasks import Frames, predict
from throughtime.training import ModelSpec, Settings, evaluate

VALUES = [math.nan, math.inf, -math.inf]


def series(value):
    """Sequences of 4, 0, 6 and 5 steps of 3 features, with one value at step 4, feature 1 of sequence 2."""
    x = Ragged.from_lengths(torch.randn(15, 3, generator=torch.Generator().manual_seed(0)), [4, 0, 6, 5])
    x.values[8, 1] = value
    return x


def model():
    torch.manual_seed(0)
    return tt.models.FCN(3, 2)


@pytest.mark.parametrize("value", VALUES)
def test_predict_and_evaluate_name_the_place(value):
    place = rf"sequence 2 has {value} at step 4, feature 1 \(counted from 0\), the first of 1 values"
    x = series(value)[[0, 2, 3]]  # a network with pooling takes no empty sequence
    with pytest.raises(DataError, match=place.replace("sequence 2", "sequence 1")) as caught:
        predict(model(), x)
    assert isinstance(caught.value, ValueError)
    advice = "fill in or remove missing" if math.isnan(value) else "correct or remove infinite"
    assert str(caught.value).endswith(f"{advice} values first")
    with pytest.raises(DataError, match=place.replace("sequence 2", "sequence 1")):
        evaluate(model(), toy.TASK, Examples(x, torch.zeros(3, dtype=torch.int64)))


def test_the_place_is_right_beside_empty_sequences_and_without_features():
    with pytest.raises(DataError, match=r"sequence 2 has nan at step 4, feature 1 "):
        predict(model(), series(math.nan))
    x = series(math.nan)
    flat = x.with_values(x.values[:, 1].contiguous())
    with pytest.raises(DataError, match=r"sequence 2 has nan at step 4 \(counted from 0\)"):
        predict(model(), flat)


def test_finite_series_are_predicted():
    assert predict(model(), series(1e30)[[0, 2, 3]]).isfinite().all()


class Overflowing(nn.Module):
    """Sums that are infinite, and differences of infinities, of finite values."""

    def forward(self, x):
        total = torch.stack([(1e30 * sequence).sum() for sequence in x])
        return torch.stack([total - total, total], 1)


def test_logits_that_are_nan_are_not_returned():
    x = Ragged.from_list([torch.ones(2), torch.tensor([1e30]), torch.zeros(1)])
    with pytest.raises(
        NotFiniteError, match=r"outputs of sequence 1 \(of 3\) are nan although all inputs are finite"
    ):
        predict(Overflowing(), x)
    assert predict(Overflowing(), x[[0, 2]]).shape == (2, 2)


def test_a_class_may_be_ruled_out_by_an_infinite_logit():
    class Ruled(nn.Module):
        def forward(self, x):
            return torch.tensor([[0.0, -math.inf]]).expand(len(x), 2)

    assert predict(Ruled(), Ragged.from_list([torch.ones(2)])).tolist() == [[0.0, -math.inf]]


# ------------------------------------------------------------------ trainings


def frames(part, value):
    """Sources of frames whose third sequence of one part has a value at step 0, note 2."""
    data, parts = toy_next.frames(), {}
    for name in FrameParts._fields:
        found = data.training(0) if name == "training" else getattr(data, name)
        values = found.values.float()
        if name == part:
            values[int(found.offsets[2]), 2] = value
        parts[name] = found.with_values(values)
    return frame_source(FrameParts(**parts))


@pytest.mark.parametrize("part", ["training", "validation", "test"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_training_on_frames_names_part_and_place(part, value, tmp_path):
    data = frames(part, value)
    settings = Settings(**toy_next.SETTINGS.to_json() | {"streams": 2, "k1": 4, "epochs": 1})
    run = toy_next.created(tmp_path / "run", ModelSpec("frame", {"hidden_size": 8}), settings, data)
    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    message = rf"{part} examples: sequence 2 has {value} at step 0, feature 2"
    with pytest.raises(DataError, match=message):
        toy_next.fitted(run, data)
    after = {path.name: path.read_bytes() for path in run.path.iterdir()}
    assert {name: after[name] for name in after if name != "training.lock"} == before


def test_evaluating_on_frames_names_the_place():
    data = frames("test", math.nan)
    with pytest.raises(DataError, match="sequence 2 has nan at step 0, feature 2"):
        Frames().measure(ModelSpec("frame", {"hidden_size": 8}).build(data.shape, Frames()), data, data.test)


@pytest.mark.parametrize("part", ["training", "validation", "test"])
def test_a_classifiers_training_names_part_and_place(part, tmp_path):
    """Of sequences of numbers, for which a model stands in that could read them."""

    class Series(toy.Toy):
        def training(self, epoch):
            return _with(super().training(epoch), part == "training" and epoch == 1)

        @property
        def validation(self):
            return _with(super().validation, part == "validation")

        @property
        def test(self):
            return _with(super().test, part == "test")

    run = toy.created(tmp_path / "run", source=Series())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tt.models.TextCNN, "forward", _mean_of_embedding)
        where = "training examples of epoch 2" if part == "training" else f"{part} examples"
        with pytest.raises(DataError, match=f"{where}: sequence 5 has nan at step 0"):
            toy.fitted(run, source=Series())


def _mean_of_embedding(self, x):
    tokens = torch.stack([sequence.nan_to_num().sum() for sequence in x])
    return torch.stack([tokens, -tokens], 1) + self.output.bias


def _with(examples, spoilt):
    values = examples.inputs.values.float()
    first = int(examples.inputs.offsets[5])
    if spoilt:
        values[first] = math.nan
    return Examples(examples.inputs.with_values(values), examples.targets)
