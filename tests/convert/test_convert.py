"""Weights in other layouts compute the same function; options that a layout does not have are refused by name."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import throughtime as tt
from throughtime import Ragged
from throughtime.convert import OnnxOperator
from throughtime.errors import InputTypeError, ShapeError

SHAPES: list[dict[str, Any]] = [{}, {"num_layers": 2, "bidirectional": True}, {"bias": False}]
KERAS: list[tuple[str, dict[str, Any]]] = [
    ("RNN", {"nonlinearity": "relu"}),
    ("LSTM", {}),
    ("GRU", {}),
    ("GRU", {"reset_after": False}),
    ("GRU", {"update": "new"}),
    ("GRU", {"update": "new", "activations": (("hard_sigmoid", 0.3, 0.5), "softsign")}),
]
ONNX: list[tuple[str, dict[str, Any]]] = [
    *KERAS,
    ("RNN", {"nonlinearity": ("scaled_tanh", 1.2, 0.7), "clip": 0.4}),
    ("RNN", {"learn_initial_state": True}),
    ("LSTM", {"peephole": True, "clip": 0.5, "learn_initial_state": True}),
    ("LSTM", {"peephole": True, "coupled": True}),
    ("LSTM", {"coupled": True, "activations": (("affine", 0.3, 0.5), ("elu", 0.8), "softplus")}),
    ("GRU", {"reset_after": False, "clip": 0.3, "activations": ("sigmoid", ("leaky_relu", 0.2))}),
]


def _layer(name: str, **options: Any) -> Any:
    torch.manual_seed(0)
    layer = getattr(tt.nn, name)(3, 4, **options).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0, 0.5)
    return layer


def _batch(features: int = 3) -> Ragged:
    torch.manual_seed(1)
    return Ragged.from_lengths(torch.randn(9, features, dtype=torch.float64), [5, 0, 1, 3])


def _same(first: Any, second: Any, x: Ragged) -> None:
    found, expected = first(x), second(x)
    torch.testing.assert_close(found.output.values, expected.output.values)
    torch.testing.assert_close(found.state, expected.state)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "options"), ONNX, ids=str)
def test_onnx_and_back_is_the_same_layer(name: str, options: dict[str, Any], shape: dict[str, Any]) -> None:
    layer = _layer(name, **options, **shape)
    operators = tt.convert.to_onnx(layer)
    assert len(operators) == layer.num_layers
    back = tt.convert.from_onnx(operators)
    assert back.spec == tt.convert.from_onnx(tt.convert.to_onnx(back)).spec
    _same(back, layer, _batch())
    if "update" not in options:
        assert repr(back) == repr(layer)
        for key, value in layer.state_dict().items():
            assert torch.equal(back.state_dict()[key], value), key


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "options"), KERAS, ids=str)
def test_keras_and_back_computes_the_same(name: str, options: dict[str, Any], shape: dict[str, Any]) -> None:
    layer = _layer(name, **options, **shape)
    given = {key: value for key, value in options.items() if key in {"activations", "nonlinearity"}}
    if name == "GRU" and not layer.bias:
        given["reset_after"] = options.get("reset_after", True)
    _same(tt.convert.from_keras(*tt.convert.to_keras(layer), **given), layer, _batch())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("name", "options"),
    [("RNN", {}), ("RNN", {"nonlinearity": "relu"}), ("LSTM", {}), ("LSTM", {"proj_size": 2}), ("GRU", {})],
    ids=str,
)
def test_torch_and_back_is_the_same_layer(name: str, options: dict[str, Any], shape: dict[str, Any]) -> None:
    layer = _layer(name, **options, **shape).eval()
    theirs = tt.convert.to_torch(layer)
    assert type(theirs) is getattr(nn, name)
    assert not theirs.training
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    torch.testing.assert_close(theirs(x)[0], layer(x).output)
    back = tt.convert.from_torch(theirs)
    assert repr(back) == repr(layer)
    for key, value in layer.state_dict().items():
        assert torch.equal(back.state_dict()[key], value)


def test_parameters_are_copies_and_the_random_state_stays() -> None:
    layer = _layer("GRU", update="new")
    torch.manual_seed(3)
    before = torch.get_rng_state()
    copies = [tt.convert.to_torch(layer), tt.convert.with_update(layer, "new")]
    copies += [
        tt.convert.from_onnx(tt.convert.to_onnx(layer)),
        tt.convert.from_keras(*tt.convert.to_keras(layer)),
    ]
    assert torch.equal(torch.get_rng_state(), before)
    kept = layer.weight_ih_l0.detach().clone()
    for copy in copies:
        nn.init.zeros_(copy.weight_ih_l0)
    for operator in tt.convert.to_onnx(layer):
        operator.inputs["W"].fill(0)
    assert torch.equal(layer.weight_ih_l0, kept)


@pytest.mark.parametrize("reset_after", [True, False])
def test_the_update_gate_converts_with_context_and_initial_state(reset_after: bool) -> None:
    layer = _layer(
        "GRU", reset_after=reset_after, context_size=2, learn_initial_state=True, clip=0.7, num_layers=2
    )
    x, context = _batch(), torch.randn(4, 2, dtype=torch.float64)
    layer.bound_gradients(norm=2.0)
    new = tt.convert.with_update(layer, "new")
    assert new.spec.update == "new"
    assert (new.spec.gradient_norm, new.spec.gradient_value) == (2.0, float("inf"))
    torch.testing.assert_close(new(x, context=context).output.values, layer(x, context=context).output.values)
    z = new.trace(x, context=context)[0].update.values
    torch.testing.assert_close(1 - z, layer.trace(x, context=context)[0].update.values)
    old = tt.convert.with_update(new, "old")
    for key, value in layer.state_dict().items():
        assert torch.equal(old.state_dict()[key], value)


def test_onnx_operators_read_the_context_behind_the_input() -> None:
    layer = _layer("LSTM", context_size=2)
    x, context = _batch(), torch.randn(4, 2, dtype=torch.float64)
    wide = tt.convert.from_onnx(tt.convert.to_onnx(layer))
    assert wide.input_size == 5
    both = x.with_values(torch.cat([x.values, x.spread(context).values], 1))
    torch.testing.assert_close(wide(both).output.values, layer(x, context=context).output.values)


def test_layout_1_is_batch_first() -> None:
    (operator,) = tt.convert.to_onnx(_layer("RNN"))
    other = OnnxOperator("RNN", {**operator.attributes, "layout": 1}, operator.inputs)
    assert tt.convert.from_onnx(other).batch_first


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _keras_lstm(weights: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """Keras's equations, from its documentation: gates side by side in the order i, f, c, o."""
    kernel, recurrent, bias = weights
    h = c = np.zeros(len(recurrent))
    for x_t in x:
        i, f, g, o = np.split(x_t @ kernel + h @ recurrent + bias, 4)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
    return h


