"""Public models with recurrent layers, before and after `tt.convert.swap_`: results, and times of training.

    python benchmarks/swapped_models.py [--rounds 7] [--threads 1] [--only NAME] [--processor-time]

The models are those of installed packages, with random weights; a model whose package is missing is skipped.

stanza NER      `stanza.models.ner.model.NERTagger`: words, a character BiLSTM, a BiLSTM and a CRF; packed
stanza POS      `stanza.models.pos.model.Tagger`: words, a character LSTM and a highway BiLSTM; packed
G2P encoder     `speechbrain.nnet.RNN.LSTM`, four bidirectional layers, and CTC; packed
CRDNN           `speechbrain.lobes.models.CRDNN`: 2-D convolutions, a BiLSTM and linear layers; padded
Tacotron2       `torchaudio.models.Tacotron2`: a packed BiLSTM, and LSTM cells that write a spectrogram
EnCodec         `transformers.EncodecModel`: convolutions with weight normalisation, and LSTMs; padded

For each, prints the largest absolute difference between the outputs of torch's layers and ours in float32 and
float64, in evaluation mode, and that of all gradients relative to the largest gradient. A training step is a
forward pass in training mode, a backward pass and Adam. Torch's model and ours run in turns, and a ratio is
the median over rounds. The same is measured for RNN, LSTM and GRU layers alone, forward and backward, on the
inputs that they get in the model.

`pip install stanza speechbrain torchaudio transformers` installs all of them.
"""

import argparse
import copy
import importlib
import statistics
import time
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pad_sequence
from torch.utils import _pytree as pytree

import throughtime as tt

Results = tuple[Tensor, ...]


@dataclass(frozen=True)
class Times:
    """Median seconds with torch's layers and with ours, and the median ratio of both."""

    theirs: float
    ours: float
    ratio: float

    def __str__(self) -> str:
        """Return them as text."""
        times = f"{self.theirs * 1e3:.1f} ms with torch, {self.ours * 1e3:.1f} ms with ours"
        return f"{times}: {self.ratio:.2f} times"


@dataclass(frozen=True)
class Case:
    """A model of a package, and what it computes for a fixed batch.

    Parameters
    ----------
    package
        Which must be installed.
    build
        Returns the model, and a function of it that returns a loss and other outputs.
    """

    package: str
    build: Callable[[], tuple[nn.Module, Callable[[nn.Module], Results]]]


class _Vocabulary:
    """Stands for a vocabulary of stanza's, or for several of them, such as those of all features of words."""

    def __init__(self, *sizes: int) -> None:
        self.sizes = sizes

    def __len__(self) -> int:
        return self.sizes[0] if len(self.sizes) == 1 else len(self.sizes)

    def lens(self) -> tuple[int, ...]:
        return self.sizes

    def map(self, words: list[str]) -> list[int]:
        return [2 + hash(word) % (len(self) - 2) for word in words]


@dataclass(frozen=True)
class _Sentences:
    """Sentences as stanza's taggers read them: longest first, and all words sorted by their length."""

    lengths: list[int]
    words: list[list[str]]
    characters: Tensor
    word_order: list[int]
    word_lengths: list[int]


def _sentences(count: int) -> _Sentences:
    lengths = sorted((10 + 30 * torch.rand(count)).int().tolist(), reverse=True)
    sizes = torch.randint(1, 12, (sum(lengths),))
    order = sizes.argsort(descending=True, stable=True)
    characters = torch.randint(2, 100, (len(sizes), 12))
    characters = characters.masked_fill(torch.arange(12) >= sizes[order][:, None], 0)[:, : int(sizes.max())]
    words = [[f"w{i}" for i in torch.randint(20_000, (length,)).tolist()] for length in lengths]
    return _Sentences(lengths, words, characters, order.tolist(), sizes[order].tolist())


