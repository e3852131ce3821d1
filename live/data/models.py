"""Trains the classifiers of the live pages and exports them: ``python live/data/models.py FOLDER``.

Both learn which exception an error message belongs to (`messages`), from the same rows. The folder then has
``textcnn.onnx``, which takes whole texts, ``lstm.onnx``, which takes one token after the other,
``tokenizer.json``, and ``classifiers.json``: classes, test results, example texts, the n-grams that fire each
filter. The runs are in ``runs``. The id after the last word of the vocabulary stands for a token that is left
out: its embedding is zero.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from messages import messages
from torch import nn

import throughtime as tt
from throughtime.learn import Predictor

if TYPE_CHECKING:
    from throughtime.ragged import Ragged

MODELS: dict[str, dict[str, Any]] = {
    "textcnn": {"embedding_size": 64, "channels": 24, "kernel_sizes": (2, 3, 4)},
    "lstm": {"embedding_size": 64, "hidden_size": 32, "pool": "last"},
}
"""Options of each model, small enough for all of its units to be shown."""
_NGRAMS, _SEARCHED, _FEWEST = 6, 400, 3
"""n-grams shown of each filter: the first of those with the highest activation that occur a few times."""
_EXAMPLES = (
    "axis must be an integer, got a string",
    "alpha must be positive",
    "this method must be implemented by a subclass",
    "you must call fit before predict",
    "unsupported operand type for tensor",
    "the process group has not been initialized",
)


def train(folder: Path) -> dict[str, Predictor]:
    """Train the models in ``folder/runs``; earlier runs there are removed."""
    shutil.rmtree(folder / "runs", ignore_errors=True)
    rows = messages()
    data = {"message": [text for text, _ in rows], "exception": [exception for _, exception in rows]}
    trained = {}
    for name, options in MODELS.items():
        print(f"training {name} on {len(rows):,} error messages …", flush=True)
        columns = {"text": "message", "target": "exception"}
        out = folder / "runs" / name
        trained[name] = tt.fit(data, model=name, **columns, out=out, seed=0, progress=False, **options)
    return trained


def with_blank(model: nn.Module) -> nn.Module:
    """Give the embedding one more id, whose vector is zero, and return the model."""
    embedding = cast("nn.Embedding", model.get_submodule("embedding"))
    weight = embedding.weight.detach()
    embedding.weight = nn.Parameter(torch.cat([weight, weight.new_zeros(1, weight.shape[1])]))
    embedding.num_embeddings += 1
    return model


def _facts(models: dict[str, Predictor], tokenizer: str) -> dict[str, Any]:
    """Return what the page says of the models."""
    textcnn = models["textcnn"]
    vocabulary = {number: word for word, number in json.loads(tokenizer)["model"]["vocab"].items()}
    return {
        "classes": list(textcnn.classes),
        "blank": len(vocabulary),
        "examples": list(_EXAMPLES),
        "models": {name: _results(predictor) for name, predictor in models.items()},
        "filters": _filters(textcnn, vocabulary),
    }


def _results(predictor: Predictor) -> dict[str, Any]:
    test = predictor.metrics.test
    if test is None:
        raise SystemExit(f"{predictor.name} has no test results")
    interval = test.intervals["accuracy"]
    return {
        "accuracy": test["accuracy"],
        "low": interval.low,
        "high": interval.high,
        "testRows": test.examples,
        "parameters": sum(each.numel() for each in predictor.model.parameters()),
    }


def _filters(predictor: Predictor, vocabulary: dict[int, str]) -> list[dict[str, Any]]:
    """Return the filters of each width with the n-grams that activate them most."""
    texts = [text for text, _ in messages()]
    batch = cast("Ragged", predictor.examples({"message": texts}).inputs)
    return [
        {
            "name": each.name,
            "width": each.field.size,
            "filters": [
                {
                    "ngrams": _frequent(ngrams, activations, counts, vocabulary),
                    "effects": effects,
                }
                for ngrams, activations, counts, effects in zip(
                    cast("torch.Tensor", each.ngrams).tolist(),
                    each.activation.tolist(),
                    each.count.tolist(),
                    cast("torch.Tensor", each.effect).T.tolist(),
                    strict=True,
                )
            ],
        }
        for each in tt.diagnose.filter_ngrams(predictor.model, batch, _SEARCHED)
    ]


def _frequent(
    ngrams: list[list[int]], activations: list[float], counts: list[int], vocabulary: dict[int, str]
) -> list[dict[str, Any]]:
    shown = [
        {"words": [vocabulary.get(token, "") for token in ngram], "activation": activation, "count": count}
        for ngram, activation, count in zip(ngrams, activations, counts, strict=True)
        if count >= _FEWEST
    ]
    return shown[:_NGRAMS]


def main(folder: Path) -> None:
    """Train and write all files."""
    models = train(folder)
    tokenizer, other = ((folder / "runs" / name / "tokenizer.json").read_text("utf-8") for name in models)
    if tokenizer != other:
        raise SystemExit("the runs have different vocabularies, and the pages one tokenizer")
    (folder / "tokenizer.json").write_text(tokenizer, "utf-8")
    (folder / "classifiers.json").write_text(json.dumps(_facts(models, tokenizer)), "utf-8")
    for name, predictor in models.items():
        model = with_blank(predictor.model)
        tt.export.onnx(model, folder / f"{name}.onnx", streaming=name == "lstm", intermediates=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
