"""Keras's SimpleRNN, LSTM and GRU in float64 with converted weights, both ways. ``make test-optional`` runs it."""

import os
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch

import throughtime as tt
from throughtime import Ragged

pytestmark = [
    pytest.mark.skipif(find_spec("keras") is None, reason="keras is not installed; pip install keras"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras's own
]

CELLS: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("SimpleRNN", {}, "RNN", {}),
    ("SimpleRNN", {"activation": "softsign"}, "RNN", {"nonlinearity": "softsign"}),
    ("LSTM", {}, "LSTM", {}),
    (
        "LSTM",
        {"activation": "elu", "recurrent_activation": "hard_sigmoid"},
        "LSTM",
        {"activations": (("hard_sigmoid", 1 / 6, 0.5), "elu", "elu")},
    ),
    ("GRU", {"reset_after": True}, "GRU", {}),
    ("GRU", {"reset_after": False}, "GRU", {"reset_after": False}),
    ("GRU", {"reset_after": True, "activation": "softplus"}, "GRU", {"activations": ("sigmoid", "softplus")}),
]


@pytest.fixture(autouse=True)
def _float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras's products are float32 whatever the layer says, unless on TensorFlow: a table of its own says so."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras
    from keras.src.backend.common import dtypes

    keras.config.set_floatx("float64")
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")


def _theirs(name: str, bidirectional: bool, **options: Any) -> Any:
    import keras

    layer = getattr(keras.layers, name)(4, return_sequences=True, **options)
    if bidirectional:
        layer = keras.layers.Bidirectional(layer)
    layer.build((None, None, 3))
    return layer


def _same(theirs: Any, ours: Any) -> None:
    torch.manual_seed(1)
    x = Ragged.from_lengths(torch.randn(13, 3, dtype=torch.float64), [5, 1, 7])
    with torch.no_grad():
        for found, sequence in zip(ours(x).output, x, strict=True):
            expected = theirs(sequence[None])[0].numpy()
            np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("name", "options", "kind", "own"), CELLS, ids=str)
def test_keras_computes_the_same(
    name: str, options: dict[str, Any], kind: str, own: dict[str, Any], bidirectional: bool, use_bias: bool
) -> None:
    theirs = _theirs(name, bidirectional, use_bias=use_bias, **options)
    random = np.random.default_rng(0)
    theirs.set_weights([random.normal(0, 0.5, weight.shape) for weight in theirs.get_weights()])
    told = {key: value for key, value in own.items() if key != "reset_after"}
    if kind == "GRU" and not use_bias:
        told["reset_after"] = options["reset_after"]
    ours = tt.convert.from_keras(theirs.get_weights(), **told)
    assert type(ours) is getattr(tt.nn, kind)
    _same(theirs, ours)
    torch.manual_seed(0)
    other = getattr(tt.nn, kind)(3, 4, bias=use_bias, bidirectional=bidirectional, dtype=torch.float64, **own)
    (weights,) = tt.convert.to_keras(other)
    theirs.set_weights(weights)
    _same(theirs, other)
