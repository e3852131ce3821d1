"""Predicting and evaluating leave every part of a model in the mode that it was in."""

import pytest
import torch
from torch import nn

from tests.training import toy, toy_next
from throughtime import Ragged
from throughtime.tasks import Language, predict
from throughtime.training import evaluate


def classifier():
    torch.manual_seed(0)
    return toy.MODEL.build(toy.Toy.shape, toy.TASK)


def predicted(model):
    predict(model, toy.Toy().validation.inputs)


def evaluated(model):
    evaluate(model, toy.TASK, toy.Toy().validation)


def evaluated_next_step(model):
    data = toy_next.source()
    Language().measure(model, data, data.test)


CASES = [
    pytest.param(classifier, predicted, id="predict"),
    pytest.param(classifier, evaluated, id="evaluate"),
    pytest.param(
        lambda: toy_next.MODEL.build({"vocabulary_size": 50}, Language()), evaluated_next_step, id="language"
    ),
]


@pytest.mark.parametrize("root", [True, False])
@pytest.mark.parametrize(("build", "apply"), CASES)
def test_every_module_keeps_its_mode(build, apply, root):
    """Every second module is in the other mode than the whole: frozen parts, or dropout that stays on."""
    model = build().train(root)
    inner = [module for module in model.modules() if module is not model]
    for module in inner[::2]:
        module.training = not root
    modes = [module.training for module in model.modules()]
    assert len(set(modes)) == 2
    apply(model)
    assert [module.training for module in model.modules()] == modes


def test_modes_come_back_after_an_error():
    model = classifier().train()
    model.embedding.eval()
    with pytest.raises(RuntimeError):
        predict(model, Ragged.from_list([torch.zeros(3, 3, 3)]))
    assert model.training
    assert not model.embedding.training


class Merging(nn.Module):
    """Does more than set a flag when its mode changes, as adapters do that merge their weights."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.merged = False

    def train(self, mode=True):
        self.merged = not mode
        return super().train(mode)

    def forward(self, tokens):
        return self.inner(tokens)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_modules_own_train_takes_part(frozen):
    model = Merging(Merging(classifier())).train()
    model.inner.train(not frozen)
    predicted(model)
    assert (model.merged, model.inner.merged) == (False, frozen)
    assert model.inner.training == (not frozen)
