"""Public models with recurrent layers, as their packages build and train them, with random weights and data.

    stanza NER         `stanza.models.ner.model.NERTagger`: words, character BiLSTM, BiLSTM, CRF; packed
    stanza POS         `stanza.models.pos.model.Tagger`: words, a character LSTM and a highway BiLSTM; packed
    stanza tokenizer   `stanza.models.tokenization.model.Tokenizer`: two BiLSTMs over 100 characters; packed
    stanza words       `stanza.models.mwt.character_classifier`: a BiLSTM of two layers over words; packed
    stanza lemmas      `stanza.models.common.seq2seq_model`: a packed BiLSTM, and an LSTM cell with attention
    flair texts        `flair.models.TextClassifier` on `DocumentRNNEmbeddings`: a GRU; packed
    flair reviews      the same on texts of 50 to 500 words, such as those of IMDB; packed
    flair tagger       `flair.models.SequenceTagger`: a BiLSTM and a CRF; packed
    G2P encoder        `speechbrain.nnet.RNN.LSTM`, four bidirectional layers, and CTC, on sentences; packed
    CRDNN              `speechbrain.lobes.models.CRDNN`: 2-D convolutions, a BiLSTM and linear layers; padded
    ESPnet encoder     `espnet2.asr.encoder.rnn_encoder.RNNEncoder`: BiLSTMs with projections, CTC; packed
    UIS-RNN            `uisrnn`: a GRU over speaker embeddings, for diarization; packed
    MOSES CharRNN      `moses.char_rnn.model.CharRNN`: an LSTM of three layers over molecules; packed
    Tacotron2          `torchaudio.models.Tacotron2`: a packed BiLSTM, and LSTM cells that write a spectrogram
    EnCodec            `transformers.EncodecModel`: convolutions with weight normalisation, and LSTMs; padded
    HAN                `HierarchialAttentionNetwork` of sgrvinod/a-PyTorch-Tutorial-to-Text-Classification:
                       two levels of packed BiGRUs with attention
    NCRF++             `model.seqlabel.SeqLabel` of jiesutd/NCRFpp: character and word BiLSTMs, a CRF; packed

All except the last two are packages: stanza, flair with transformers below 5, speechbrain, espnet, uisrnn,
molsets, torchaudio, transformers. For the last two, put a clone of the repository on PYTHONPATH, one at a
time. Sizes and batch sizes are the defaults of the package, the recipe or the published configuration. All
lengths are random, in the range that such data has.
"""

import argparse
import contextlib
import importlib.util
import io
import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

Results = tuple[Tensor, ...]


@dataclass(frozen=True)
class Case:
    """A public model, and what it computes for a fixed batch.

    Parameters
    ----------
    build
        Returns the model, and a function of it that returns a loss and other outputs. Raises an ImportError
        if the package is missing.
    double
        Whether the model's own code works in float64.
    optimizer
        Of a training step.
    """

    build: Callable[[], tuple[nn.Module, Callable[[nn.Module], Results]]]
    double: bool = True
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam


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
    """Letters to phonemes by CTC: the encoder of recipes/LibriSpeech/G2P/hparams/hparams_g2p_rnn.yaml."""

    def __init__(self) -> None:
        super().__init__()
        from speechbrain.nnet.embedding import Embedding
        from speechbrain.nnet.linear import Linear
        from speechbrain.nnet.RNN import LSTM

        self.embedding = Embedding(num_embeddings=31, embedding_dim=512)
        self.encoder = LSTM(hidden_size=512, input_size=512, num_layers=4, bidirectional=True, dropout=0.5)
        self.head = Linear(n_neurons=43, input_size=1024)

    def forward(self, letters: Tensor, lengths: Tensor) -> Tensor:
        y, _ = self.encoder(self.embedding(letters), lengths=lengths)
        logits: Tensor = self.head(y)
        return logits


def g2p_encoder() -> tuple[nn.Module, Callable[[nn.Module], Results]]:
    lengths = _descending(20, 150, 32)
    letters = torch.randint(1, 31, (32, int(lengths[0])))
    targets = torch.randint(1, 43, (32, 6))

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

    lengths = _descending(40, 120, 8)
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


