"""Models by name, tasks, streams and truncated backpropagation on the device, as on the CPU."""

import copy
import itertools
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

import throughtime as tt
from tests.gpu.compared import computed, leaves, require_same, require_same_on_device
from tests.gpu.device import CUDA
from tests.models.named import BUILT, Built
from tests.models.test_next_step import OPTIONS, V
from tests.tasks.test_contract import CASES
from throughtime import Ragged
from throughtime.bptt import Carried, checkpointed, windows
from throughtime.data.examples import Examples
from throughtime.errors import InputTypeError, UnsupportedError
from throughtime.models import LanguageModel, sample
from throughtime.tasks import SequenceTask, model_outputs

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # torch's own remark
each_task = pytest.mark.parametrize("name", CASES)


@pytest.mark.parametrize("built", BUILT.values(), ids=str)
def test_a_model_by_name(built: Built) -> None:
    # Weight normalisation, which a TCN alone has, differs by up to 8e-9 on an H200 with torch 2.11.
    tolerance = 1e-7 if built.name == "tcn" else 1e-9
    require_same_on_device(built.make(), built.batch([6, 0, 1, 9, 140]), tolerance=tolerance)


@pytest.mark.parametrize("built", BUILT.values(), ids=str)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_a_model_under_autocast(built: Built, dtype: torch.dtype) -> None:
    model, x = built.make().float(), built.batch([6, 0, 1, 9, 140])
    x = x.float() if built.kind == "series" else x
    expected = leaves(model(x))[0]
    model, x = model.to(CUDA), x.to(CUDA)
    with torch.autocast(CUDA.type, dtype):
        found, gradients = computed(model, x, lambda model, x: model(x))
    # Models have up to ten layers, each of which rounds to 8 bits.
    torch.testing.assert_close(leaves(found)[0].float().cpu(), expected, rtol=0.1, atol=0.1)
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_losses_of_a_language_model(options: dict[str, Any]) -> None:
    """Also of the adaptive softmax."""
    torch.manual_seed(0)
    model = LanguageModel(V, **{"embedding_size": 20, "hidden_size": 20, "dropout": 0.0} | options).double()
    words = Ragged.from_lengths(torch.randint(V, (13,)), [5, 1, 0, 7])

    def losses(model: LanguageModel, words: Ragged) -> Any:
        return tuple(model.score(model.states(words).values, words.values))

    require_same_on_device(model, words, losses)
    prompt = torch.tensor([4, 8])
    drawn = [
        list(itertools.islice(sample(model.to(device), prompt.to(device), temperature=0, without=[3]), 8))
        for device in (torch.device("cpu"), CUDA)
    ]
    assert [step.tolist() for step in drawn[0]] == [step.tolist() for step in drawn[1]]


@each_task
def test_a_training_step_of_a_task(name: str) -> None:
    case = CASES[name]
    torch.manual_seed(0)
    model = case.model.build(case.source.shape, case.task).eval()  # without dropout
    batch = next(iter(case.task.training_batches(case.source, case.all_settings)))
    found = []
    for device in (torch.device("cpu"), CUDA):
        on_device = copy.deepcopy(model).to(device)
        values = case.task.step(on_device, batch.to(device), Carried())
        gradients = torch.autograd.grad(values.loss, list(on_device.parameters()), materialize_grads=True)
        assert {gradient.device for gradient in gradients} == {device}
        found.append(([gradient.cpu() for gradient in gradients], dict(values.sums()), values.weight))
    torch.testing.assert_close(found[1][0], found[0][0], rtol=1e-3, atol=1e-4)
    assert found[1][1] == pytest.approx(found[0][1], rel=1e-3)
    assert found[1][2] == found[0][2]


@each_task
def test_evaluation_of_a_task(name: str) -> None:
    case = CASES[name]
    torch.manual_seed(0)
    model = case.model.build(case.source.shape, case.task)
    arguments = case.source, case.source.validation, case.all_settings
    expected, examples = case.task.evaluate(model, *arguments)
    figures, count = case.task.evaluate(copy.deepcopy(model).to(CUDA), *arguments)
    assert (figures.keys(), count) == (expected.keys(), examples)
    assert figures == pytest.approx(expected, rel=1e-2, abs=1e-3, nan_ok=True)
    if isinstance(case.task, SequenceTask):
        validation = case.source.validation
        assert isinstance(validation, Examples)
        outputs = model_outputs(copy.deepcopy(model).to(CUDA), validation)
        assert outputs.device.type == "cpu"
        torch.testing.assert_close(
            leaves(outputs), leaves(model_outputs(model, validation)), rtol=1e-3, atol=1e-3
        )
        assert case.task.predictions(copy.deepcopy(model).to(CUDA), outputs)


STREAMS: dict[str, tuple[Any, int | None]] = {
    "lstm": (lambda: tt.models.LSTMModel(9, 3, embedding_size=5, hidden_size=7), None),
    "gru, mean": (lambda: tt.models.GRUModel(9, 3, embedding_size=5, hidden_size=7, pool="mean"), None),
    "tcn": (lambda: tt.models.TCN(4, 3, channels=(4, 4), kernel_size=3), 4),
    "scan": (lambda: nn.Sequential(tt.nn.QRNN(4, 5, kernel_size=3), tt.nn.Pool("max")), 4),
}


