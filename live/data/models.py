"""Trains the classifiers of the live pages and exports them: ``python live/data/models.py FOLDER``.

Both learn which exception an error message belongs to (`messages`), from the same rows. The folder then has
``textcnn.onnx``, which takes whole texts, ``lstm.onnx``, which takes one token after the other, ``tokenizer.json``,
and ``classifiers.json``: classes, test results, example texts, the n-grams that fire each filter. The runs are in
``runs``. The id after the last word of the vocabulary stands for a token that is left out: its embedding is zero.
"""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import onnx
import torch
from messages import CLASSES, messages
from torch import Tensor, nn

import throughtime as tt
from throughtime.learn import Predictor

MODELS: dict[str, dict[str, Any]] = {
    "textcnn": {"embedding_size": 64, "channels": 24, "kernel_sizes": (2, 3, 4)},
    "lstm": {"embedding_size": 64, "hidden_size": 32, "pool": "last"},
}
"""Options of each model, small enough for all of its units to be shown."""
_NGRAMS = 6
_EXAMPLES = (
    "axis must be an integer, got a string",
    "alpha must be positive",
    "this method must be implemented by a subclass",
    "you must call fit before predict",
    "unsupported operand type for tensor",
    "the process group has not been initialized",
)


def train(folder: Path) -> dict[str, Predictor]:
    """Train the models in ``folder/runs``, those that are finished excepted."""
    rows = [(text, exception) for text, exception in messages() if exception in CLASSES]
    data = {"message": [text for text, _ in rows], "exception": [exception for _, exception in rows]}
    return {name: _trained(name, options, data, folder / "runs" / name) for name, options in MODELS.items()}


def _trained(name: str, options: dict[str, Any], data: dict[str, list[str]], out: Path) -> Predictor:
    if (out / "model.safetensors").exists():
        return tt.load(out)
    print(f"training {name} on {len(data['message']):,} error messages …", flush=True)
    return tt.fit(data, model=name, text="message", target="exception", out=out, seed=0, progress=False, **options)


def with_blank(model: nn.Module) -> nn.Module:
    """Give the embedding one more id, whose vector is zero."""
    embedding = model.get_submodule("embedding")
    weight = embedding.get_parameter("weight")
    embedding.weight = nn.Parameter(torch.cat([weight, weight.new_zeros(1, weight.shape[1])]))
    embedding.num_embeddings += 1
    return model
