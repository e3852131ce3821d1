"""The four ways to clip in a training: their effect on a gradient, and a resumed training."""

import math
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import throughtime as tt
from throughtime.diagnose import AdaptiveClip, ClipEvent
from throughtime.errors import InputTypeError, ShapeError, UnsupportedError
from throughtime.training import ModelSpec, Settings
from throughtime.training._module import TrainingModule, _bound_steps
from throughtime.training._tensor_file import from_bytes, to_bytes

from .test_resume import signalled
from .toy import SETTINGS, TASK, Toy, created, fitted, same_weights, weights


def _module(model: str = "bigru", **settings: Any) -> TrainingModule:
    torch.manual_seed(0)
    source = Toy()
    made = ModelSpec(model, {"embedding_size": 4}).build(source.shape, TASK)
    return TrainingModule(made, TASK, source, Settings(**settings))


def _clipped(module: TrainingModule, scale: float = 1.0) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    optimizer = module.configure_optimizers()
    for parameter in module.parameters():
        parameter.grad = scale * torch.randn(parameter.shape, generator=generator)
    before = [parameter.grad.clone() for parameter in module.parameters()]
    module.configure_gradient_clipping(optimizer)
    return before, [parameter.grad for parameter in module.parameters()]


def test_by_value_then_by_norm() -> None:
    before, after = _clipped(_module(clip=2.0, clip_value=0.1))
    bounded = [grad.clamp(-0.1, 0.1) for grad in before]
    norm = torch.cat([grad.flatten() for grad in bounded]).norm()
    torch.testing.assert_close(after, [grad * 2.0 / norm for grad in bounded], rtol=1e-4, atol=1e-6)
    before, after = _clipped(_module(clip=None, clip_value=0.1))
    torch.testing.assert_close(after, [grad.clamp(-0.1, 0.1) for grad in before])


def test_by_a_percentile_whose_history_is_saved_with_the_state() -> None:
    module = _module(clip=None, clip_percentile=50.0)
    for scale in (1.0, 3.0, 2.0):
        _clipped(module, scale)
    assert module.adaptive is not None
    norms = [event.norm for event in module.adaptive.events]
    assert norms == pytest.approx([norms[0], 3 * norms[0], 2 * norms[0]])
    assert [event.clipped for event in module.adaptive.events] == [False, True, False]
    checkpoint: dict[str, Any] = {}
    module.on_save_checkpoint(checkpoint)
    other = _module(clip=None, clip_percentile=50.0)
    other.on_load_checkpoint(checkpoint)
    _, first = _clipped(module, 5.0)
    _, second = _clipped(other, 5.0)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert other.adaptive is not None
    assert other.adaptive.events == module.adaptive.events


def test_the_history_of_a_long_training_is_read_again_bit_for_bit() -> None:
    clip, again = AdaptiveClip(50.0), AdaptiveClip()
    norms = torch.rand(400_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).tolist()
    clip.events = [ClipEvent(norm, 0.1 + norms[0], norm > 0.1 + norms[0]) for norm in norms]
    again.load_state_dict(from_bytes(to_bytes(clip.state_dict()), Path("state")))
    assert again.events == clip.events


def test_a_resumed_training_clips_as_one_that_was_not_interrupted(tmp_path: Path) -> None:
    settings = Settings(**SETTINGS.to_json() | {"epochs": 2, "clip": None, "clip_percentile": 50.0})
    whole, run = (created(tmp_path / name, settings=settings) for name in ("whole", "run"))
    fitted(whole)
    with pytest.MonkeyPatch.context() as patch:
        signalled(patch, signal.SIGINT, "training_step", 10)
        assert fitted(run).interrupted
    fitted(run, resume=True)
    assert same_weights(weights(run), weights(whole))


@pytest.mark.parametrize(
    "wrong", [[1.0], torch.zeros(2), torch.zeros(1, 2).double(), torch.zeros(3).double()]
)
def test_a_history_of_another_kind_is_refused(wrong: Any) -> None:
    two = torch.ones(2, dtype=torch.float64)
    with pytest.raises(InputTypeError, match="must be float64 tensors"):
        AdaptiveClip().load_state_dict({"percentile": 10.0, "norms": two, "thresholds": wrong})


def test_inside_of_recurrent_layers() -> None:
    module = _module(clip_recurrent=0.5)
    layers = [one for one in module.model.modules() if isinstance(one, nn.RNNBase)]
    assert [layer.spec.gradient_norm for layer in layers] == [0.5]
    own = nn.Sequential(tt.nn.LayerNormLSTM(3, 4), tt.nn.LiGRU(4, 4))
    _bound_steps(own, 0.5)
    assert own[0].spec.gradient_norm == 0.5
    assert own[1].recurrences["l0"]._transitions.bounds == (math.inf, 0.5)
    with pytest.raises(UnsupportedError, match=r"clip_recurrent: 1 \(QRNN\) has no bound on gradients"):
        _bound_steps(nn.Sequential(tt.nn.GRU(3, 4), tt.nn.QRNN(4, 4)), 0.5)
    with pytest.raises(UnsupportedError, match="clip_recurrent: TextCNN has no recurrent layer"):
        _module("textcnn", clip_recurrent=0.5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"clip_percentile": 10.0}, "clip = 1.0 and clip_percentile = 10.0 are two thresholds for one norm"),
        ({"clip": None, "clip_percentile": 101.0}, "clip_percentile must be a number from 0 to 100 or None"),
        ({"clip_value": 0.0}, "clip_value must be a number from"),
        ({"clip_recurrent": -1.0}, "clip_recurrent must be a number from"),
    ],
)
def test_thresholds_that_cannot_be_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError) as caught:
        Settings(**given)
    assert message in str(caught.value)
