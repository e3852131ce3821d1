"""`tt.quantize` on whole models: what is replaced, what stays, and what is refused."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import throughtime as tt
from tests.models.named import BUILT, Built, rows
from throughtime import Ragged
from throughtime.errors import InputTypeError, UnsupportedError


def test_the_model_stays_as_it_was() -> None:
    model = nn.Sequential(tt.nn.LSTM(5, 4), nn.ReLU(), nn.Linear(4, 3)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    small = tt.quantize(model)
    assert [type(module).__name__ for module in small] == ["QuantizedRecurrent", "ReLU", "QuantizedLinear"]
    assert repr(small[0]) == "QuantizedLSTM(5, 4)"
    assert small[2].training
    assert isinstance(model[0], tt.nn.LSTM)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_modules_in_two_places_are_one() -> None:
    shared = nn.Linear(4, 4)
    small = tt.quantize(nn.Sequential(shared, nn.Tanh(), shared))
    assert small[0] is small[2]


def test_excluded_modules_stay() -> None:
    model = nn.ModuleDict({"body": nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), "head": nn.Linear(4, 2)})
    small = tt.quantize(model, exclude=["body.0", "head"])
    kinds = [
        type(small[name] if name == "head" else small.body[i]).__name__
        for name, i in (("body", 0), ("body", 1), ("head", 0))
    ]
    assert kinds == ["Linear", "QuantizedLinear", "Linear"]
    assert not any(parameter.requires_grad for parameter in small.parameters())
    with pytest.raises(InputTypeError, match="exclude names 'nothing'"):
        tt.quantize(model, exclude=["nothing"])
    with pytest.raises(UnsupportedError, match="no layer with an int8 form"):
        tt.quantize(model, exclude=["body", "head"])


def test_parametrized_weights_are_those_in_use() -> None:
    linear = parametrizations.weight_norm(nn.Linear(6, 5))
    linear.parametrizations.weight.original0.data.mul_(3)
    small, x = tt.quantize(linear), torch.randn(4, 6)
    assert type(small).__name__ == "QuantizedLinear"
    torch.testing.assert_close(small(x), linear(x).detach(), rtol=0, atol=0.1)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (lambda: tt.nn.LSTM(5, 4, proj_size=2), r"LSTM\): proj_size has no int8 form"),
        (lambda: nn.LSTM(5, 4, proj_size=2), r"LSTM\): proj_size has no int8 form"),
        (lambda: tt.nn.LSTM(5, 4, peephole=True), "peephole"),
        (lambda: tt.nn.GRU(5, 4, reset_after=False), "reset_after"),
        (lambda: tt.nn.GRU(5, 4, context_size=2), "context_size"),
        (lambda: tt.nn.RNN(5, 4, learn_initial_state=True), "learn_initial_state"),
        (lambda: tt.nn.MGU(5, 4), "this kind of cell"),
        (lambda: tt.nn.LayerNormLSTM(5, 4), "this kind of cell"),
        (lambda: nn.Conv1d(4, 4, 3, groups=2), "groups=2"),
        (lambda: tt.nn.Conv1d(4, 4, 3, padding=1, padding_mode="reflect"), "padding_mode='reflect'"),
        (lambda: nn.Linear(4, 4).double(), r"float64.*\.float\(\)\.cpu\(\)"),
        (lambda: nn.Embedding(4, 4, max_norm=1.0), "max_norm"),
        (lambda: nn.Linear(70_000, 1), "more than 65536 features"),
    ],
)
def test_what_has_no_int8_form_is_named(layer: Any, reason: str) -> None:
    model = nn.Sequential(nn.Linear(3, 3), layer())
    with pytest.raises(UnsupportedError, match=f"1 .*{reason}.*exclude="):
        tt.quantize(model)
    assert isinstance(tt.quantize(model, exclude="1")[1], type(model[1]))


def test_hooks_are_refused() -> None:
    linear = nn.Linear(3, 3)
    linear.register_forward_hook(lambda *_: None)
    with pytest.raises(UnsupportedError, match="forward hook"):
        tt.quantize(linear)


def test_other_kinds_and_objects_are_refused() -> None:
    with pytest.raises(InputTypeError, match="'int8', got 'int4'"):
        tt.quantize(nn.Linear(3, 3), "int4")  # type: ignore[call-overload]
    with pytest.raises(InputTypeError, match="takes a torch.nn.Module or a Predictor, got int"):
        tt.quantize(3)  # type: ignore[call-overload]


def test_torch_and_our_layers_give_the_same() -> None:
    torch.manual_seed(0)
    ours, theirs = tt.nn.GRU(5, 9, num_layers=2), nn.GRU(5, 9, num_layers=2)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(6, 2, 5)
    assert torch.equal(tt.quantize(theirs)(x)[0], tt.quantize(ours)(x)[0])


_REPLACED = (nn.Linear, nn.Conv1d, nn.RNNBase, nn.Embedding)


@pytest.mark.parametrize("built", BUILT.values(), ids=str)
def test_every_model_by_name(built: Built) -> None:
    """The outputs are near, and a sequence has the same bits alone; or there is no such layer."""
    model = built.make().float()
    if not any(isinstance(module, _REPLACED) for module in model.modules()):
        with pytest.raises(UnsupportedError, match="no layer with an int8 form"):
            tt.quantize(model)
        return
    small = tt.quantize(model)
    x = built.batch([40, 33, 50])
    x = x.with_values(x.values.float()) if built.kind != "tokens" else x
    with torch.no_grad():
        found, expected, alone = (
            rows(_output(m(part))) for m, part in ((small, x), (model, x), (small, x[1:2]))
        )
    for one, other in zip(found, expected, strict=True):
        assert (one - other).norm() < 0.1 * other.norm()
    assert torch.equal(alone[0], found[1])


def _output(result: Any) -> Ragged | torch.Tensor:
    return result.output if isinstance(result, tt.nn.RecurrentOutput) else result
