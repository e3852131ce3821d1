"""`swap_` and `unswap_`: the same values and gradients as torch.nn, and everything else of a model untouched."""

import copy
import inspect
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import throughtime as tt

F64 = {"dtype": torch.float64}


def _sequence(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(*shape, **F64)


def _packed(*lengths: int) -> Callable[[], PackedSequence]:
    return lambda: pack_sequence([torch.randn(n, 3, **F64) for n in lengths], enforce_sorted=False)


_INPUTS = {"padded": _sequence(6, 4, 3), "one": _sequence(6, 3), "packed": _packed(3, 7, 1, 3)}
_OPTIONS = [
    {},
    {"bidirectional": True, "num_layers": 2},
    {"bias": False},
    {"batch_first": True, "num_layers": 3},
    {"bidirectional": True, "bias": False},
]
_RECURRENT = [
    *((nn.RNN, options) for options in (*_OPTIONS, {"nonlinearity": "relu", "bidirectional": True})),
    *(
        (nn.LSTM, options)
        for options in (*_OPTIONS, {"proj_size": 2, "bidirectional": True, "num_layers": 2})
    ),
    *((nn.GRU, options) for options in _OPTIONS),
]

# What makes a layer, and what makes its arguments.
CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[], tuple[Any, ...]]]] = {
    **{
        f"{cls.__name__}-{options}-{name}": (
            lambda cls=cls, options=options: cls(3, 5, **options, **F64),
            lambda make=make: (make(),),
        )
        for cls, options in _RECURRENT
        for name, make in _INPUTS.items()
    },
    "RNN with a state": (
        lambda: nn.RNN(3, 5, **F64),
        lambda: (_INPUTS["padded"](), torch.randn(1, 4, 5, **F64)),
    ),
    "GRU packed with a state": (
        lambda: nn.GRU(3, 5, bidirectional=True, **F64),
        lambda: (_INPUTS["packed"](), torch.randn(2, 4, 5, **F64)),
    ),
    "LSTM packed with a state": (
        lambda: nn.LSTM(3, 5, proj_size=2, **F64),
        lambda: (_INPUTS["packed"](), (torch.randn(1, 4, 2, **F64), torch.randn(1, 4, 5, **F64))),
    ),
    **{
        f"RNNCell-{options}": (
            lambda options=options: nn.RNNCell(3, 5, **options, **F64),
            lambda: (torch.randn(4, 3, **F64), torch.randn(4, 5, **F64)),
        )
        for options in ({}, {"nonlinearity": "relu"}, {"bias": False})
    },
    "GRUCell": (lambda: nn.GRUCell(3, 5, **F64), lambda: (torch.randn(3, **F64),)),
    "LSTMCell": (
        lambda: nn.LSTMCell(3, 5, bias=False, **F64),
        lambda: (torch.randn(4, 3, **F64), (torch.randn(4, 5, **F64), torch.randn(4, 5, **F64))),
    ),
    **{
        f"Conv1d-{options}": (
            lambda options=options: nn.Conv1d(4, 6, 3, **options, **F64),
            lambda: (torch.randn(2, 4, 9, **F64),),
        )
        for options in (
            {},
            {"padding": "same", "dilation": 2},
            {"stride": 2, "padding": 1, "groups": 2, "bias": False},
            {"padding": 2, "padding_mode": "circular"},
            {"padding": 1, "padding_mode": "reflect"},
        )
    },
    "ConvTranspose1d": (
        lambda: nn.ConvTranspose1d(4, 6, 3, stride=2, output_padding=1, **F64),
        lambda: (torch.randn(2, 4, 9, **F64),),
    ),
    "ConvTranspose1d with a size": (
        lambda: nn.ConvTranspose1d(4, 6, 3, stride=2, **F64),
        lambda: (torch.randn(2, 4, 9, **F64), [20]),
    ),
    "MaxPool1d": (lambda: nn.MaxPool1d(3, 2, ceil_mode=True), lambda: (torch.randn(2, 4, 9, **F64),)),
    "MaxPool1d indices": (lambda: nn.MaxPool1d(3, return_indices=True), lambda: (torch.randn(4, 9, **F64),)),
    "AvgPool1d": (
        lambda: nn.AvgPool1d(3, padding=1, count_include_pad=False),
        lambda: (torch.randn(2, 4, 9, **F64),),
    ),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4, **F64), lambda: (torch.randn(2, 4, 3, 5, **F64),)),
    "InstanceNorm1d": (
        lambda: nn.InstanceNorm1d(4, affine=True, **F64),
        lambda: (torch.randn(2, 4, 9, **F64),),
    ),
    "InstanceNorm1d with statistics": (
        lambda: nn.InstanceNorm1d(4, track_running_stats=True, **F64),
        lambda: (torch.randn(2, 4, 9, **F64),),
    ),
}


