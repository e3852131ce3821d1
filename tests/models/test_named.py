"""Models by name: a contract over every name, input and level, and what is refused."""

from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import InputTypeError, NotCausalError, ShapeError, UnsupportedError
from throughtime.models import (
    MODELS,
    ModelInputs,
    all_options,
    build_model,
    check_options,
    model_options,
    models_for,
)

from .named import BUILT, CHANNELS, OUTPUTS, PER_STEP, WITH_OUTPUTS, WORDS, Built, rows

TIGHT = {"rtol": 1e-9, "atol": 1e-9}
each_built = pytest.mark.parametrize("built", BUILT.values(), ids=str)
each_with_outputs = pytest.mark.parametrize("built", WITH_OUTPUTS.values(), ids=str)
each_per_step = pytest.mark.parametrize("built", PER_STEP.values(), ids=str)

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # torch's own remark


def _gradients(model: nn.Module, outputs: list[Tensor], numbers: list[int]) -> list[Tensor]:
    """Of a loss in which every output of a sequence counts differently, by the sequence's number."""
    loss = torch.zeros((), dtype=torch.float64)
    for number, output in zip(numbers, outputs, strict=True):
        weights = torch.arange(1, output.numel() + 1, dtype=torch.float64).cos().view(output.shape)
        loss = loss + (number + 1) * (output * weights).sum()
    return list(torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True))


@each_built
def test_a_sequence_alone_is_the_sequence_in_a_batch(built: Built) -> None:
    model, x = built.make(), built.batch([6, 0, 1, 9, 140])
    output = model(x)
    if built.level == "sequence":
        assert output.shape == (5, OUTPUTS)
    else:
        assert output.lengths.tolist() == [6, 0, 1, 9, 140]
    alone = [rows(model(x[[b]]))[0] for b in range(5)]
    for found, expected in zip(rows(output), alone, strict=True):
        torch.testing.assert_close(found, expected, **TIGHT)
    summed = [_gradients(model, [row], [b]) for b, row in enumerate(alone)]
    expected_gradients = [sum(parts) for parts in zip(*summed, strict=True)]
    gradients = _gradients(model, rows(output), list(range(5)))
    torch.testing.assert_close(gradients, expected_gradients, **TIGHT)
    unreached = [
        name for (name, _), g in zip(model.named_parameters(), gradients, strict=True) if not g.any()
    ]
    assert unreached == []


@each_built
def test_weights_are_restored(built: Built) -> None:
    model, other, x = built.make(), built.make(seed=1), built.batch([6, 3])
    expected = rows(model(x))
    assert not torch.allclose(rows(other(x))[0], expected[0])
    other.load_state_dict(model.state_dict())
    for found, right in zip(rows(other(x)), expected, strict=True):
        assert torch.equal(found, right)


@each_with_outputs
def test_extra_features_are_added_in_front_of_the_output_layer(built: Built) -> None:
    """y = W h + V e + b: the model without extra features has W, and V e is the difference."""
    model, x = built.make(extra=2), built.batch([6, 0, 3])
    extra = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    plain = built.make()
    own, reduced = model.state_dict(), plain.state_dict()
    pairs = list(
        zip(own.values(), reduced.values(), strict=True)
    )  # the names of ensembles' weights are shifted
    (matrix,) = (value for value, other in pairs if value.shape != other.shape)
    values = (value[:, :-2] if value is matrix else value for value, _ in pairs)
    plain.load_state_dict(dict(zip(reduced, values, strict=True)))
    added = extra @ matrix[:, -2:].t()
    output = model(x, extra)
    for found, without, more in zip(rows(output), rows(plain(x)), added, strict=True):
        torch.testing.assert_close(found, without + more, **TIGHT)
    (gradient,) = torch.autograd.grad(sum(row.sum() for row in rows(output)), extra)
    assert gradient[0].all()
    assert gradient[2].all()


@each_with_outputs
def test_extra_features_that_do_not_fit_are_named(built: Built) -> None:
    model, x = built.make(extra=2), built.batch([6, 3])
    name = type(model).__name__
    with pytest.raises(InputTypeError, match=rf"{name} expects extra features \(B, 2\), got NoneType"):
        model(x)
    with pytest.raises(ShapeError, match=rf"{name} expects extra features \(B, 2\), got shape \(2, 3\)"):
        model(x, torch.zeros(2, 3).double())
    with pytest.raises(ShapeError, match=f"{name}: 3 rows of extra features for 2 sequences"):
        model(x, torch.zeros(3, 2).double())
    with pytest.raises(ShapeError, match=rf"{name} takes no extra features, got shape \(2, 2\)"):
        built.make()(x, torch.zeros(2, 2).double())


