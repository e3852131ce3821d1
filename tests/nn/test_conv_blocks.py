"""Blocks and stacks: norms against torch's, images, folding, residual and gated blocks, and errors."""

import copy
import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import ShapeError


def _batch(lengths: list[int], features: int = 3) -> Ragged:
    return Ragged.from_lengths(torch.randn(sum(lengths), features, dtype=torch.float64), lengths)


def _trained(module: nn.Module) -> nn.Module:
    """Running statistics and scales that are not those of the beginning."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            with torch.no_grad():
                part.running_mean.uniform_(-1, 1)
                part.running_var.uniform_(0.2, 2)
                part.weight.uniform_(-2, 2)
                part.bias.uniform_(-1, 1)
    return module.double().eval()


@pytest.mark.parametrize(
    "make", [lambda: tt.nn.GroupNorm(2, 4), lambda: tt.nn.InstanceNorm1d(4, affine=True)]
)
def test_norms_are_torchs_on_each_sequence_alone(make) -> None:
    torch.manual_seed(0)
    norm = make().double()
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.uniform_(-1, 1)
    values = torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    x = Ragged.from_lengths(values, [5, 0, 4])
    expected = torch.cat([norm(row.t()[None])[0].t() for row in x if len(row)])
    found = norm(x).values
    torch.testing.assert_close(found, expected)
    wanted = [values, norm.weight, norm.bias]
    weights = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad((found * weights).sum(), wanted),
        torch.autograd.grad((expected * weights).sum(), wanted),
    )


@pytest.mark.parametrize("norm", ["batch", "group", "layer", "instance"])
def test_a_block_of_equal_lengths_is_the_block_on_plain_tensors(norm: str) -> None:
    torch.manual_seed(0)
    block = tt.nn.ConvBlock(3, 4, 3, padding="same", norm=norm, norm_groups=2, pool=2).double()
    x = torch.randn(5, 3, 8, dtype=torch.float64)
    found = block(Ragged.from_list([row.t() for row in x]))
    torch.testing.assert_close(torch.stack([row.t() for row in found]), block(x))


def test_batch_norm_is_compiled_in_training_whatever_a_stride_leaves() -> None:
    dtype = torch.bfloat16
    torch.manual_seed(0)
    torch._dynamo.reset()
    block = tt.nn.ConvBlock(3, 4, 3, stride=2, norm="batch").to(dtype)
    twin = copy.deepcopy(block)
    compiled = torch.compile(twin, backend="aot_eager", fullgraph=True, dynamic=True)
    rounding = {"rtol": 8 * torch.finfo(dtype).eps, "atol": 8 * torch.finfo(dtype).eps}
    for lengths in ([5, 7, 3], [9, 4], [12, 3, 0]):
        values = torch.randn(sum(lengths), 3).to(dtype)
        results = [made(Ragged.from_lengths(values, lengths)).values for made in (block, compiled)]
        torch.testing.assert_close(*results, **rounding)
        for result in results:
            result.square().sum().backward()
        for name, buffer in block.named_buffers():
            torch.testing.assert_close(twin.get_buffer(name), buffer, **rounding)
    for parameter, expected in zip(twin.parameters(), block.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, expected.grad, rtol=0.05, atol=64 * torch.finfo(dtype).eps)
    with pytest.raises(RuntimeError, match=r"u\d+ >= 2"):
        compiled(Ragged.from_lengths(torch.randn(3, 3).to(dtype), [3]))


def test_a_block_keeps_short_sequences_with_ceil_mode_and_says_so_without() -> None:
    x = _batch([1, 5, 0])
    with pytest.raises(
        ShapeError, match=r"sequence 0 has 1 step, .*ceil_mode=True .*ConvBlock\(pool=…, ceil_mode=True\)"
    ):
        tt.nn.ConvBlock(3, 4, 3, padding="same", pool=2).double()(x)
    block = tt.nn.ConvBlock(3, 4, 3, padding="same", pool=2, ceil_mode=True).double()
    y, plain = block(x), torch.relu(block.conv(x))
    assert y.lengths.tolist() == [1, 3, 0]
    assert torch.equal(y[0], plain[0])
    assert torch.equal(y[1], torch.stack([plain[1][:2].amax(0), plain[1][2:4].amax(0), plain[1][4]]))
    stack = tt.nn.ConvStack(3, [4, 4], 3, pool=2, ceil_mode=True).double()
    assert stack(x).lengths.tolist() == [1, 2, 0]
    images = tt.nn.ConvBlock2d(1, 2, 3, padding=1, pool=2, ceil_mode=True)
    assert images(torch.randn(1, 1, 5, 5)).shape == (1, 2, 3, 3)
    for pool in (None, tt.nn.AvgPool1d(2)):
        with pytest.raises(ShapeError, match="ceil_mode is for the max pooling"):
            tt.nn.ConvBlock(3, 4, 3, pool=pool, ceil_mode=True)


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_a_causal_block_warns_where_batch_statistics_let_the_future_in(norm: str) -> None:
    torch.manual_seed(0)
    block = tt.nn.ConvBlock(3, 4, 2, padding="causal", norm=norm).double()
    x = _batch([6])
    later = x.with_values(torch.cat([x.values[:5], x.values[5:] + 1]))

    def first_steps_agree() -> bool:
        return torch.equal(block(x).values[:5], block(later).values[:5])

    if norm == "layer":
        assert first_steps_agree()
        return
    with pytest.warns(
        UserWarning, match="outputs depend on later inputs; norm='layer' keeps the block causal"
    ):
        assert not first_steps_agree()
    compiled = torch.compile(block, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x).values, F.relu(block.norm(block.conv(x))).values)
    block.norm.eval()  # frozen statistics are those of no batch
    assert first_steps_agree()


def test_the_warning_of_batch_statistics_names_each_place_that_calls_the_model() -> None:
    block = tt.nn.ConvBlock(3, 3, 2, padding="causal", norm="batch").double()
    models = [block, nn.Sequential(nn.Sequential(block)), tt.nn.Residual(block)]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")
        for model in models:
            model(_batch([6]))
            model(_batch([6]))
    here = {warning.filename for warning in seen}
    assert here == {__file__}
    assert len({warning.lineno for warning in seen}) == 2


@pytest.mark.parametrize("norm", ["batch", "layer", "group", "instance"])
def test_which_norms_keep_a_block_causal_in_evaluation(norm: str) -> None:
    block = tt.nn.ConvBlock(3, 4, 2, padding="causal", norm=norm).double().eval()
    x = _batch([6])
    later = x.with_values(torch.cat([x.values[:5], x.values[5:] + 1]))
    assert torch.equal(block(x).values[:5], block(later).values[:5]) == (norm in {"batch", "layer"})


def test_padding_never_reaches_the_statistics_of_a_batch() -> None:
    """The same tokens, whatever they are batched with and however long the longest is."""
    block = tt.nn.ConvBlock(3, 4, 1, norm="batch").double()
    tokens = torch.randn(12, 3, dtype=torch.float64)
    short, long = (block(Ragged.from_lengths(tokens, lengths)).values for lengths in ([6, 6], [1, 11]))
    torch.testing.assert_close(short, long)


@pytest.mark.parametrize(
    "options", [{}, {"momentum": None}, {"track_running_stats": False}, {"affine": False}], ids=str
)
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_and_relu_in_one_pass_are_the_two(options: dict[str, bool | None], training: bool) -> None:
    torch.manual_seed(0)
    block = tt.nn.ConvBlock(3, 4, 3, padding="same", norm=nn.BatchNorm1d(4, **options)).double()  # type: ignore[arg-type]
    twin = copy.deepcopy(block)
    twin.norm.register_forward_hook(lambda *_: None)  # somebody listens: nothing is fused
    for lengths in ([5, 3], [2, 0, 4]):
        x = _batch(lengths)
        found, expected = (part.train(training)(x).values for part in (block, twin))
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        weights = torch.randn_like(expected)
        torch.testing.assert_close(
            torch.autograd.grad((found * weights).sum(), list(block.parameters())),
            torch.autograd.grad((expected * weights).sum(), list(twin.parameters())),
        )
    torch.testing.assert_close(block.state_dict(), twin.state_dict())


def test_batch_norm_and_relu_are_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    block = tt.nn.ConvBlock(3, 4, 3, norm="batch").double()
    x = _batch([5, 3])
    expected = block.eval()(x).values
    monkeypatch.setattr(nn.BatchNorm1d, "__call__", None)
    assert torch.equal(block(x).values, expected)
    assert (expected == 0).any()


class _Twice(tt.nn.Conv1d):
    def forward(self, x):
        y = super().forward(x)
        return y.with_values(2 * y.values)


def test_convolution_and_relu_are_one_pass_only_where_nobody_looks_between(monkeypatch) -> None:
    torch.manual_seed(0)
    x, block = _batch([5, 3]), tt.nn.ConvBlock(3, 4, 3, padding="same").double()
    fused = block(x).values
    seen: list[Tensor] = []
    monkeypatch.setattr(tt.nn.Conv1d, "rectified", lambda *_: seen.append(x.values))
    with pytest.raises(AttributeError):  # what the replacement returns is no batch
        block.conv.rectified(x).values  # noqa: B018
    for handle in (
        block.conv.register_forward_hook(lambda _m, _i, y: seen.append(y.values)),
        nn.modules.module.register_module_forward_hook(lambda *_: None),
    ):
        torch.testing.assert_close(block(x).values, fused)
        handle.remove()
    assert seen[1].min() < 0  # the hook saw the sums before relu
    twice = tt.nn.ConvBlock(3, 4, 3, padding="same").double()
    twice.conv = _Twice(3, 4, 3, padding="same").double()
    twice.conv.load_state_dict(block.conv.state_dict())
    torch.testing.assert_close(twice(x).values, 2 * fused)
    twice.conv = nn.Sequential(twice.conv)
    torch.testing.assert_close(twice(x).values, 2 * fused)


def test_an_image_block_is_its_parts_in_order() -> None:
    torch.manual_seed(0)
    block = tt.nn.ConvBlock2d(
        2, 4, 3, stride=2, padding=1, norm="batch", activation=F.gelu, pool=2, dropout=0.5
    )
    block = _trained(block)
    x = torch.randn(3, 2, 9, 8, dtype=torch.float64)
    y = F.conv2d(x, block.conv.weight, None, 2, 1)
    norm = block.norm
    y = F.batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
    torch.testing.assert_close(block(x), F.max_pool2d(F.gelu(y), 2))
    layer = tt.nn.ConvBlock2d(2, 4, 3, norm="layer", activation=None).double()
    torch.testing.assert_close(layer(x).mean(1), torch.zeros(3, 7, 6, dtype=torch.float64))
    bare = tt.nn.ConvBlock2d(2, 4, (3, 2), activation=None).double()
    torch.testing.assert_close(bare(x), F.conv2d(x, bare.conv.weight, bare.conv.bias))


def _image_model() -> nn.Module:
    return nn.Sequential(
        tt.nn.ConvBlock2d(2, 4, 3, padding=1, norm="batch"),
        tt.nn.ConvBlock2d(4, 3, 3, norm="batch", bias=True),
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: tt.nn.ConvBlock(3, 4, 3, padding="same", norm="batch", pool=2),
        lambda: tt.nn.ConvBlock(
            3, 6, 3, padding="causal", dilation=2, groups=3, norm="batch", weight_norm=True
        ),
        lambda: nn.Sequential(tt.nn.ResNetBlock(3, 4), tt.nn.ResNetBlock(4, 4)),
        lambda: tt.nn.WideConv(3, 4, (1, 2, 5), norm="batch", bias=True),
        lambda: tt.nn.ConvStack(3, [4, 4], 3, norm="batch", activation=nn.PReLU()),
        _image_model,
    ],
)
def test_folding_batch_norm_changes_nothing_but_round_off(make) -> None:
    torch.manual_seed(0)
    model = _trained(make())
    image = isinstance(model[0], tt.nn.ConvBlock2d) if isinstance(model, nn.Sequential) else False
    x = torch.randn(2, 2, 7, 7, dtype=torch.float64) if image else _batch([5, 0, 6, 7])
    expected = model(x)
    folded = tt.nn.fold_batch_norm(model)
    found = folded(x)
    if not image:
        found, expected = found.values, expected.values
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)

    def norms(module: nn.Module) -> int:
        blocks = (tt.nn.ConvBlock, tt.nn.ConvBlock2d)
        return sum(isinstance(part, blocks) and part.norm is not None for part in module.modules())

    assert norms(model) > 0
    assert norms(folded) == 0


def test_folding_is_for_inference_and_leaves_the_model_as_it_is() -> None:
    model = tt.nn.ConvBlock(3, 4, 3, norm="batch").train()
    folded = tt.nn.fold_batch_norm(model)
    assert model.training
    assert model.norm is not None
    assert not folded.training
    assert folded.conv.bias is not None


def test_blocks_of_a_stack_share_no_modules() -> None:
    stack = tt.nn.ConvStack(3, [4, 4], 3, activation=nn.PReLU(), norm="group")
    wide = tt.nn.WideConv(3, 4, (1, 2), activation=nn.PReLU())
    for blocks in (stack.blocks, wide.blocks):
        assert blocks[0].activation is not blocks[1].activation


def test_dilations_grow_and_begin_again() -> None:
    assert tt.nn.dilation_schedule(5) == (1, 2, 4, 8, 16)
    assert tt.nn.dilation_schedule(5, base=3, cycle=2) == (1, 3, 1, 3, 1)
    assert tt.nn.dilation_schedule(3, base=1) == (1, 1, 1)


def _weight_normalized(conv: nn.Module) -> tuple[Tensor, Tensor]:
    parts = conv.parametrizations.weight
    return parts.original0, parts.original1


def test_weight_norm_learns_length_and_direction_apart() -> None:
    block = tt.nn.ConvBlock(3, 4, 2, weight_norm=True)
    length, direction = _weight_normalized(block.conv)
    assert length.shape == (4, 1, 1)
    with torch.no_grad():
        before = block.conv.weight.clone()
        direction.mul_(3.0)
    torch.testing.assert_close(block.conv.weight, before)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: tt.nn.ConvBlock(3, 4, 3, norm="batchnorm"), "'batchnorm'"),
        (lambda: tt.nn.ConvBlock(3, 4, 3, norm="group", norm_groups=3), "divides the 4 channels, got 3"),
        (lambda: tt.nn.ConvBlock2d(3, 4, 3, norm="group", norm_groups=0), "divides the 4 channels, got 0"),
        (lambda: tt.nn.ConvStack(3, [], 3), "at least one block"),
        (lambda: tt.nn.ConvStack(3, [4, 4], (3,)), "1 kernel sizes for 2 blocks"),
        (lambda: tt.nn.ConvStack(3, [4, 4], 3, dilations=(1, 2, 4)), "3 dilations for 2 blocks"),
        (lambda: tt.nn.dilation_schedule(0), "depth is at least 1"),
        (lambda: tt.nn.dilation_schedule(3, cycle=0), "cycle is at least 1"),
        (lambda: tt.nn.GatedBlock(3, 4, 2, gate="relu"), "'relu'"),
        (lambda: tt.nn.Residual(nn.Linear(3, 4)).double()(_batch([2])), r"gives \(4,\), the shortcut \(3,\)"),
        (
            lambda: tt.nn.Residual(tt.nn.Conv1d(3, 3, 2)).double()(_batch([4])),
            "different lengths",
        ),
        (
            lambda: tt.nn.Residual(tt.nn.Conv1d(3, 3, 2))(torch.randn(1, 3, 5)),
            r"gives \(1, 3, 4\), the shortcut \(1, 3, 5\)",
        ),
    ],
)
def test_what_does_not_fit_is_named(call, words) -> None:
    with pytest.raises(ShapeError, match=words):
        call()
