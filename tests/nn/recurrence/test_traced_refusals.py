"""What cannot be traced, each with the line that says why."""

from __future__ import annotations

import random
import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.ops.program.tracing.cache import StepTracer
from throughtime.ops.program.tracing.errors import UntraceableError

H = 4
HERE = r"test_traced_refusals.py:\d+"


def _reason(f: Any, state: Any = None, token: Any = None) -> str:
    state = torch.randn(3, H) if state is None else state
    token = torch.randn(3, H) if token is None else token
    with pytest.raises(UntraceableError) as caught:
        StepTracer(f).step(state, token)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def _branch(h: Tensor, x: Tensor) -> Tensor:
    return h + x if h.sum() > 0 else h - x


def _branch_of_item(h: Tensor, x: Tensor) -> Tensor:
    return h * x.max().item()


def _sequences(h: Tensor, x: Tensor) -> Tensor:
    return h if h.shape[0] > 10 else x


def _loop_over_sequences(h: Tensor, x: Tensor) -> Tensor:
    return torch.stack([h[i] + x[i] for i in range(len(h))])


def _mean_of_sequences(h: Tensor, x: Tensor) -> Tensor:
    return h - h.mean(0) + x


def _mean_of_tokens(h: Tensor, x: Tensor) -> Tensor:
    return h + (x - x.mean(0))


def _similarity(h: Tensor, x: Tensor) -> Tensor:
    return torch.softmax(h @ x.T, 1) @ x


def _similarity_of_tokens(h: Tensor, x: Tensor) -> Tensor:
    return h + (x @ x.T) @ x


def _flattened(h: Tensor, x: Tensor) -> Tensor:
    return (h + x).view(H, -1).T.contiguous()


def _dropout(h: Tensor, x: Tensor) -> Tensor:
    return F.dropout(h, 0.5) + x


def _noise(h: Tensor, x: Tensor) -> Tensor:
    return h + torch.randn(H)


def _python_noise(h: Tensor, x: Tensor) -> Tensor:
    return h * random.random()


def _numpy_noise(h: Tensor, x: Tensor) -> Tensor:
    return h * float(np.random.rand())  # noqa: NPY002


def _shape(h: Tensor, x: Tensor) -> Tensor:
    return torch.cat([h, x], 1)


def _dtype(h: Tensor, x: Tensor) -> Tensor:
    return h.double()


def _inner_dtype(h: Tensor, x: Tensor) -> Tensor:
    return (h.double() + x).float()


def _structure(h: Tensor, x: Tensor) -> Any:
    return h, x


def _number(h: Tensor, x: Tensor) -> Any:
    return 0.5


def _operator(h: Tensor, x: Tensor) -> Tensor:
    return torch.lgamma(h) + x


def _sorted(h: Tensor, x: Tensor) -> Tensor:
    return h.sort(1).values + x


def _argmax(h: Tensor, x: Tensor) -> Tensor:
    return x + h.max(1, keepdim=True).values


def _permuted(h: Tensor, x: Tensor) -> Tensor:
    return (h.view(-1, 20, 30).transpose(1, 2).reshape(-1, 600) + x) * 1.5


def _no_grad(h: Tensor, x: Tensor) -> Tensor:
    with torch.no_grad():
        z = h * 2
    return z + x


def _in_place(h: Tensor, x: Tensor) -> Tensor:
    return x.add_(1) + h


def _in_place_of_a_part(h: Tensor, x: Tensor) -> Tensor:
    z = h + x
    z[:, :2] *= 2
    return z


