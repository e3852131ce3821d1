"""When a model beats a baseline, and the advice if it does not."""

import math

import pytest
import torch

from throughtime.baselines import Baseline, advice, beats, fit_baselines
from throughtime.data.examples import Examples
from throughtime.ragged import Ragged
from throughtime.tasks import Classification


@pytest.mark.parametrize(
    ("model", "baseline", "metric", "better"),
    [
        (0.9, 0.8, "accuracy", True),
        (0.8, 0.9, "accuracy", False),
        (0.9, 0.9, "accuracy", False),
        (0.1, 0.2, "loss", True),
        (0.2, 0.1, "loss", False),
        (math.nan, 0.5, "roc_auc", False),
        (0.5, math.nan, "roc_auc", True),
    ],
)
def test_better_depends_on_the_metric(model: float, baseline: float, metric: str, *, better: bool) -> None:
    assert beats({metric: model}, {metric: baseline}, metric) is better


def test_a_metric_that_neither_has_is_not_better() -> None:
    assert not beats({}, {}, "f1")
    assert beats({"f1": 0.1}, {}, "f1")


TASK = Classification(("a", "b"))


def _baselines() -> tuple[Baseline, ...]:
    examples = Examples(Ragged.from_list([torch.tensor([i % 2, 5]) for i in range(40)]), torch.arange(40) % 2)
    return fit_baselines(TASK, examples, examples)


@pytest.mark.parametrize(
    ("best_epoch", "line"),
    [
        (10, "train longer, with epochs=30 (--epochs 30): the last of 10 epochs was the best one"),
        (3, "train more slowly: epoch 3 of 10 was the best one; lower learning_rate= (--learning-rate)"),
        (6, "try other learning rates"),
    ],
)
def test_the_first_advice_depends_on_the_best_epoch(best_epoch: int, line: str) -> None:
    _, logistic = _baselines()
    lines = advice(TASK, "gru", logistic, inputs="tokens", examples=5000, epochs=10, best_epoch=best_epoch)
    assert lines[0].startswith(line)
    assert lines[1].startswith("try another model with model= (--model): rnn, lstm, birnn")
    assert lines[-1].startswith("use the logistic regression on n-grams instead")
    assert len(lines) == 3


def test_the_last_advice_depends_on_whether_the_baseline_reads_inputs() -> None:
    majority, _ = _baselines()
    lines = advice(TASK, "gru", majority, inputs="tokens", examples=40, epochs=5, best_epoch=5)
    assert lines[3] == (
        "check that the tokens have to do with the targets: the majority class does not read them"
    )


@pytest.mark.parametrize("words", [True, False])
def test_pretrained_vectors_are_advised_for_words_only(*, words: bool) -> None:
    majority, _ = _baselines()
    lines = advice(TASK, "gru", majority, inputs="tokens", words=words, examples=40, epochs=5, best_epoch=5)
    vectors = ", or use pretrained word vectors with vectors= (--vectors)" if words else ""
    assert lines[2] == (f"collect more data{vectors}: 40 training examples are few for a neural network")


def test_models_of_a_blend_are_not_advised_again() -> None:
    majority, _ = _baselines()
    for members in ((), ("textcnn", "ngrams")):
        lines = advice(
            TASK,
            "blend",
            majority,
            members=members,
            inputs="tokens",
            examples=5000,
            epochs=None,
            best_epoch=1,
        )
        (line,) = [line for line in lines if line.startswith("try another model")]
        names = line.partition(": ")[2].split(", ")
        assert "lstm" in names
        assert {"textcnn", "ngrams"} & set(names) == (set() if members else {"textcnn", "ngrams"})
