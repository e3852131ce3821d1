"""The statements of docs/conformance.md about ONNX Runtime hold for the installed version.

Inputs that end the process are not tested.
"""

import numpy as np
import pytest

from .operators import by_onnxruntime, by_us

RANDOM = np.random.default_rng(0)
INPUTS = {
    "X": RANDOM.normal(size=(3, 2, 4)).astype(np.float32),
    "W": RANDOM.normal(size=(1, 5, 4)).astype(np.float32),
    "R": RANDOM.normal(size=(1, 5, 5)).astype(np.float32),
}
BLOCKS = {"RNN": 1, "LSTM": 4, "GRU": 3}


def _inputs(kind: str) -> dict[str, np.ndarray]:
    return INPUTS | {name: np.tile(INPUTS[name], (1, BLOCKS[kind], 1)) for name in ("W", "R")}


def _rnn(**attributes: object) -> np.ndarray:
    return by_onnxruntime("RNN", {"hidden_size": 5, **attributes}, INPUTS)["Y"]


@pytest.mark.parametrize("name", ["Affine", "ScaledTanh"])
def test_two_activations_are_zero_without_numbers(name: str) -> None:
    assert not _rnn(activations=[name]).any()


def test_thresholded_relu_has_no_threshold_without_a_number() -> None:
    given = {"activations": ["ThresholdedRelu"]}
    np.testing.assert_array_equal(_rnn(**given), _rnn(**given, activation_alpha=[0.0]))
    assert (_rnn(**given) != _rnn(**given, activation_alpha=[1.0])).any()


@pytest.mark.parametrize("name", ["Elu", "HardSigmoid", "LeakyRelu"])
def test_three_activations_have_the_operators_numbers(name: str) -> None:
    attributes = {"hidden_size": 5, "activations": [name]}
    expected = by_us("RNN", attributes, INPUTS)["Y"]
    np.testing.assert_allclose(_rnn(activations=[name]), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize(
    ("attributes", "dtype", "words"),
    [({"layout": 1}, np.float32, "layout"), ({}, np.float64, "double|implementation")],
)
def test_layout_1_and_float64_are_refused(kind: str, attributes: dict, dtype: type, words: str) -> None:
    inputs = {name: value.astype(dtype) for name, value in _inputs(kind).items()}
    with pytest.raises(Exception, match=words):
        by_onnxruntime(kind, {"hidden_size": 5, **attributes}, inputs)


@pytest.mark.parametrize("lengths", [[3, -1], [4, 1]])
def test_lengths_beyond_the_padded_ones_are_refused(lengths: list[int]) -> None:
    with pytest.raises(Exception, match="sequence_lens"):
        by_onnxruntime(
            "GRU", {"hidden_size": 5}, _inputs("GRU") | {"sequence_lens": np.array(lengths, np.int32)}
        )