# The outputs of a sequence by those of its steps: the output layer is linear.
POOLED = {
    **{name: {"pool": "mean"} for name in ("rnn", "lstm", "gru", "birnn", "bilstm", "bigru")},
    **{name: {} for name in ("tcn", "fcn", "resnet", "inceptiontime")},
}


@each_per_step
def test_the_output_of_a_sequence_is_pooled_from_those_of_its_steps(built: Built) -> None:
    x, options = built.batch([6, 1, 9]), POOLED.get(built.name, {})
    per_step, whole = built.make(**options), built._replace(level="sequence").make(**options)
    whole.load_state_dict(dict(zip(whole.state_dict(), per_step.state_dict().values(), strict=True)))
    if built.name in POOLED:
        pool = tt.nn.Pool("last" if built.name == "tcn" else "mean")
        expected = pool(per_step(x))
    else:
        features = x if per_step.embedding is None else per_step.embedding(x)
        features = per_step.convolutions(features)
        torch.testing.assert_close(per_step(x).values, per_step.output(features).values, **TIGHT)
        expected = whole.output(tt.nn.Pool("max")(features))
    torch.testing.assert_close(whole(x), expected, **TIGHT)


def test_a_causal_model_reads_its_steps_from_a_stream_and_others_are_refused() -> None:
    streamed = set()
    for built in PER_STEP.values():
        model, x = built.make(), built.batch([12, 7])
        (head, rest), stream = x.split_time([5, 7]), tt.nn.Stream(model)
        assert tt.nn.output_lengths(model, [12, 7]).tolist() == [12, 7]
        try:
            first, state = stream(head)
        except NotCausalError:
            assert tt.nn.receptive_field(model).last > 0
            continue
        second, _ = stream(rest, state)
        found = Ragged.cat_time([first, second])
        torch.testing.assert_close(found.values, model(x).values, **TIGHT)
        streamed.add(built.name)
    assert streamed == {"rnn", "lstm", "gru", "tcn"}


def test_a_model_of_tokens_has_the_field_of_that_of_series() -> None:
    for built in PER_STEP.values():
        twin = built._replace(kind="series")
        assert tt.nn.receptive_field(built.make()) == tt.nn.receptive_field(twin.make())


def test_what_reads_extra_features_is_refused_by_the_name_of_the_part() -> None:
    model = Built("lstm", "series", "step").make(extra=2)
    x = Built("lstm", "series", "step").batch([3])
    asked = (
        lambda: tt.nn.receptive_field(model),
        lambda: tt.nn.output_lengths(model, [3]),
        lambda: tt.nn.Stream(model)(x),
    )
    for ask in asked:
        with pytest.raises(InputTypeError, match=r"extra .*ExtraFeatures.* reads 2 extra features"):
            ask()


def test_an_ensemble_averages_outputs_by_name_and_probabilities_by_default() -> None:
    for level in ("sequence", "step"):
        built = Built("inceptiontime", "series", level)
        model, x = built.make(members=3), built.batch([5, 9])
        outputs = [member(x) for member in model.members]
        mean = sum(output if level == "sequence" else output.values for output in outputs) / 3
        torch.testing.assert_close(model(x) if level == "sequence" else model(x).values, mean, **TIGHT)
        model.average = "probabilities"
        per_member = [(output if level == "sequence" else output.values).softmax(1) for output in outputs]
        found = model(x) if level == "sequence" else model(x).values
        torch.testing.assert_close(found.exp(), sum(per_member) / 3, **TIGHT)


# ------------------------------------------------------------------ options


def test_an_option_of_a_name_means_the_same_everywhere() -> None:
    flags = []
    for name, models in all_options().items():
        assert models == {
            model: model_options(model)[name] for model in MODELS if name in model_options(model)
        }
        assert len({(option.help, option.flag) for option in models.values()}) == 1, name
        flags.append(next(iter(models.values())).flag)
    assert len(set(flags)) == len(flags)
    assert "--layers" in flags
    assert set(all_options()) == {name for model in MODELS for name in model_options(model)}


@pytest.mark.parametrize("name", MODELS)
def test_defaults_are_values_of_their_kind_and_those_of_the_class(name: str) -> None:
    options = model_options(name)
    check_options(name, {option.name: option.default for option in options.values()})
    level = MODELS[name].levels[0]
    inputs = ModelInputs(vocabulary_size=9) if "tokens" in MODELS[name].reads else ModelInputs(channels=2)
    outputs = None if level == "next" else 2
    with torch.device("meta"):
        plain = build_model(name, inputs, outputs, level=level)
        defaults = {option.name: option.default for option in options.values()}
        full = build_model(name, inputs, outputs, level=level, options=defaults)
    assert str(plain) == str(full)