def _padded_tags(lengths: list[int], *kinds: int) -> Tensor:
    tags = torch.stack([torch.randint(2, kind, (len(lengths), lengths[0])) for kind in kinds], -1)
    return tags.masked_fill((torch.arange(lengths[0]) >= torch.tensor(lengths)[:, None])[..., None], 0)


def stanza_ner() -> tuple[nn.Module, Callable[[nn.Module], Results]]:
    from stanza.models.ner.model import NERTagger
    from stanza.models.ner_tagger import parse_args

    options = {**vars(_parsed(parse_args)), "charlm": None, "char": True}
    vocabulary = {"word": _Vocabulary(20_000), "char": _Vocabulary(100), "tag": _Vocabulary(17)}
    model = NERTagger(options, vocabulary)
    data = _sentences(32)
    tags = _padded_tags(data.lengths, 17)

    def run(model: nn.Module) -> Results:
        loss, logits, _ = model(
            data.words,
            data.characters,
            None,
            tags,
            data.word_order,
            data.lengths,
            data.word_lengths,
            None,
            None,
            None,
            None,
        )
        return loss, *logits

    return model, run


def stanza_pos() -> tuple[nn.Module, Callable[[nn.Module], Results]]:
    from stanza.models.pos.model import Tagger
    from stanza.models.tagger import parse_args

    options = {**vars(_parsed(parse_args)), "charlm": None, "char": True, "pretrain": False}
    sizes = {"word": (20_000,), "char": (100,), "upos": (19,), "xpos": (50,), "feats": (5, 6, 7)}
    model = Tagger(options, {name: _Vocabulary(*size) for name, size in sizes.items()}, share_hid=True)
    data = _sentences(64)
    padded = pad_sequence([torch.randint(2, 20_000, (n,)) for n in data.lengths], batch_first=True)
    upos, xpos = (_padded_tags(data.lengths, kinds).squeeze(-1) for kinds in (19, 50))
    features = _padded_tags(data.lengths, 5, 6, 7)
    arguments = (padded, None, data.characters, None, upos, xpos, features, None)

    def run(model: nn.Module) -> Results:
        hidden: list[Tensor] = []
        handle = model.taggerlstm.register_forward_hook(lambda _module, _inputs, y: hidden.append(y[0].data))
        loss, _ = model(*arguments, data.word_order, data.lengths, data.word_lengths, None)
        handle.remove()
        return loss, *hidden

    return model, run


class _G2PEncoder(nn.Module):
    """Letters to phonemes by CTC, of speechbrain's layers with the sizes of its recipe."""

    def __init__(self) -> None:
        super().__init__()
        from speechbrain.nnet.embedding import Embedding
        from speechbrain.nnet.linear import Linear
        from speechbrain.nnet.RNN import LSTM

        self.embedding = Embedding(num_embeddings=30, embedding_dim=512)
        self.encoder = LSTM(hidden_size=256, input_size=512, num_layers=4, bidirectional=True, dropout=0.2)
        self.head = Linear(n_neurons=45, input_size=512)

    def forward(self, letters: Tensor, lengths: Tensor) -> Tensor:
        y, _ = self.encoder(self.embedding(letters), lengths=lengths)
        logits: Tensor = self.head(y)
        return logits


def g2p_encoder() -> tuple[nn.Module, Callable[[nn.Module], Results]]:
    lengths = torch.randint(8, 40, (32,)).sort(descending=True).values
    letters = torch.randint(1, 30, (32, int(lengths[0])))
    targets = torch.randint(1, 45, (32, 6))

    def run(model: nn.Module) -> Results:
        logits = model(letters, lengths / lengths[0])
        scores = F.log_softmax(logits, -1).transpose(0, 1)
        return F.ctc_loss(scores, targets, lengths, torch.full((32,), 6)), logits

    return _G2PEncoder(), run