def _tensors(result: Any) -> list[Tensor]:
    if isinstance(result, PackedSequence):
        return [result.data, result.batch_sizes, result.unsorted_indices]
    if isinstance(result, tuple):
        return [tensor for part in result for tensor in _tensors(part)]
    return [result] if isinstance(result, Tensor) else []


def _values_and_gradients(layer: nn.Module, arguments: tuple[Any, ...]) -> list[Tensor]:
    """Return results, gradients of all arguments and parameters, and buffers."""
    leaves = [tensor.requires_grad_() for tensor in _tensors(arguments) if tensor.is_floating_point()]
    results = _tensors(layer(*arguments))
    total = sum((part * part.cos()).sum() for part in results if part.is_floating_point())
    return [*results, *torch.autograd.grad(total, [*leaves, *layer.parameters()]), *layer.buffers()]


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_those_of_torch(case: str) -> None:
    torch.manual_seed(1)
    make, arguments = CASES[case][0], CASES[case][1]()
    layer = make()
    ours, back, name = copy.deepcopy(layer), copy.deepcopy(layer), type(layer).__name__
    expected = _values_and_gradients(layer, arguments)

    report = tt.convert.swap_(ours)
    assert type(ours) is getattr(tt.nn, name)
    assert report.swapped == (tt.convert.SwappedLayer("", f"torch.nn.{name}", f"throughtime.nn.{name}"),)
    torch.testing.assert_close(_values_and_gradients(ours, arguments), expected, rtol=1e-10, atol=1e-12)

    tt.convert.swap_(back)
    tt.convert.unswap_(back)
    assert type(back) is getattr(nn, name)
    assert all(
        torch.equal(a, b) for a, b in zip(_values_and_gradients(back, arguments), expected, strict=True)
    )


def test_every_class_has_a_case() -> None:
    names = {type(make()).__name__ for make, _ in CASES.values()}
    with_ours = {
        name
        for name, cls in vars(nn).items()
        if isinstance(cls, type) and getattr(tt.nn, name, None) not in {None, cls}
    }
    # The other layers of ours draw other random numbers, or sum in another order, and are not swapped.
    assert names == with_ours - {"Dropout", "Linear"}


@pytest.mark.parametrize("case", [case for case in CASES if "one" not in case and "padded" not in case])
def test_attributes_are_those_of_a_layer_of_ours_and_go_again(case: str) -> None:
    layer = CASES[case][0]()
    before = dict(vars(layer))
    options = _constructor_options(layer)
    tt.convert.swap_(layer)
    fresh = getattr(tt.nn, type(layer).__name__)(**options)
    assert vars(layer).keys() - {"_is_swapped"} == vars(fresh).keys()
    assert repr(layer) == repr(fresh)
    tt.convert.unswap_(layer)
    assert vars(layer).keys() == before.keys()
    assert all(vars(layer)[name] is value for name, value in before.items())


def _constructor_options(layer: nn.Module) -> dict[str, Any]:
    names = inspect.signature(getattr(tt.nn, type(layer).__name__).__init__).parameters
    options = {name: getattr(layer, name) for name in names if hasattr(layer, name)}
    return {name: value is not None if name == "bias" else value for name, value in options.items()} | (
        {"bias": layer.bias} if isinstance(getattr(layer, "bias", None), bool) else {}
    )