def test_options_are_read_from_text() -> None:
    def parsed(name: str, option: str, text: str) -> Any:
        return model_options(name)[option].parse(text)

    assert parsed("textcnn", "kernel_sizes", "2,3, 5") == (2, 3, 5)
    assert parsed("textcnn", "kernel_sizes", "2") == (2,)
    assert parsed("fcn", "channels", "64") == 64
    assert parsed("fcn", "channels", "64,32") == (64, 32)
    assert parsed("lstm", "dropout", "0.25") == 0.25
    assert parsed("lstm", "pool", "last") == "last"
    assert parsed("lstmfcn", "length", "none") is None
    assert parsed("lstmfcn", "length", "12") == 12
    assert parsed("language", "tied", "false") is False
    assert parsed("language", "cutoffs", "") == ()
    for name, option, text, words in [
        ("lstm", "hidden_size", "wide", "--hidden-size must be a whole number, got 'wide'"),
        ("lstm", "num_layers", "1.5", "--layers must be a whole number, got '1.5'"),
        ("language", "tied", "maybe", "--tied must be true or false, got 'maybe'"),
    ]:
        with pytest.raises(InputTypeError, match=words):
            parsed(name, option, text)


def test_choices_are_those_of_the_annotation() -> None:
    assert model_options("gru")["pool"].choices == ("max", "mean", "last")
    assert model_options("gru")["hidden_size"].choices == ()
    assert get_args(model_options("language")["cell"].kind) == ("lstm", "gru", "rnn")


def test_options_change_the_model() -> None:
    model = build_model(
        "bilstm",
        ModelInputs(vocabulary_size=9),
        2,
        options={"num_layers": 2, "hidden_size": 7, "pool": "last"},
    )
    assert (model.recurrent.num_layers, model.recurrent.hidden_size, model.pool.kind) == (2, 7, "last")
    tcn = build_model("tcn", ModelInputs(channels=2), 2, options={"channels": [4, 6]})
    assert (len(tcn.body), tcn.output.in_features) == (2, 6)
    assert len(build_model("tcn", ModelInputs(channels=2), 2, options={"channels": 4}).body) == 8


def test_models_for_a_level_and_an_input() -> None:
    assert set(models_for("step")) == {
        "rnn", "lstm", "gru", "birnn", "bilstm", "bigru", "textcnn", "tcn", "fcn", "resnet", "inceptiontime",
    }  # fmt: skip
    assert set(models_for("sequence")) == {*models_for("step"), "charcnn", "lstmfcn", "ngrams", "rocket"}
    assert set(models_for("sequence", "series")) == {*models_for("step"), "lstmfcn", "rocket"}
    assert models_for("next", "tokens") == ("language",)


