"""Modules as users of torch.nn write them, recorded once and run on batches of other sizes and lengths.

What torch.export records, and what torch.onnx.export writes, gives the results of the module in float64.
"""

import copy
import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn
from torch._inductor import aoti_compile_and_package, aoti_load_package, cpp_builder
from torch._inductor.exc import InvalidCxxCompiler
from torch.export import Dim, ExportedProgram
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import throughtime as tt
from throughtime.errors import UnsupportedError

from .runtime import close, run, session
from .users_modules import CASES, Case, PackedTagger

pytestmark = pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.`:FutureWarning")

each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
RECORDED, OTHERS = (4, 6), ((2, 9), (5, 3), (3, 12))  # sequences and steps


def _leaves(results: Any) -> list[Tensor]:
    return list(results) if isinstance(results, tuple | list) else [results]


def _expected(model: nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """What the module gives in float64."""
    exact = copy.deepcopy(model).double()
    with torch.no_grad():
        return _leaves(exact(*(x.double() if x.is_floating_point() else x for x in inputs)))


def _check(model: nn.Module, recorded: Callable[..., Any], inputs: tuple[Tensor, ...]) -> None:
    with torch.no_grad():
        results = _leaves(recorded(*inputs))
    for result, wanted in zip(results, _expected(model, inputs), strict=True):
        close(result.to(wanted.dtype), wanted)


def _recorded(case: Case) -> tuple[nn.Module, ExportedProgram]:
    torch.manual_seed(0)
    model = case.make().eval()
    with tt.export.packed_sequences():
        return model, torch.export.export(
            model, case.inputs(*RECORDED), dynamic_shapes=case.dynamic_shapes, strict=False
        )


def _reloaded(program: ExportedProgram) -> ExportedProgram:
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    return torch.export.load(file)


def _in_onnxruntime(program: torch.onnx.ONNXProgram) -> Callable[..., list[Tensor]]:
    runtime = session(program.model_proto)
    names = [value.name for value in runtime.get_inputs()]
    return lambda *inputs: list(run(runtime, **dict(zip(names, inputs, strict=True))).values())


@each_case
def test_recorded_saved_and_in_onnxruntime(case: Case) -> None:
    model, program = _recorded(case)
    written = torch.onnx.export(
        program, dynamo=True, verbose=False, custom_translation_table=tt.export.onnx_translations()
    )
    assert written is not None
    operators = Counter(node.op_type for node in written.model_proto.graph.node)
    assert {name: operators[name] for name in ("RNN", "LSTM", "GRU") if operators[name]} == case.recurrent
    for recorded in (_reloaded(program).module(), _in_onnxruntime(written)):
        for sizes in OTHERS:
            _check(model, recorded, case.inputs(*sizes))
    _check(model, _in_onnxruntime(written), case.inputs(1, 1))


# ----------------------------------------------------------------------------------------- packed sequences


def test_packing_is_refused_outside_the_context_with_what_to_do() -> None:
    case = CASES["packed"]
    with pytest.raises(UnsupportedError, match=r"packed_sequences\(\), or .*Ragged\.from_padded") as error:
        torch.export.export(
            case.make().eval(), case.inputs(*RECORDED), dynamic_shapes=case.dynamic_shapes, strict=False
        )
    assert str(error.value).startswith("LSTM: torch.export records a wrong number of tokens")
    with tt.export.packed_sequences():  # outside of an export nothing changes
        x = torch.randint(0, 20, (2, 5)), torch.tensor([5, 3])
        PackedTagger()(*x)


@pytest.mark.parametrize(
    ("lengths", "message"), [([2, 7], "between 1 and the number of steps"), ([0, 6], "between 1 and")]
)
def test_lengths_that_do_not_fit_are_refused_when_the_program_runs(lengths: list[int], message: str) -> None:
    _, packed = _recorded(CASES["packed"])
    tokens = torch.zeros(2, 6, dtype=torch.int64)
    with pytest.raises(RuntimeError, match=f"pack_padded_sequence: lengths must be {message}"):
        packed.module()(tokens, torch.tensor(lengths))


def test_unsorted_lengths_are_refused_when_the_program_runs() -> None:
    _, program = _recorded(CASES["packed and sorted"])
    with pytest.raises(RuntimeError, match="in descending order; use enforce_sorted=False"):
        program.module()(torch.zeros(6, 2, 3), torch.tensor([3, 6]), torch.zeros(1, 2, 4))


class _OfPacked(nn.Module):
    """A layer on the parts of a PackedSequence that is made outside."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, data: Tensor, batch_sizes: Tensor) -> tuple[Tensor, Tensor]:
        packed, h = self.layer(PackedSequence(data, batch_sizes))
        padded, lengths = nn.utils.rnn.pad_packed_sequence(packed)
        return padded, lengths + h.shape[1]


@pytest.mark.parametrize("layer", [lambda: tt.nn.GRU(3, 4), lambda: tt.nn.MinGRU(3, 4)])
def test_packed_sequences_that_are_inputs(layer: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    model, rows = _OfPacked(layer()).eval(), {0: Dim.DYNAMIC}

    def inputs(*lengths: int) -> tuple[Tensor, Tensor]:
        packed = pack_sequence([torch.randn(length, 3) for length in lengths])
        return packed.data, packed.batch_sizes

    with tt.export.packed_sequences():
        program = torch.export.export(model, inputs(5, 3, 2), dynamic_shapes=(rows, rows), strict=False)
    for lengths in ((9, 9, 1, 1), (2, 2)):
        _check(model, program.module(), inputs(*lengths))


# --------------------------------------------------------------------------------- torch.jit.trace, and C++


@each_case
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning", "ignore:Constant folding:UserWarning"
)
def test_jit_trace_and_the_legacy_exporter_refuse_or_are_right(case: Case) -> None:
    model, inputs = case.make().eval(), case.inputs(*RECORDED)
    if case.recurrent:
        with torch.no_grad(), pytest.raises(UnsupportedError, match=r"torch\.export\.export"):
            torch.jit.trace(model, inputs)
        with torch.no_grad(), pytest.raises(UnsupportedError, match=r"dynamo=True"):
            torch.onnx.export(model, inputs, io.BytesIO(), dynamo=False)
        return
    with torch.no_grad():
        traced = torch.jit.trace(model, inputs)
    names = [f"x{place}" for place in range(len(inputs))]
    shapes = zip(names, case.dynamic_shapes, strict=True)
    axes = {name: {dim: f"{name}_{dim}" for dim in dims} for name, dims in shapes}
    file = io.BytesIO()
    torch.onnx.export(model, inputs, file, dynamo=False, input_names=names, dynamic_axes=axes)
    runtime = session(onnx.load_from_string(file.getvalue()))
    for sizes in OTHERS:
        _check(model, traced, case.inputs(*sizes))
        _check(
            model,
            lambda *x: list(run(runtime, **dict(zip(names, x, strict=True))).values()),
            case.inputs(*sizes),
        )


class _OfRagged(nn.Module):
    """Three operators of throughtime, which a package calls through the dispatcher of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.convolution = tt.nn.GRU(3, 4), tt.nn.Conv1d(4, 4, 3, padding="causal")
        self.pool = tt.nn.Pool("max")

    def forward(self, x: tt.Ragged) -> tuple[Tensor, Tensor]:
        y, h = self.gru(x)
        return self.pool(self.convolution(y)), h


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # Inductor's own
def test_a_package_of_aotinductor_gives_the_results_of_the_module(tmp_path: Path) -> None:
    try:
        cpp_builder.get_cpp_compiler()
    except InvalidCxxCompiler:
        pytest.skip("AOTInductor needs a C++ compiler")
    torch.manual_seed(0)
    model, rows = _OfRagged().eval(), {0: Dim.DYNAMIC}

    def inputs(*lengths: int) -> tt.Ragged:
        return tt.Ragged.from_lengths(torch.randn(sum(lengths), 3), lengths)

    with torch.no_grad():
        program = torch.export.export(model, (inputs(4, 5),), dynamic_shapes=([rows, rows],), strict=False)
        package = aoti_compile_and_package(program, package_path=str(tmp_path / "model.pt2"))
        compiled = aoti_load_package(package)
        for lengths in ((2, 9, 6), (7, 1), (3, 3, 3, 12)):
            x = inputs(*lengths)
            wanted = copy.deepcopy(model).double()(x.with_values(x.values.double()))
            for result, exact in zip(compiled(x), wanted, strict=True):
                close(result.double(), exact)