def stanza_tokenizer() -> tuple[nn.Module, Callable[[nn.Module], Results]]:
    from stanza.models.tokenization.model import Tokenizer
    from stanza.models.tokenizer import build_argparse

    options = {**vars(build_argparse().parse_args([])), "feat_dim": 5, "use_mwt": False}
    sizes = [options[name] for name in ("emb_dim", "hidden_dim", "dropout", "feat_dropout")]
    characters, labels = torch.randint(2, 100, (32, 100)), torch.randint(3, (32, 100))
    features = torch.randint(2, (32, 100, 5)).float()

    def run(model: nn.Module) -> Results:
        scores = model(characters, features.to(_dtype_of(model)), [100] * 32)
        return F.cross_entropy(scores.view(-1, 3), labels.view(-1)), scores

    return Tokenizer(options, 100, *sizes), run


def stanza_words() -> tuple[nn.Module, Callable[[nn.Module], Results]]:
    from stanza.models.mwt.character_classifier import CharacterClassifier
    from stanza.models.mwt_expander import build_argparse

    options = {**vars(build_argparse().parse_args([])), "vocab_size": 100, "num_layers": 2}
    lengths = _descending(3, 16, 50)
    padding = _padding(lengths)
    characters = torch.randint(4, 100, padding.shape).masked_fill(padding, 0)
    labels = torch.randint(2, padding.shape).masked_fill(padding, -100)

    def run(model: nn.Module) -> Results:
        scores = model(characters, padding)
        return F.cross_entropy(scores.view(-1, 2), labels.view(-1)), scores

    return CharacterClassifier(options), run


def stanza_lemmas() -> tuple[nn.Module, Callable[[nn.Module], Results]]:
    from stanza.models.common.loss import MixLoss
    from stanza.models.common.seq2seq_model import Seq2SeqModel
    from stanza.models.lemmatizer import build_argparse

    options = {**vars(build_argparse().parse_args([])), "vocab_size": 100, "pos_vocab_size": 20}
    lengths = _descending(3, 14, 50)
    padding, longer = _padding(lengths), _padding(lengths + 1)
    words = torch.randint(4, 100, padding.shape).masked_fill(padding, 0)
    lemmas = torch.randint(4, 100, longer.shape).masked_fill(longer, 0)
    tags, edits, criterion = torch.randint(2, 20, (50,)), torch.randint(3, (50,)), MixLoss(100, 1.0)

    def run(model: nn.Module) -> Results:
        scores, edit_scores = model(words, padding, lemmas, tags)
        return criterion(scores.reshape(-1, 100), lemmas.view(-1), edit_scores, edits), scores

    return Seq2SeqModel(options), run


def _flair_dictionary(size: int, letter: str) -> Any:
    from flair.data import Dictionary

    dictionary = Dictionary()
    for number in range(size):
        dictionary.add_item(f"{letter}{number}")
    return dictionary


def _flair_sentences(shortest: int, longest: int) -> list[Any]:
    from flair.data import Sentence

    lengths = torch.randint(shortest, longest, (32,)).tolist()
    return [Sentence([f"w{i}" for i in torch.randint(5000, (length,)).tolist()]) for length in lengths]


def flair_texts(shortest: int, longest: int) -> tuple[nn.Module, Callable[[nn.Module], Results]]:
    from flair.embeddings import DocumentRNNEmbeddings, OneHotEmbeddings
    from flair.models import TextClassifier

    texts = _flair_sentences(shortest, longest)
    for text, label in zip(texts, torch.randint(6, (32,)).tolist(), strict=True):
        text.add_label("class", f"c{label}")
    embeddings = DocumentRNNEmbeddings([OneHotEmbeddings(_flair_dictionary(5000, "w"))])
    model = TextClassifier(embeddings, label_dictionary=_flair_dictionary(6, "c"), label_type="class")

    def run(model: nn.Module) -> Results:
        loss, _ = model.forward_loss(texts)
        outputs = torch.stack([text.get_embedding() for text in texts])
        for text in texts:
            text.clear_embeddings()
        return loss, outputs

    return model, run