TOKENS, SERIES = ModelInputs(vocabulary_size=WORDS), ModelInputs(channels=CHANNELS)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: build_model("lstn", TOKENS, 2),
            ShapeError,
            "unknown model 'lstn'; choose one of rnn, lstm,",
        ),
        (
            lambda: build_model("lstn", TOKENS, level="next"),
            ShapeError,
            "unknown model 'lstn'; choose one of language, frame, forecast",
        ),
        (
            lambda: build_model("charcnn", TOKENS, 2, level="step"),
            UnsupportedError,
            "charcnn has one output per sequence; a model that has one output per step is one of rnn, lstm,",
        ),
        (
            lambda: build_model("lstmfcn", SERIES, 2, level="step"),
            UnsupportedError,
            "lstmfcn has one output per sequence",
        ),
        (
            lambda: build_model("language", TOKENS, 2),
            UnsupportedError,
            "language predicts the next step; a model that has one output per sequence is one of rnn,",
        ),
        (
            lambda: build_model("charcnn", SERIES, 2),
            UnsupportedError,
            "charcnn reads tokens, not series; a model that does is one of rnn,",
        ),
        (
            lambda: build_model("language", SERIES, level="next"),
            UnsupportedError,
            "language reads tokens, not series; a model that does is one of frame, forecast",
        ),
        (
            lambda: build_model("forecast", ModelInputs(channels=2, extra=1), level="next"),
            UnsupportedError,
            "forecast reads no extra features of the whole sequence, got 1; leave them out",
        ),
        (
            lambda: build_model("forecast", SERIES, 2, level="next"),
            ShapeError,
            "no other outputs, got outputs=2",
        ),
        (
            lambda: build_model("lstm", SERIES),
            InputTypeError,
            "lstm: outputs must be a whole number, got None",
        ),
        (lambda: build_model("lstm", SERIES, 0), ShapeError, "lstm: outputs must be at least 1, got 0"),
        (
            lambda: build_model("lstm", SERIES, 2, level="all"),
            ShapeError,
            "level must be one of sequence, step",
        ),
        (
            lambda: build_model("textcnn", TOKENS, 2, options={"width": 3}),
            ShapeError,
            "textcnn has no option 'width'; its options are embedding_size, channels, kernel_sizes, dropout",
        ),
        (
            lambda: build_model("textcnn", TOKENS, 2, options={"per_step": True}),
            ShapeError,
            "textcnn has no option 'per_step'",
        ),
        (
            lambda: check_options("lstm", {"hidden_size": "8"}),
            InputTypeError,
            "lstm: hidden_size must be a whole number, got '8'",
        ),
        (
            lambda: check_options("lstm", {"hidden_size": True}),
            InputTypeError,
            "lstm: hidden_size must be a whole number, got True",
        ),
        (
            lambda: check_options("lstm", {"hidden_size": 0}),
            ShapeError,
            "hidden_size must be at least 1, got 0",
        ),
        (lambda: check_options("lstm", {"dropout": 1.5}), ShapeError, "dropout must be from 0 to 1, got 1.5"),
        (lambda: check_options("lstm", {"dropout": float("nan")}), ShapeError, "dropout must be from 0 to 1"),
        (
            lambda: check_options("lstm", {"pool": "sum"}),
            ShapeError,
            "lstm: pool must be one of max, mean, last, got 'sum'",
        ),
        (lambda: check_options("lstm", {"pool": 3}), InputTypeError, "lstm: pool must be a string, got 3"),
        (
            lambda: check_options("fcn", {"kernel_sizes": 3}),
            InputTypeError,
            "fcn: kernel_sizes must be a list of whole numbers, got 3",
        ),
        (
            lambda: check_options("fcn", {"channels": [3, 0]}),
            ShapeError,
            "fcn: channels must be at least 1, got [3, 0]",
        ),
        (lambda: model_options("cnn"), ShapeError, "unknown model 'cnn'; choose one of rnn,"),
        (
            lambda: tt.models.CharCNN(SERIES, 2),
            UnsupportedError,
            "CharCNN reads tokens, not series",
        ),
        (
            lambda: build_model("fcn", SERIES, 2, options={"kernel_sizes": [5, 3]}),
            ShapeError,
            "FCN: 3 channels and 2 kernel sizes; give one of each for every block",
        ),
        (
            lambda: build_model("resnet", SERIES, 2, options={"channels": []}),
            ShapeError,
            "ResNet: channels is empty; give a number for each block",
        ),
        (lambda: ModelInputs(), ShapeError, "ModelInputs got neither of vocabulary_size and channels"),
        (lambda: ModelInputs(3, 3), ShapeError, "ModelInputs got both of vocabulary_size and channels"),
        (lambda: ModelInputs(0), ShapeError, "ModelInputs: vocabulary_size must be at least 1, got 0"),
        (lambda: ModelInputs(3, extra=-1), ShapeError, "ModelInputs: extra must be at least 0, got -1"),
        (lambda: ModelInputs(channels=2.0), InputTypeError, "channels must be a whole number, got 2.0"),
        (
            lambda: tt.models.FCN(2, 3, per_step=True)(torch.randn(4, 2, 9)),
            UnsupportedError,
            "FCN with an output for each step takes a Ragged, got a tensor (4, 2, 9)",
        ),
        (
            lambda: tt.models.FCN(TOKENS, 3)(torch.zeros(4, 9, dtype=torch.int64)),
            InputTypeError,
            "FCN takes a Ragged, got a tensor of shape (4, 9)",
        ),
        (
            lambda: tt.models.InceptionTime(TOKENS, 3, members=1)(torch.zeros(4, 9, dtype=torch.int64)),
            InputTypeError,
            "InceptionTime takes a Ragged, got a tensor of shape (4, 9)",
        ),
        (
            lambda: tt.models.InceptionTime(2, 3, average="median"),
            ShapeError,
            "InceptionTime: average is one of probabilities, outputs; got 'median'",
        ),
    ],
)
def test_what_cannot_be_built_is_named(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