class _Tagger(nn.Module):
    """A model with a shared layer, tied weights, a layer in a list, and a frozen one."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 4)
        self.conv = nn.Sequential(nn.Conv1d(4, 4, 3, padding=1), nn.ReLU(), nn.GroupNorm(2, 4))
        self.rnn = nn.LSTM(4, 6, num_layers=2, batch_first=True, bidirectional=True)
        self.again = self.rnn
        self.frozen = nn.GRU(12, 5, batch_first=True).requires_grad_(requires_grad=False)
        self.cells = nn.ModuleList([nn.GRUCell(5, 5), nn.GRUCell(5, 5)])
        self.cells[1].weight_hh = self.cells[0].weight_hh
        self.head = nn.Linear(5, 3)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        x = self.embed(tokens)
        x = x + self.conv(x.transpose(1, 2)).transpose(1, 2)
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        packed, (h, _) = self.rnn(packed)
        x, _ = nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)
        x, _ = self.frozen(x)
        state = x[:, -1] + h.sum()
        for cell in self.cells:
            state = cell(state, state)
        return self.head(state)


@pytest.fixture
def model() -> _Tagger:
    torch.manual_seed(2)
    return _Tagger().double()


TOKENS, LENGTHS = torch.arange(24).view(3, 8) % 11, torch.tensor([8, 3, 5])


def test_a_model_keeps_its_objects_names_and_modes(model: _Tagger) -> None:
    model.rnn.eval()
    parameters, buffers = dict(model.named_parameters(remove_duplicate=False)), dict(model.named_buffers())
    modules, modes = list(model.modules()), [module.training for module in model.modules()]
    state = copy.deepcopy(model.state_dict())
    expected = model(TOKENS, LENGTHS)
    report = tt.convert.swap_(model)
    assert [layer.name for layer in report.swapped] == [
        "conv.0", "conv.2", "rnn", "frozen", "cells.0", "cells.1",
    ]  # fmt: skip
    assert not report.kept
    torch.testing.assert_close(model(TOKENS, LENGTHS), expected, rtol=1e-12, atol=1e-12)
    assert all(a is b for a, b in zip(model.modules(), modules, strict=True))
    assert [module.training for module in model.modules()] == modes
    after = dict(model.named_parameters(remove_duplicate=False))
    assert after.keys() == parameters.keys()
    assert all(after[name] is parameter for name, parameter in parameters.items())
    assert dict(model.named_buffers()).keys() == buffers.keys()
    assert [(name, value.tolist()) for name, value in model.state_dict().items()] == [
        (name, value.tolist()) for name, value in state.items()
    ]
    assert model.cells[0].weight_hh is model.cells[1].weight_hh
    assert model.again is model.rnn
    assert not any(parameter.requires_grad for parameter in model.frozen.parameters())
    assert tt.convert.swap_(model) == tt.convert.SwapReport((), ())


def test_an_optimizer_continues(model: _Tagger) -> None:
    def steps(model: nn.Module, optimizer: torch.optim.Optimizer, count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            model(TOKENS, LENGTHS).square().sum().backward()
            optimizer.step()

    other = copy.deepcopy(model)
    optimizers = [torch.optim.Adam(m.parameters(), 0.01, amsgrad=True) for m in (model, other)]
    steps(other, optimizers[1], 6)
    steps(model, optimizers[0], 2)
    tt.convert.swap_(model)
    steps(model, optimizers[0], 2)
    tt.convert.unswap_(model)
    steps(model, optimizers[0], 2)
    torch.testing.assert_close(model.state_dict(), other.state_dict(), rtol=1e-9, atol=1e-9)


def test_swap_and_unswap_restore_everything(model: _Tagger) -> None:
    classes = [type(module) for module in model.modules()]
    attributes = [dict(vars(module)) for module in model.modules()]
    expected = model(TOKENS, LENGTHS)
    forth = tt.convert.swap_(model)
    back = tt.convert.unswap_(model)
    assert [layer.name for layer in back.swapped] == [layer.name for layer in forth.swapped]
    assert [type(module) for module in model.modules()] == classes
    assert [dict(vars(module)) for module in model.modules()] == attributes
    assert torch.equal(model(TOKENS, LENGTHS), expected)


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model)), "load"]
)
def test_copies_are_swapped_and_can_be_unswapped(model: _Tagger, duplicate: Any) -> None:
    tt.convert.swap_(model)
    expected = model(TOKENS, LENGTHS)
    if duplicate == "load":
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        twin = torch.load(file, weights_only=False)
    else:
        twin = duplicate(model)
    assert type(twin.rnn) is tt.nn.LSTM
    assert torch.equal(twin(TOKENS, LENGTHS), expected)
    assert twin.cells[0].weight_hh is twin.cells[1].weight_hh
    assert len(tt.convert.unswap_(twin).swapped) == 6
    assert type(twin.rnn) is nn.LSTM
    torch.testing.assert_close(twin(TOKENS, LENGTHS), expected, rtol=1e-12, atol=1e-12)
    assert type(model.rnn) is tt.nn.LSTM


def test_state_dicts_load_in_both_directions(model: _Tagger) -> None:
    other = _Tagger().double()
    tt.convert.swap_(other)
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other(TOKENS, LENGTHS), model(TOKENS, LENGTHS), rtol=1e-12, atol=1e-12)
    model.load_state_dict(other.state_dict())


def test_a_swapped_model_can_be_moved_and_converted(model: _Tagger) -> None:
    tt.convert.swap_(model)
    expected = model(TOKENS, LENGTHS)
    torch.testing.assert_close(model.float()(TOKENS, LENGTHS).double(), expected, rtol=1e-4, atol=1e-5)
    assert model.to("meta").rnn.weight_hh_l0.is_meta
    assert len(tt.convert.unswap_(model).swapped) == 6


def test_hooks_of_all_kinds_are_called(model: _Tagger) -> None:
    calls: list[str] = []
    rnn = model.rnn
    rnn.register_forward_pre_hook(lambda *_: calls.append("before"))
    rnn.register_forward_hook(lambda *_, **__: calls.append("after"), with_kwargs=True)
    model.head.register_full_backward_hook(lambda *_: calls.append("head"))
    rnn.weight_hh_l1.register_hook(lambda gradient: calls.append("gradient"))
    rnn.weight_hh_l1.register_post_accumulate_grad_hook(lambda _: calls.append("accumulated"))
    model.register_state_dict_pre_hook(lambda *_: calls.append("state"))
    model.cells[0].register_full_backward_hook(lambda *_: calls.append("cell"))
    tt.convert.swap_(model)
    model(TOKENS, LENGTHS).sum().backward()
    model.state_dict()
    assert calls == ["before", "after", "head", "cell", "gradient", "accumulated", "state"]


def test_a_forward_hook_can_replace_the_result() -> None:
    layer, x = nn.GRU(3, 5), torch.randn(4, 3)
    layer.register_forward_hook(lambda _module, _inputs, result: (2 * result[0], result[1]))
    expected = layer(x)[0]
    tt.convert.swap_(layer)
    torch.testing.assert_close(layer(x)[0], expected)


REPARAMETRIZED: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module], Any]]] = {
    "weight_norm": (lambda: nn.Conv1d(3, 5, 3, **F64), parametrizations.weight_norm),
    "spectral_norm": (lambda: nn.Conv1d(3, 5, 3, **F64), parametrizations.spectral_norm),
    "orthogonal": (
        lambda: nn.LSTM(7, 6, batch_first=True, **F64),
        lambda layer: parametrizations.orthogonal(layer, "weight_hh_l0"),
    ),
    "weight_norm of two": (
        lambda: nn.GRU(7, 6, batch_first=True, **F64),
        lambda layer: [parametrizations.weight_norm(layer, f"weight_{part}_l0") for part in ("ih", "hh")],
    ),
    "old weight_norm": (
        lambda: nn.LSTM(7, 6, batch_first=True, **F64),
        lambda layer: nn.utils.weight_norm(layer, "weight_hh_l0"),
    ),
    "pruning": (
        lambda: nn.GRU(7, 6, batch_first=True, **F64),
        lambda layer: prune.l1_unstructured(layer, "weight_hh_l0", 0.5),
    ),
    "pruned convolution": (
        lambda: nn.Conv1d(3, 5, 3, **F64),
        lambda layer: prune.random_structured(layer, "weight", 0.5, dim=0),
    ),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
@pytest.mark.parametrize("case", REPARAMETRIZED)
def test_reparametrized_weights_stay_so(case: str) -> None:
    torch.manual_seed(3)
    make, change = REPARAMETRIZED[case]
    layer = make().eval()  # spectral_norm iterates in training
    change(layer)
    x = torch.randn(2, 3, 7, **F64)
    names, mro = list(layer.state_dict()), type(layer).__mro__
    expected = _values_and_gradients(layer, (x,))
    assert len(tt.convert.swap_(layer).swapped) == 1
    assert list(layer.state_dict()) == names
    torch.testing.assert_close(_values_and_gradients(layer, (x,)), expected, rtol=1e-10, atol=1e-12)
    if case in {"weight_norm", "spectral_norm"}:  # torch cannot copy the others after a call
        twin = copy.deepcopy(layer)
        torch.testing.assert_close(_values_and_gradients(twin, (x,)), expected, rtol=1e-10, atol=1e-12)
    tt.convert.unswap_(layer)
    assert [cls.__name__ for cls in type(layer).__mro__] == [cls.__name__ for cls in mro]
    assert type(layer).__mro__[-3:] == mro[-3:]
    torch.testing.assert_close(_values_and_gradients(layer, (x,)), expected, rtol=1e-12, atol=1e-12)


def test_parametrizations_can_be_removed_and_added_after_a_swap() -> None:
    layer, x = nn.Conv1d(3, 5, 3, **F64), torch.randn(2, 3, 7, **F64)
    parametrizations.weight_norm(layer)
    expected = layer(x)
    tt.convert.swap_(layer)
    nn.utils.parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is tt.nn.Conv1d
    torch.testing.assert_close(layer(x), expected)
    parametrizations.weight_norm(layer)
    tt.convert.unswap_(layer)
    torch.testing.assert_close(layer(x), expected)
    nn.utils.parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Conv1d


class _OwnLSTM(nn.LSTM):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[0]


def _with_forward() -> nn.Module:
    layer = nn.LSTM(3, 5)
    layer.forward = layer.forward
    return layer


def _with_attribute() -> nn.Module:
    layer = nn.Conv1d(3, 5, 3)
    layer.causal = True
    return layer


def _with_buffer() -> nn.Module:
    layer = nn.GRU(3, 5)
    layer.register_buffer("step", torch.zeros(()))
    return layer


KEPT: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "subclass": (lambda: _OwnLSTM(3, 5), "a subclass of torch.nn.LSTM"),
    "lazy": (lambda: nn.LazyConv1d(3, 5), "call the model once"),
    "forward": (_with_forward, "its forward was replaced"),
    "attribute": (_with_attribute, "it has an attribute 'causal'"),
    "buffer": (_with_buffer, "it has an attribute 'step'"),
    "complex": (lambda: nn.LSTM(3, 5, dtype=torch.complex64), "complex numbers"),
    "pool": (lambda: nn.AdaptiveAvgPool1d(2), "windows of variable size"),
    "power mean": (lambda: nn.LPPool1d(2, 2), "power mean"),
    "quantised": (lambda: torch.ao.nn.quantizable.LSTM(3, 5), "but not that class"),
}


@pytest.mark.parametrize("case", KEPT)
def test_what_cannot_be_swapped_is_listed_with_its_reason(case: str) -> None:
    make, reason = KEPT[case]
    model = nn.ModuleDict({"part": make(), "rnn": nn.GRU(3, 5)})
    before = type(model["part"])
    report = tt.convert.swap_(model)
    assert [layer.name for layer in report.swapped] == ["rnn"]
    assert [layer.name for layer in report.kept if layer.name == "part"] == ["part"]
    assert reason in report.kept[0].reason
    assert type(model["part"]) is before
    assert f" {report.kept[0].layer}: {report.kept[0].reason}" in repr(report)


@pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated:DeprecationWarning")
def test_scripted_layers_are_listed() -> None:
    report = tt.convert.swap_(nn.Sequential(torch.jit.script(nn.LSTM(3, 5))))
    assert [layer.reason.split(";")[0] for layer in report.kept] == ["compiled by torch.jit"]


def test_layers_of_ours_and_of_other_kinds_are_left_alone() -> None:
    model = nn.ModuleList([tt.nn.LSTM(3, 5), tt.nn.Conv1d(3, 5, 3), nn.Linear(3, 5), nn.Conv2d(3, 5, 3)])
    model += [nn.BatchNorm1d(3), nn.Dropout(), tt.nn.GRUCell(3, 5), tt.nn.MGU(3, 5)]
    classes = [type(layer) for layer in model]
    assert tt.convert.swap_(model) == tt.convert.SwapReport((), ())
    assert tt.convert.unswap_(model) == tt.convert.SwapReport((), ())
    assert [type(layer) for layer in model] == classes


def test_what_torch_does_not_have_is_kept_by_unswap() -> None:
    model = nn.ModuleDict({"rnn": nn.GRU(3, 5), "conv": nn.Conv1d(3, 5, 3), "wrapped": nn.LSTM(3, 5)})
    tt.convert.swap_(model)
    model["rnn"].bound_gradients(norm=1.0)
    model["conv"].causal = True
    model["wrapped"].__class__ = type("Wrapped", (tt.nn.LSTM,), {})
    report = tt.convert.unswap_(model)
    reasons = {layer.name: layer.reason for layer in report.kept}
    assert not report.swapped
    assert "bounds gradients" in reasons["rnn"]
    assert "causal" in reasons["conv"]
    assert "Wrapped" in reasons["wrapped"]
    model["rnn"].bound_gradients()
    assert [layer.name for layer in tt.convert.unswap_(model).swapped] == ["rnn"]


def test_a_watched_layer_is_kept_until_the_block_ends() -> None:
    layer = nn.GRU(3, 5)
    tt.convert.swap_(layer)
    with tt.diagnose.watch(layer):
        assert "is open" in tt.convert.unswap_(layer).kept[0].reason
    assert tt.convert.unswap_(layer).swapped


def test_swapped_layers_take_ragged_batches(model: _Tagger) -> None:
    tt.convert.swap_(model)
    x = tt.Ragged.from_list([torch.randn(5, 4, **F64), torch.randn(2, 4, **F64)])
    y, _ = model.rnn(x)
    torch.testing.assert_close(y[1], model.rnn(x[1][None])[0][0])
    assert model.conv(x).lengths.tolist() == [5, 2]
    assert [len(trace) for trace in model.rnn.trace(x)[0, 0].forget] == [5, 2]


def test_torch_compile_sees_the_change() -> None:
    model, x = nn.Sequential(nn.GRU(3, 5)), torch.randn(6, 3)
    compiled = torch.compile(model, backend="eager")
    expected = compiled(x)[0]
    tt.convert.swap_(compiled)
    assert type(model[0]) is tt.nn.GRU
    torch.testing.assert_close(compiled(x)[0], expected)
    tt.convert.unswap_(compiled)
    torch.testing.assert_close(compiled(x)[0], expected)


def test_dropout_between_layers_has_the_same_share_and_scale() -> None:
    layer = nn.LSTM(1, 1, num_layers=2, dropout=0.25)
    tt.convert.swap_(layer)
    assert layer.dropout == 0.25
    x = torch.randn(5, 20, 1)
    assert not torch.equal(layer(x)[0], layer(x)[0])
    layer.eval()
    assert torch.equal(layer(x)[0], layer(x)[0])


@pytest.mark.parametrize("function", ["swap_", "unswap_"])
def test_anything_but_a_module_is_refused(function: str) -> None:
    with pytest.raises(tt.errors.InputTypeError, match=f"{function} takes a torch.nn.Module, got list"):
        getattr(tt.convert, function)([nn.GRU(3, 5)])