class _Clip(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return g.clamp(-1, 1)


def _own_gradient(h: Tensor, x: Tensor) -> Tensor:
    return _Clip.apply(h) + x


def _error(h: Tensor, x: Tensor) -> Tensor:
    return h + x[:, :3]


REASONS = {
    _branch: f"f looks at the values of a tensor ({HERE}), as a branch or .item() does",
    _branch_of_item: f"f looks at the values of a tensor ({HERE}), as a branch or .item() does",
    _sequences: "f depends on the number of sequences, n: it branches on it, or takes it as an int",
    _loop_over_sequences: "f depends on the number of sequences, n: it branches on it, or takes it as an int",
    _mean_of_sequences: f"mean at {HERE}: it mixes sequences",
    _mean_of_tokens: f"mean at {HERE} mixes sequences",
    _similarity: f"mm at {HERE}: it multiplies sequences with one another",
    _similarity_of_tokens: f"mm at {HERE} mixes sequences",
    _flattened: "f depends on the number of sequences, n: it branches on it, or takes it as an int",
    _dropout: f"native_dropout at {HERE} draws random numbers, as dropout in training does",
    _noise: f"randn at {HERE} draws random numbers",
    _python_noise: "f draws random numbers from Python's random or numpy",
    _numpy_noise: "f draws random numbers from Python's random or numpy",
    _shape: "f changes the shape of the state: (n, 4) becomes (n, 8)",
    _dtype: "f changes the dtype of the state: torch.float32 becomes torch.float64",
    _inner_dtype: f"add at {HERE} computes in torch.float64, and the state is torch.float32",
    _structure: "f returns a state of another structure than it takes",
    _number: "f returns float as a part of the state",
    _operator: f"lgamma at {HERE} has no native implementation",
    _sorted: f"sort at {HERE} has no native implementation",
    _argmax: f"max at {HERE}: max and min with indices have no native implementation; use amax and amin",
    _no_grad: f"f turns gradients off ({HERE}); use .detach() in its place",
    _in_place: f"add_ at {HERE} changes an argument in place",
    _in_place_of_a_part: f"mul_ at {HERE} changes in place a tensor that has views",
    _own_gradient: "f uses the autograd.Function _Clip, whose gradient cannot be traced",
    _error: f"tracing f failed at {HERE} with RuntimeError: The size of tensor a (4) must match",
}


@pytest.mark.parametrize("f", REASONS, ids=lambda f: f.__name__)
def test_reasons(f: Any) -> None:
    pattern = re.escape(REASONS[f]).replace(re.escape(HERE), HERE)
    assert re.match(pattern, _reason(f)), _reason(f)


def test_permutations() -> None:
    reason = _reason(_permuted, torch.randn(2, 600), torch.randn(2, 600))
    assert re.match(rf"\w+ at {HERE}: it reorders features in 600 pieces; the maximum is 256", reason)


def test_states() -> None:
    assert _reason(lambda h, x: h + 1, torch.zeros(3, H, dtype=torch.int64)) == (
        "the state is torch.int64, but the native loop needs floating-point states"
    )
    mixed = _reason(lambda s, x: (s[0] + 1, s[1] + 1), (torch.zeros(3, H), torch.zeros(3, 1).double()))
    assert "the dtypes torch.float32, torch.float64; they must have one dtype" in mixed
    assert "is not a tensor" in _reason(lambda s, x: s, (torch.zeros(3, H), 0.5))


def test_batch_normalisation_in_training() -> None:
    norm = nn.BatchNorm1d(H)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    assert re.match(rf"f changes one of its tensors in place \({HERE}\)", _reason(lambda h, x: norm(h) + x))
    norm.track_running_stats, norm.num_batches_tracked = False, None
    reason = _reason(lambda h, x: norm(h) + x)
    assert re.match(rf"\w+ at {HERE}: in training, batch normalisation mixes sequences", reason)
    assert all(torch.equal(before[name], value) for name, value in norm.state_dict().items())


def test_a_tensor_that_cannot_be_read_again() -> None:
    def f(h: Tensor, x: Tensor) -> Tensor:
        return h + next(weights)

    weights = iter([torch.ones(H)] * 9)
    assert re.match(
        rf"f reads a tensor of shape \(4,\) at {HERE} that is not one of its attributes", _reason(f)
    )


class _Keeping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last: Any = None
        self.calls = 0
        self.list: list[Any] = []

    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        return h + x


class _KeepsLast(_Keeping):
    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        self.last = h + x
        return self.last


class _KeepsNew(_Keeping):
    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        self.new = h + x
        return self.new


class _Counts(_Keeping):
    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        self.calls += 1
        return h + x


class _Appends(_Keeping):
    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        self.list.append(h)
        return h + x


@pytest.mark.parametrize("kind", [_KeepsLast, _KeepsNew, _Counts, _Appends])
@pytest.mark.parametrize("bound", [False, True])
def test_what_f_keeps(kind: type[_Keeping], bound: bool) -> None:
    module = kind()
    f = module.forward if bound else module
    tracer, h = StepTracer(f), torch.randn(3, H)
    for call in range(3):
        with pytest.raises(
            UntraceableError, match=r"f sets f.* while it runs, which the native loop would skip"
        ):
            tracer.step(h, h)
        if call == 0:
            assert (module.last, module.calls, module.list) == (None, 0, [])
            assert not hasattr(module, "new")
        f(h, h)
    assert tracer.traces == 1


def test_a_global_that_f_sets() -> None:
    def f(h: Tensor, x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return h + x

    calls = 0
    assert _reason(f) == "f sets calls while it runs, which the native loop would skip"
    assert calls == 0


def test_the_reason_is_worked_out_once() -> None:
    tracer = StepTracer(lambda h, x: torch.lgamma(h))
    for _ in range(3):
        with pytest.raises(UntraceableError, match="lgamma"):
            tracer.step(torch.randn(3, H), torch.randn(3, H))
    assert tracer.traces == 1


class _Unusual:
    """A function of which nothing can be read."""

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise OSError("closed")

    def __call__(self, h: Tensor, x: Tensor) -> Tensor:
        return h + x


def test_whatever_fails_is_a_reason() -> None:
    assert _reason(_Unusual()) == "looking for what f reads failed with OSError: closed"