def crdnn() -> tuple[nn.Module, Callable[[nn.Module], Results]]:
    from speechbrain.lobes.models.CRDNN import CRDNN
    from speechbrain.nnet.RNN import LSTM

    x = torch.randn(8, 150, 40)
    model = CRDNN(
        input_shape=x.shape, rnn_class=LSTM, cnn_channels=[16, 32], rnn_neurons=256, dnn_neurons=256
    )
    return model, lambda model: _with_square_loss(model(x.to(_dtype_of(model))))


def tacotron2() -> tuple[nn.Module, Callable[[nn.Module], Results]]:
    from torchaudio.models import Tacotron2

    lengths = torch.randint(40, 120, (8,)).sort(descending=True).values
    frames = torch.full((8,), 60)
    tokens, spectrogram = torch.randint(1, 148, (8, int(lengths[0]))), torch.randn(8, 80, 60)
    model = Tacotron2()
    prenet = model.decoder.prenet  # its dropout is on in evaluation mode, too
    prenet.forward = types.MethodType(_without_dropout, prenet)

    def run(model: nn.Module) -> Results:
        outputs = model(tokens, lengths, spectrogram.to(_dtype_of(model)), frames)
        return outputs[0].square().mean() + outputs[1].square().mean(), *outputs

    return model, run


def _without_dropout(prenet: Any, x: Tensor) -> Tensor:
    for linear in prenet.layers:
        x = F.relu(linear(x))
    return x


def encodec() -> tuple[nn.Module, Callable[[nn.Module], Results]]:
    from transformers import EncodecConfig, EncodecModel

    x = torch.randn(2, 1, 12_000)

    def run(model: nn.Module) -> Results:
        codes = model.encoder(x.to(_dtype_of(model)))
        return _with_square_loss(model.decoder(codes), codes)

    return EncodecModel(EncodecConfig()), run


CASES = {
    "stanza NER": Case("stanza", stanza_ner),
    "stanza POS": Case("stanza", stanza_pos),
    "G2P encoder": Case("speechbrain", g2p_encoder),
    "CRDNN": Case("speechbrain", crdnn),
    "Tacotron2": Case("torchaudio", tacotron2),
    "EnCodec": Case("transformers", encodec),
}


def _parsed(parse_args: Callable[[list[str]], Any]) -> argparse.Namespace:
    parsed = parse_args([])
    return argparse.Namespace(**parsed) if isinstance(parsed, dict) else parsed


def _dtype_of(model: nn.Module) -> torch.dtype:
    return next(model.parameters()).dtype


def _with_square_loss(*outputs: Tensor) -> Results:
    return outputs[0].square().mean(), *outputs


def _results_and_gradients(
    model: nn.Module, run: Callable[[nn.Module], Results]
) -> tuple[Results, list[Tensor]]:
    model.zero_grad()
    results = run(model)
    results[0].backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return tuple(result.detach() for result in results), [gradient.clone() for gradient in gradients]


def differences(
    model: nn.Module, run: Callable[[nn.Module], Results], dtype: torch.dtype
) -> tuple[float, float, bool]:
    """Return those of outputs and of gradients, and whether `unswap_` restores every bit."""
    model = copy.deepcopy(model).to(dtype).eval()
    expected, gradients = _results_and_gradients(model, run)
    tt.convert.swap_(model)
    found, found_gradients = _results_and_gradients(model, run)
    tt.convert.unswap_(model)
    restored, _ = _results_and_gradients(model, run)
    largest = max(float(gradient.abs().max()) for gradient in gradients)
    return (
        _largest_difference(found, expected),
        _largest_difference(found_gradients, gradients) / largest,
        all(torch.equal(a, b) for a, b in zip(restored, expected, strict=True)),
    )


def _largest_difference(found: Any, expected: Any) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(found, expected, strict=True))


def step_times(
    model: nn.Module, run: Callable[[nn.Module], Results], rounds: int, clock: Callable[[], float]
) -> Times:
    """Measure training steps of the whole model."""
    ours = copy.deepcopy(model)
    tt.convert.swap_(ours)
    return _in_turns(_steps(model, run, clock), _steps(ours, run, clock), rounds)


