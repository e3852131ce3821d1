"""The public names, and that the layers import torch and numpy alone."""

import subprocess
import sys
import tomllib
from pathlib import Path

import throughtime as tt

PUBLIC = {
    "throughtime": "Ragged Stream bptt collate convert diagnose errors export models nn quantize quantized",
    "throughtime.errors": "DataError InputTypeError NotCausalError NotFiniteError RunError ShapeError ThroughtimeError UnsupportedError",
    "throughtime.nn": "Activation AttentionGRU AttentionGRUCell AttentionPool AvgPool1d Bidirectional CRF Cell Conv1d ConvBlock ConvBlock2d ConvStack ConvTranspose1d DirectionGradients DirectionTrace Dropout GRU GRUCell GatedBlock GroupNorm IndRNN IndRNNCell InstanceNorm1d LSTM LSTMCell LayerNormGRU LayerNormGRUCell LayerNormLSTM LiGRU LiGRUCell Linear LockedDropout MGU MaxPool1d MinGRU MinLSTM MiniRocket MultiplicativeLSTM MultiplicativeLSTMCell Parallel PeepholeSRU PeepholeSRUCell Pool QRNN RNN RNNCell Readout ReceptiveField Recurrence RecurrenceGradients RecurrenceTrace RecurrentDropout RecurrentHighway RecurrentHighwayCell RecurrentOutput ResNetBlock Residual SLSTM SLSTMCell SRU Stack StackTrace Stream TemporalBlock Trace WideConv Zoneout bio_constraints description dilation_schedule fold_batch_norm functional init output_lengths receptive_field record weight_drop",
    "throughtime.export": "onnx onnx_int8 onnx_translations packed_sequences stream_state",
    "throughtime.convert": "KeptLayer OnnxOperator SwapReport SwappedLayer from_keras from_onnx from_torch swap_ to_keras to_onnx to_torch unswap_ with_update",
    "throughtime.quantized": "QuantizedConv1d QuantizedEmbedding QuantizedLinear QuantizedReadout QuantizedRecurrent quantize",
    "throughtime.bptt": "Carried Window checkpointed streams windows",
    "throughtime.diagnose": "AdaptiveClip ClipEvent Diagnosis ExampleDiagnosis FilterNgrams Finding GateSaturation GradientFlow Influence InputProfiles LayerDiagnosis LayerFlow LayerHorizon LayerProfiles Lyapunov LyapunovSummary ModuleNorms Profile ProfileSummary RecencySummary Saturation Spectrum SpectrumSummary Watch clipping diagnose drifting effective_horizon filter_ngrams findings_of_flow first_gradient_not_finite first_not_finite gradient_flow influence locate_not_finite lyapunov_exponents no_gain_over_bag_of_words order_unused spectrum vanished_not_converged watch",
    "throughtime.models": "BiGRU BiLSTM BiRNN Blend CharCNN FCN ForecastModel FrameModel GRUModel InceptionTime LSTMFCN LSTMModel LanguageModel LeNet MODELS ModelInputs NGrams NamedModel RNNModel ResNet Rocket TCN TextCNN all_options build_model check_options is_solved model_options models_for sample",
}


def _module(name: str):
    return tt if name == "throughtime" else getattr(tt, name.partition(".")[2])


def test_the_public_names_are_these() -> None:
    inner = {
        "baselines",
        "bench",
        "ops",
        "ragged",
        "data",
        "learn",
        "tasks",
        "training",
        "report",
        "logs",
        "demo",
    }
    inner |= {"cli", "estimators", "serve", "_native"}
    inner |= {
        "conv",
        "crf",
        "dropout",
        "inputs",
        "linear",
        "cells",
        "locked_dropout",
        "norm",
        "pool",
        "readout",
        "rocket",
        "stack",
    }
    inner |= {"recurrence", "recurrent", "scan", "stack", "streaming", "trace", "next_step", "solved"}
    for name, expected in PUBLIC.items():
        found = {public for public in vars(_module(name)) if not public.startswith("_")}
        assert found - inner == set(expected.split()), name


def test_every_error_is_ours_and_one_that_python_knows() -> None:
    for name in PUBLIC["throughtime.errors"].split():
        error = getattr(tt.errors, name)
        assert issubclass(error, tt.errors.ThroughtimeError)
        assert name == "ThroughtimeError" or issubclass(error, (ValueError, TypeError, ArithmeticError))


def test_public_names_are_documented() -> None:
    for name, names in PUBLIC.items():
        for public in names.split():
            assert getattr(_module(name), public).__doc__, f"{name}.{public}"


def test_the_layers_need_torch_and_numpy_alone() -> None:
    heavy = "pytorch_lightning sklearn scipy pyarrow tokenizers safetensors jinja2 plotly typer rich joblib onnx onnxscript"
    code = f"import torch, sys; before = set(sys.modules); import throughtime; new = set(sys.modules) - before; print(*[m for m in {heavy.split()} if m in new])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_version_is_the_one_of_the_project_file() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert tt.__version__ == project["version"]
    assert "__version__" in dir(tt)