def flair_tagger() -> tuple[nn.Module, Callable[[nn.Module], Results]]:
    from flair.embeddings import OneHotEmbeddings
    from flair.models import SequenceTagger

    sentences = _flair_sentences(10, 40)
    for sentence in sentences:
        for token, tag in zip(sentence, torch.randint(17, (len(sentence),)).tolist(), strict=True):
            token.add_label("pos", f"c{tag}")
    model = SequenceTagger(
        OneHotEmbeddings(_flair_dictionary(5000, "w")), _flair_dictionary(17, "c"), "pos", hidden_size=256
    )

    def run(model: nn.Module) -> Results:
        hidden: list[Tensor] = []
        handle = model.rnn.register_forward_hook(lambda _module, _inputs, y: hidden.append(y[0].data))
        loss, _ = model.forward_loss(sentences)
        handle.remove()
        for sentence in sentences:
            sentence.clear_embeddings()
        return loss / 32, *hidden

    return model, run


class _ESPnetCTC(nn.Module):
    """The encoder with its default sizes and the CTC layer above it."""

    def __init__(self) -> None:
        super().__init__()
        from espnet2.asr.encoder.rnn_encoder import RNNEncoder

        self.encoder = RNNEncoder(83)
        self.head = nn.Linear(320, 52)

    def forward(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        hidden, lengths, _ = self.encoder(frames, lengths)
        return F.log_softmax(self.head(hidden), -1), torch.as_tensor(lengths)


def espnet_encoder() -> tuple[nn.Module, Callable[[nn.Module], Results]]:
    lengths = _descending(100, 400, 30)
    frames = torch.randn(30, int(lengths[0]), 83)
    targets = torch.randint(1, 52, (30, 10))

    def run(model: nn.Module) -> Results:
        scores, steps = model(frames.to(_dtype_of(model)), lengths)
        return F.ctc_loss(scores.transpose(0, 1), targets, steps, torch.full((30,), 10)), scores

    return _ESPnetCTC(), run


def uis_rnn() -> tuple[nn.Module, Callable[[nn.Module], Results]]:
    from uisrnn.loss_func import regularization_loss, sigma2_prior_loss
    from uisrnn.uisrnn import CoreRNN

    model = CoreRNN(256, 512, 1, 256)
    model.initial = nn.Parameter(torch.zeros(1, 1, 512))
    model.sigma2 = nn.Parameter(torch.full((256,), 0.1))
    lengths = _descending(20, 300, 10)
    x = torch.randn(int(lengths[0]), 10, 256).masked_fill(_padding(lengths).T[..., None], 0)

    def run(model: nn.Module) -> Results:
        inputs = x.to(_dtype_of(model))
        steps = torch.arange(1, len(inputs) + 1, dtype=inputs.dtype)
        y, _ = model(pack_padded_sequence(inputs, lengths), model.initial.repeat(1, 10, 1))
        means = (torch.diag(1 / steps) @ y.cumsum(0).view(len(inputs), -1)).view(y.shape)
        truth = inputs[1:]
        masked = (truth != 0) * means[:-1]
        counts = ((masked - truth) != 0).sum((0, 1)).to(inputs.dtype)
        weight = 1 / (2 * model.sigma2)
        error = ((masked - truth) ** 2 * weight).sum() / ((masked - truth)[..., 0] != 0).sum()
        prior = sigma2_prior_loss(counts, 1.0, 1.0, model.sigma2)
        return error + prior + regularization_loss(model.parameters(), 1e-5), y

    return model, run


def moses_char_rnn() -> tuple[nn.Module, Callable[[nn.Module], Results]]:
    package = importlib.util.find_spec("moses")
    if package is None:
        raise ImportError("No module named 'moses'")
    path = Path(package.origin).parent / "char_rnn/model.py"
    spec = importlib.util.spec_from_file_location("moses_char_rnn_model", path)  # the package imports RDKit
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    vocabulary = type("Vocabulary", (), {"pad": 0, "__len__": lambda _: 30})()
    model = module.CharRNN(vocabulary, types.SimpleNamespace(hidden=768, num_layers=3, dropout=0.2))
    lengths = _descending(20, 57, 64)
    padding = _padding(lengths)
    characters, targets = (torch.randint(1, 30, padding.shape).masked_fill(padding, 0) for _ in range(2))

    def run(model: nn.Module) -> Results:
        scores, *_ = model(characters, lengths)
        return F.cross_entropy(scores.view(-1, 30), targets.view(-1)), scores

    return model, run


def han() -> tuple[nn.Module, Callable[[nn.Module], Results]]:
    from model import HierarchialAttentionNetwork

    sentences, words = torch.randint(1, 16, (64,)), torch.randint(3, 21, (64, 15))
    words = words.masked_fill(torch.arange(15) >= sentences[:, None], 0)
    texts = torch.randint(1, 20_000, (64, 15, 20)).masked_fill(torch.arange(20) >= words[..., None], 0)
    labels = torch.randint(10, (64,))

    def run(model: nn.Module) -> Results:
        scores, *_ = model(texts, sentences, words)
        return F.cross_entropy(scores, labels), scores

    return HierarchialAttentionNetwork(10, 20_000, 200, 50, 50, 1, 1, 100, 100, 0.3), run


def ncrf() -> tuple[nn.Module, Callable[[nn.Module], Results]]:
    from model.seqlabel import SeqLabel

    data = types.SimpleNamespace(
        use_crf=True,
        use_char=True,
        char_feature_extractor="LSTM",
        word_feature_extractor="LSTM",
        HP_gpu=False,
        average_batch_loss=False,
        label_alphabet_size=18,
        HP_dropout=0.5,
        HP_bilstm=True,
        HP_lstm_layer=1,
        word_emb_dim=50,
        feature_num=0,
        HP_char_hidden_dim=50,
        feature_emb_dims=[],
        HP_hidden_dim=200,
        HP_batch_size=10,
        sentence_classification=False,
        char_emb_dim=30,
        char_alphabet=types.SimpleNamespace(size=lambda: 80),
        pretrain_char_embedding=None,
        word_alphabet=types.SimpleNamespace(size=lambda: 20_000),
        pretrain_word_embedding=None,
    )
    lengths = _descending(5, 40, 10)
    padding = _padding(lengths)
    words, tags = (torch.randint(1, size, padding.shape).masked_fill(padding, 0) for size in (20_000, 18))
    sizes, order = torch.randint(1, 13, padding.shape).masked_fill(padding, 1).view(-1).sort(descending=True)
    characters = torch.randint(1, 80, (len(sizes), 12)).masked_fill(torch.arange(12) >= sizes[:, None], 0)
    arguments = words, [], lengths, characters, sizes, order.argsort(), tags, ~padding

    def run(model: nn.Module) -> Results:
        hidden: list[Tensor] = []
        handle = model.word_hidden.lstm.register_forward_hook(lambda _m, _x, y: hidden.append(y[0].data))
        loss, _ = model.calculate_loss(*arguments)
        handle.remove()
        return loss / 10, *hidden

    with contextlib.redirect_stdout(io.StringIO()):
        return SeqLabel(data), run


CASES = {
    "stanza NER": Case(stanza_ner),
    "stanza POS": Case(stanza_pos),
    "stanza tokenizer": Case(stanza_tokenizer),
    "stanza words": Case(stanza_words),
    "stanza lemmas": Case(stanza_lemmas, double=False),
    "flair texts": Case(partial(flair_texts, 10, 60), optimizer=torch.optim.SGD),
    "flair reviews": Case(partial(flair_texts, 50, 500), optimizer=torch.optim.SGD),
    "flair tagger": Case(flair_tagger, optimizer=torch.optim.SGD),
    "G2P encoder": Case(g2p_encoder),
    "CRDNN": Case(crdnn),
    "ESPnet encoder": Case(espnet_encoder),
    "UIS-RNN": Case(uis_rnn),
    "MOSES CharRNN": Case(moses_char_rnn),
    "Tacotron2": Case(tacotron2),
    "EnCodec": Case(encodec),
    "HAN": Case(han),
    "NCRF++": Case(ncrf, optimizer=torch.optim.SGD),
}


def _descending(shortest: int, longest: int, count: int) -> Tensor:
    return torch.randint(shortest, longest, (count,)).sort(descending=True).values


def _padding(lengths: Tensor) -> Tensor:
    return torch.arange(int(lengths.max())) >= lengths[:, None]


def _parsed(parse_args: Callable[[list[str]], Any]) -> argparse.Namespace:
    parsed = parse_args([])
    return argparse.Namespace(**parsed) if isinstance(parsed, dict) else parsed


def _dtype_of(model: nn.Module) -> torch.dtype:
    return next(model.parameters()).dtype


def _with_square_loss(*outputs: Tensor) -> Results:
    return outputs[0].square().mean(), *outputs