@pytest.mark.parametrize("name", STREAMS)
def test_sequences_that_arrive_piece_by_piece(name: str) -> None:
    make, channels = STREAMS[name]
    torch.manual_seed(0)
    model = make().double().eval()
    shape = (20,) if channels is None else (20, channels)
    values = torch.randint(9, shape) if channels is None else torch.randn(shape, dtype=torch.float64)
    expected = model(Ragged.from_list([values, values[:7]]))
    stream = tt.Stream(model.to(CUDA))
    for key in "ab":
        stream.open(key)
    stream.push({"a": values[:3], "b": values[:1].to(CUDA)})
    again = tt.Stream(model)
    again.load_state_dict(stream.state_dict())
    again.push({"a": values[3:], "b": values[1:4]})
    found = [again.close("a"), again.push({"b": values[4:7]})["b"]]
    assert {answer.device for answer in found} == {CUDA}
    torch.testing.assert_close(torch.stack(found).cpu(), expected)


@pytest.mark.parametrize("cls", [tt.nn.LSTM, tt.nn.GRU, tt.nn.MGU])
def test_windows_of_truncated_backpropagation(cls: type) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(cls(3, 4, num_layers=2), tt.nn.Linear(4, 1)).double()
    x = Ragged.from_lengths(torch.randn(22, 3).double(), [11, 0, 3, 8])
    found = []
    for device in (torch.device("cpu"), CUDA):
        twin, carried, losses = copy.deepcopy(model).to(device), Carried(), list[float]()
        optimizer = torch.optim.SGD(twin.parameters(), 0.1)
        for window in windows(x.to(device), 2, 5):
            with carried.carry(twin, window):
                output = twin(window.of(x.to(device)))
            loss = window.counted(output).values.square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            # As from a file.
            saved = pytree.tree_map(
                lambda part: part.cpu() if hasattr(part, "cpu") else part, carried.state_dict()
            )
            carried = Carried()
            carried.load_state_dict(saved)
        found.append((losses, [parameter.detach().cpu() for parameter in twin.parameters()]))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-9)
    torch.testing.assert_close(found[1][1], found[0][1])


@pytest.mark.parametrize("cls", [tt.nn.LSTM, tt.nn.GRU, tt.nn.MGU])
def test_checkpointed_backpropagation(cls: type) -> None:
    torch.manual_seed(0)
    layer, x = (
        cls(3, 4, num_layers=2).double(),
        Ragged.from_lengths(torch.randn(22, 3).double(), [11, 0, 3, 8]),
    )
    expected = computed(layer, x, lambda layer, x: layer(x))
    layer = layer.to(CUDA)
    require_same(
        computed(layer, x.to(CUDA), lambda layer, x: checkpointed(layer, x, segment=4)), expected, 1e-9
    )


def test_int8_weights_are_for_the_cpu_alone() -> None:
    model = tt.models.LSTMModel(9, 3, embedding_size=5, hidden_size=7).eval()
    with pytest.raises(UnsupportedError, match=rf"weights are torch.float32 on {CUDA}; move the model with"):
        tt.quantize(copy.deepcopy(model).to(CUDA))
    quantized, words = tt.quantize(model).to(CUDA), Ragged.from_list([torch.tensor([1, 2])])
    with pytest.raises(InputTypeError, match=rf"computes in float32 on a CPU, but was moved to .* on {CUDA}"):
        quantized(words.to(CUDA))


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_conversions_to_and_from_torch_keep_the_device(name: str) -> None:
    layer = getattr(tt.nn, name)(3, 4, num_layers=2).double().to(CUDA)
    x = torch.randn(2, 5, 3).double().to(CUDA)
    twin = tt.convert.to_torch(layer)
    back = tt.convert.from_torch(twin)
    for module in (twin, back):
        assert {parameter.device for parameter in module.parameters()} == {CUDA}
        torch.testing.assert_close(module(x)[0], layer(x)[0])


@pytest.mark.parametrize("cls", [tt.models.BiLSTM, tt.models.BiGRU, tt.models.BiRNN, tt.models.TextCNN])
def test_a_diagnosis(cls: type) -> None:
    torch.manual_seed(0)
    options = {} if cls is tt.models.TextCNN else {"hidden_size": 6}
    model = cls(vocabulary_size=12, outputs=3, embedding_size=5, **options).double()
    batch = Ragged.from_list([torch.tensor(row) for row in ([1, 2, 3, 4, 5], [6], [7, 8, 9])])

    def loss(logits: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(logits, torch.arange(3, device=logits.device))

    expected = tt.diagnose.diagnose(model, batch, loss, examples=2).to_json()
    found = tt.diagnose.diagnose(model.to(CUDA), batch.to(CUDA), loss, examples=2).to_json()
    assert _keys(found) == _keys(expected)
    assert _numbers(found) == pytest.approx(_numbers(expected), rel=1e-5, abs=1e-8)


def _keys(content: Any) -> Any:
    """JSON without its numbers."""
    return pytree.tree_map(lambda leaf: 0 if isinstance(leaf, float) else leaf, content)


def _numbers(content: Any) -> list[float]:
    return [leaf for leaf in pytree.tree_leaves(content) if isinstance(leaf, float)]


def test_the_first_number_that_is_not_finite_is_found() -> None:
    model = nn.Sequential(tt.nn.LSTM(3, 4), tt.nn.Linear(4, 1)).to(CUDA)
    values = torch.randn(6, 3)
    values[3, 1] = float("inf")
    x = Ragged.from_lengths(values, [2, 4]).to(CUDA)
    found = tt.diagnose.locate_not_finite(model, lambda: model(x).values.sum())
    assert found == "0: the input is not finite, first at step 1 of sequence 1"