def _keras_gru(weights: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """In the order z, r, h; with two rows of biases the reset gate acts after the product."""
    kernel, recurrent, bias = weights
    after = bias.ndim == 2
    h = np.zeros(len(recurrent))
    for x_t in x:
        x_z, x_r, x_h = np.split(x_t @ kernel + (bias[0] if after else bias), 3)
        h_z, h_r, h_h = np.split(h @ recurrent + (bias[1] if after else 0), 3)
        z, r = _sigmoid(x_z + h_z), _sigmoid(x_r + h_r)
        candidate = np.tanh(x_h + (r * h_h if after else (r * h) @ recurrent[:, -len(h) :]))
        h = z * h + (1 - z) * candidate
    return h


@pytest.mark.parametrize(
    ("blocks", "bias", "equations"),
    [(4, (16,), _keras_lstm), (3, (2, 12), _keras_gru), (3, (12,), _keras_gru)],
)
def test_keras_weights_mean_what_keras_does(blocks: int, bias: tuple[int, ...], equations: Any) -> None:
    random = np.random.default_rng(0)
    weights = [random.normal(size=size) for size in [(3, blocks * 4), (4, blocks * 4), bias]]
    layer = tt.convert.from_keras(weights)
    x = _batch()
    for b in (0, 2, 3):
        expected = equations(weights, x[b].numpy())
        np.testing.assert_allclose(layer(x).output[b][-1].detach().numpy(), expected, rtol=1e-12, atol=1e-12)


def test_a_parametrized_weight_is_the_one_that_acts() -> None:
    layer, x = _layer("LSTM"), _batch()
    nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    layer.parametrizations.weight_hh_l0.original0.data.mul_(2)
    for other in (
        tt.convert.from_onnx(tt.convert.to_onnx(layer)),
        tt.convert.from_keras(*tt.convert.to_keras(layer)),
    ):
        _same(other, layer, x)


W, R = np.zeros((1, 12, 3)), np.zeros((1, 12, 4))
KERNELS = [np.zeros((3, 12)), np.zeros((4, 12))]
LSTM_INPUTS = {"W": np.zeros((1, 16, 3)), "R": np.zeros((1, 16, 4))}


def _gru(attributes: dict[str, Any] | None = None, **inputs: Any) -> OnnxOperator:
    return OnnxOperator("GRU", attributes or {}, {"W": W, "R": R, **inputs})


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: tt.convert.to_onnx(nn.LSTM(3, 4)),
            InputTypeError,
            "to_onnx takes a recurrent layer of throughtime.nn .GRU, LSTM, RNN.*got LSTM",
        ),
        (lambda: tt.convert.to_onnx(_layer("LSTM", proj_size=2)), ShapeError, "uses proj_size"),
        (lambda: tt.convert.to_onnx(_layer("LSTM", cell_clip=2.0)), ShapeError, "uses cell_clip"),
        (lambda: tt.convert.to_torch(_layer("LSTM", peephole=True)), ShapeError, "uses peephole.*torch.nn"),
        (lambda: tt.convert.to_torch(_layer("GRU", reset_after=False)), ShapeError, "uses reset_after"),
        (
            lambda: tt.convert.to_torch(_layer("RNN", nonlinearity="elu")),
            ShapeError,
            "uses activations, which torch.nn does not support: .* its RNN tanh or relu",
        ),
        (lambda: tt.convert.to_keras(_layer("LSTM", coupled=True)), ShapeError, "uses coupled.*Keras"),
        (lambda: tt.convert.from_torch(tt.nn.LSTM(3, 4)), InputTypeError, "from_torch takes a torch.nn"),
        (lambda: tt.convert.with_update(_layer("LSTM"), "new"), InputTypeError, "GRU, got LSTM"),
        (lambda: tt.convert.with_update(_layer("GRU"), "both"), ShapeError, "'old' or 'new', got 'both'"),
        (
            lambda: tt.convert.with_update(_layer("GRU", activations=("softsign", "tanh")), "new"),
            ShapeError,
            "softsign.*cannot be converted; use sigmoid",
        ),
        (lambda: tt.convert.from_onnx([]), ShapeError, "no operator"),
        (lambda: tt.convert.from_onnx(3), InputTypeError, "OnnxOperators, got int"),
        (lambda: tt.convert.from_onnx([3]), InputTypeError, "OnnxOperators, got int"),
        (lambda: tt.convert.from_onnx(OnnxOperator("QRNN", {}, {})), ShapeError, "got 'QRNN'"),
        (lambda: tt.convert.from_onnx(OnnxOperator("GRU", {}, {"W": W})), ShapeError, "input R is missing"),
        (lambda: tt.convert.from_onnx(_gru(P=W)), ShapeError, "GRU has no input 'P'"),
        (
            lambda: tt.convert.from_onnx(_gru(W=W[0])),
            ShapeError,
            r"W has shape \(12, 3\), expected \(1, 12, any\)",
        ),
        (lambda: tt.convert.from_onnx(_gru(W=W.astype(int))), InputTypeError, "W is torch.int64"),
        (lambda: tt.convert.from_onnx(_gru(W="w")), InputTypeError, "W is an array of <U1, expected numbers"),
        (lambda: tt.convert.from_onnx(_gru(B=np.zeros((1, 12)))), ShapeError, r"B has shape.*\(1, 24\)"),
        (
            lambda: tt.convert.from_onnx(_gru(initial_h=np.zeros((1, 2, 4)))),
            ShapeError,
            r"initial_h.*\(1, 1, 4\)",
        ),
        (lambda: tt.convert.from_onnx(_gru({"hidden_size": 5})), ShapeError, "hidden_size is 5"),
        (lambda: tt.convert.from_onnx(_gru({"input_forget": 1})), ShapeError, "no attribute 'input_forget'"),
        (lambda: tt.convert.from_onnx(_gru({"direction": "reverse"})), ShapeError, "'reverse' alone"),
        (lambda: tt.convert.from_onnx(_gru({"direction": "up"})), ShapeError, "got 'up'"),
        (lambda: tt.convert.from_onnx(_gru({"activations": ["Tanh"]})), ShapeError, "2 activations, got 1"),
        (lambda: tt.convert.from_onnx(_gru({"activations": ["Sine", "Tanh"]})), ShapeError, "'Sine'"),
        (lambda: tt.convert.from_onnx(_gru({"activations": ["Affine", "Tanh"]})), ShapeError, "Affine needs"),
        (
            lambda: tt.convert.from_onnx(
                _gru({"activations": ["Tanh", "Elu"], "activation_alpha": [0.0, 0.5]})
            ),
            ShapeError,
            "have 1 and 0 values more than Tanh, Elu take",
        ),
        (lambda: tt.convert.from_onnx([_gru(), _gru({"clip": 1.0})]), ShapeError, "same kind and attributes"),
        (
            lambda: tt.convert.from_onnx([_gru(), _gru()]),
            ShapeError,
            r"W \(1, 12, 3\).*1 directions of 4 units",
        ),
        (
            lambda: tt.convert.from_onnx(OnnxOperator("LSTM", {}, {**LSTM_INPUTS, "P": np.zeros((1, 8))})),
            ShapeError,
            r"P has shape \(1, 8\), expected \(1, 12\)",
        ),
        (lambda: tt.convert.to_onnx(_layer("GRU").bfloat16()), InputTypeError, "numpy has no torch.bfloat16"),
        (
            lambda: tt.convert.from_onnx(_gru(R=R.astype(np.float32))),
            InputTypeError,
            "torch.float32 and torch.float64",
        ),
        (
            lambda: tt.convert.from_keras([KERNELS[0], KERNELS[1].astype(np.float32)], reset_after=True),
            InputTypeError,
            "torch.float32 and torch.float64",
        ),
        (lambda: tt.convert.from_keras(), ShapeError, "no weights"),
        (lambda: tt.convert.from_keras([W]), ShapeError, "2 or 3 arrays.*got 1"),
        (lambda: tt.convert.from_keras(KERNELS), ShapeError, "reset_after cannot be inferred"),
        (
            lambda: tt.convert.from_keras([*KERNELS, np.zeros(12)], reset_after=True),
            ShapeError,
            r"bias.*\(12,\)",
        ),
        (lambda: tt.convert.from_keras([*KERNELS, np.zeros(11)]), ShapeError, r"bias has shape \(11,\)"),
        (lambda: tt.convert.from_keras([KERNELS[0], np.zeros((5, 12))]), ShapeError, r"\(5, 12\), expected"),
        (
            lambda: tt.convert.from_keras([np.zeros((3, 8)), np.zeros((4, 16))]),
            ShapeError,
            r"kernel has.*\(3, 16\)",
        ),
        (
            lambda: tt.convert.from_keras([np.zeros((3, 16)), np.zeros((4, 16))], reset_after=True),
            ShapeError,
            "reset_after is an option of GRU, .* weights of an LSTM",
        ),
    ],
)
def test_errors_name_what_does_not_fit(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_layers_without_values_are_refused(kind: str) -> None:
    layer, theirs = getattr(tt.nn, kind)(3, 4, device="meta"), getattr(nn, kind)(3, 4, device="meta")
    calls: list[Any] = [
        ("to_torch", lambda: tt.convert.to_torch(layer)),
        ("to_keras", lambda: tt.convert.to_keras(layer)),
        ("to_onnx", lambda: tt.convert.to_onnx(layer)),
        ("from_torch", lambda: tt.convert.from_torch(theirs)),
    ]
    if kind == "GRU":
        calls += [("with_update", lambda u=u: tt.convert.with_update(layer, u)) for u in ("old", "new")]
    for name, call in calls:
        with pytest.raises(
            InputTypeError, match=rf"{name}: weight_ih_l0 is on the device 'meta' .* no values"
        ):
            call()
    half = getattr(tt.nn, kind)(3, 4)
    half.bias_hh_l0 = nn.Parameter(half.bias_hh_l0.to("meta"))
    with pytest.raises(InputTypeError, match="to_torch: bias_hh_l0 is on the device 'meta'"):
        tt.convert.to_torch(half)


FOREIGN: list[tuple[Any, type[Exception], str]] = [
    (lambda a: torch.from_numpy(a).to("meta"), InputTypeError, "is on the device 'meta' and has no values"),
    (
        lambda a: a.astype(object),
        InputTypeError,
        r"an array of object, expected numbers; give .*astype\('float32'\)",
    ),
    (lambda a: a.astype(str), InputTypeError, "an array of <U32, expected numbers"),
    (lambda a: a.view([("x", "<f8")]), InputTypeError, r"an array of \[\('x', '<f8'\)\], expected numbers"),
    (
        lambda a: a.astype(">f8"),
        InputTypeError,
        r"of '>f8', expected native byte order; give array.astype\('<f8'\)",
    ),
    (lambda a: a.astype(">i4"), InputTypeError, "of '>i4', expected native byte order"),
    (lambda a: np.ma.masked_array(a, a > 0), InputTypeError, "is a masked array"),
    (lambda a: None, InputTypeError, "an array of object, expected numbers"),
    (lambda a: [[1.0, 2.0], [1.0]], InputTypeError, "is not an array of numbers"),
    (lambda a: a.astype(np.complex128), InputTypeError, "torch.complex128, expected floating-point"),
    (lambda a: a[..., :0], ShapeError, "sizes are at least 1|expected"),
    (lambda a: a[..., :0, :], ShapeError, "sizes are at least 1|expected"),
]


@pytest.mark.parametrize(("change", "error", "words"), FOREIGN)
def test_arrays_that_are_no_weights_are_refused(change: Any, error: type[Exception], words: str) -> None:
    for name, whole in (("W", W), ("R", R)):
        with pytest.raises(error, match=rf"from_onnx: [RW] .*({words})"):
            tt.convert.from_onnx(_gru(**{name: change(whole)}))
    for i, name in enumerate(("kernel", "recurrent kernel")):
        arrays: list[Any] = list(KERNELS)
        arrays[i] = change(arrays[i])
        with pytest.raises(error, match=rf"from_keras: (the )?{name} .*({words})"):
            tt.convert.from_keras(arrays, reset_after=True)


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="long double is float64 here")
def test_numbers_that_torch_has_not_are_refused() -> None:
    with pytest.raises(InputTypeError, match=r"which torch does not support; give array.astype\('float64'\)"):
        tt.convert.from_onnx(_gru(W=W.astype(np.longdouble)))


def test_an_array_in_place_of_a_list_of_arrays_is_named() -> None:
    with pytest.raises(InputTypeError, match="takes a list of arrays for each layer, .* got a int"):
        tt.convert.from_keras(3)  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="takes a list of arrays for each layer, .* got a ndarray"):
        tt.convert.from_keras(*KERNELS)


def test_gradients_do_not_flow_into_a_conversion() -> None:
    layer = _layer("GRU", update="new")
    arrays: list[Tensor] = list(tt.convert.with_update(layer, "old").parameters())
    assert all(parameter.is_leaf and parameter.requires_grad for parameter in arrays)