def layer_times(
    model: nn.Module, run: Callable[[nn.Module], Results], rounds: int, clock: Callable[[], float]
) -> Times:
    """Measure the recurrent layers alone, forward and backward, on the inputs that they get in the model."""
    calls: list[tuple[nn.Module, Any]] = []
    handles = [
        layer.register_forward_pre_hook(lambda layer, inputs: calls.append((layer, inputs)))
        for layer in model.modules()
        if isinstance(layer, nn.RNNBase)
    ]
    run(model)
    for handle in handles:
        handle.remove()
    theirs = nn.ModuleList(layer for layer, _ in calls)
    arguments = [pytree.tree_map_only(Tensor, Tensor.detach, inputs) for _, inputs in calls]
    ours = copy.deepcopy(theirs)
    tt.convert.swap_(ours)
    return _in_turns(_passes(theirs, arguments, clock), _passes(ours, arguments, clock), rounds)


def _in_turns(theirs: Iterator[float], ours: Iterator[float], rounds: int) -> Times:
    pairs = list(zip(theirs, ours, range(rounds + 1), strict=False))[1:]
    return Times(
        statistics.median(pair[0] for pair in pairs),
        statistics.median(pair[1] for pair in pairs),
        statistics.median(pair[0] / pair[1] for pair in pairs),
    )


def _steps(
    model: nn.Module, run: Callable[[nn.Module], Results], clock: Callable[[], float]
) -> Iterator[float]:
    """Train without end, and yield the time of each step."""
    model.train()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 1e-4)
    while True:
        start = clock()
        optimizer.zero_grad()
        run(model)[0].backward()
        optimizer.step()
        yield clock() - start


def _passes(
    layers: nn.ModuleList, arguments: list[tuple[Any, ...]], clock: Callable[[], float]
) -> Iterator[float]:
    """Run the layers forward and backward without end, and yield the time of each round."""
    while True:
        start = clock()
        for layer, inputs in zip(layers, arguments, strict=True):
            output = layer(_with_gradient(inputs[0]), *inputs[1:])[0]
            (output.data if isinstance(output, PackedSequence) else output).sum().backward()
        yield clock() - start


def _with_gradient(x: Tensor | PackedSequence) -> Tensor | PackedSequence:
    if isinstance(x, Tensor):
        return x.detach().requires_grad_()
    return PackedSequence(x.data.detach().requires_grad_(), *x[1:])


def measure(name: str, case: Case, rounds: int, clock: Callable[[], float]) -> None:
    try:
        importlib.import_module(case.package)
    except (ImportError, OSError) as error:
        print(
            f"{name}: skipped, {case.package} cannot be imported ({str(error).splitlines()[0]})", flush=True
        )
        return
    torch.manual_seed(0)
    model, run = case.build()
    single, double = (differences(model, run, dtype) for dtype in (torch.float32, torch.float64))
    step, layers = step_times(model, run, rounds, clock), layer_times(model, run, rounds, clock)
    report = tt.convert.swap_(copy.deepcopy(model))
    kinds = [layer.after.removeprefix("throughtime.nn.") for layer in report.swapped]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    print(f"{name}: {counts}; {len(report.kept)} layers kept")
    print(f"  outputs: {single[0]:.1e} in float32, {double[0]:.1e} in float64")
    print(f"  gradients: {single[1]:.1e} in float32, {double[1]:.1e} in float64")
    print(f"  unswap_ restores every bit: {single[2] and double[2]}")
    print(f"  training step: {step}")
    print(f"  recurrent layers alone: {layers}", flush=True)
    for layer in report.kept:
        print(f"  kept: {layer.name}: {layer.reason}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--processor-time", action="store_true", help="for one thread on a busy machine")
    options = parser.parse_args()
    clock = time.process_time if options.processor_time else time.perf_counter
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")  # of the packages
    for name, case in CASES.items():
        if options.only in {None, name}:
            measure(name, case, options.rounds, clock)


if __name__ == "__main__":
    main()
