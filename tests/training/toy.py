"""A tiny source, a tiny model, and settings that save often, for the tests of training."""

import hashlib
import json
from typing import ClassVar

import torch

from throughtime import Ragged
from throughtime.data.examples import Examples
from throughtime.tasks import Classification
from throughtime.training import ModelSpec, Run, Settings, fit

TASK = Classification(("without", "with"))
MODEL = ModelSpec("textcnn", {"embedding_size": 16, "channels": 16, "kernel_sizes": [1, 2], "dropout": 0.2})
SETTINGS = Settings(
    epochs=3, tokens_per_batch=150, learning_rate=0.05, checkpoint_every_steps=3, patience=None
)


class Toy:
    """Does token 3 occur? Drawn anew for each epoch, some more examples each time."""

    shape: ClassVar = {"vocabulary_size": 12}

    def __init__(self, size=120):
        self.size = size

    def training(self, epoch):
        return _drawn(self.size + 15 * epoch, 10 + epoch)

    @property
    def validation(self):
        return _drawn(60, 1)

    @property
    def test(self):
        return _drawn(50, 2)

    def describe(self):
        return {"kind": "toy", "size": self.size}


def _drawn(count, seed):
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(0, 20, (count,), generator=random)
    tokens = torch.randint(0, 12, (int(lengths.sum()),), generator=random)
    sequences = Ragged.from_lengths(tokens, lengths)
    return Examples(sequences, torch.tensor([int((s == 3).any()) for s in sequences]))


def created(path, model=MODEL, settings=SETTINGS, source=None, task=TASK, **more):
    return Run.create(path, source=source or Toy(), task=task, model=model, settings=settings, **more)


def fitted(run, source=None, **more):
    """Train a run as it was made."""
    return fit(
        source or Toy(), run.config.task, run.config.model, run.config.settings, run, progress=False, **more
    )


def weights(run):
    return run.load_model().state_dict()


def without_times(metrics):
    content = metrics.to_json()
    for epoch in content["history"]:
        del epoch["seconds"], epoch["tokens_per_second"]
    return content


def same_weights(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def relist(folder):
    """List the files of a run as they are now, as ``docs/run-format.md`` says: a change that is no damage."""
    names = {path.name for path in folder.iterdir() if path.suffix in {".json", ".safetensors"}}
    names -= {"checksums.json", "diagnosis.json"}
    files = {name: [hashlib.sha256((folder / name).read_bytes()).hexdigest()] for name in sorted(names)}
    own = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    (folder / "checksums.json").write_text(json.dumps({"files": files, "sha256": own}))


def relisted(run):
    relist(run.path)
    return run
