"""A small text and small frames for next-step models, and settings that save often."""

import numpy as np
import torch

from throughtime import Ragged
from throughtime.data.frames import FrameParts
from throughtime.data.next_step import frame_source, text_source
from throughtime.tasks import Frames, Language
from throughtime.training import ModelSpec, Run, Settings, fit

OPTIONS = {"embedding_size": 12, "hidden_size": 12, "dropout": 0.2}
MODEL = ModelSpec("language", OPTIONS)
# 4 streams of 42 steps or fewer: 9 windows.
SETTINGS = Settings(
    epochs=3, streams=4, k1=5, learning_rate=0.02, monitor="loss", checkpoint_every_steps=3, patience=None
)


def text(words, seed=0):
    random = np.random.default_rng(seed)
    return " ".join(f"w{(i % 7) + int(random.integers(2))}" for i in range(words))


def source(words=169):
    texts = [text(words), text(60, 1), text(50, 2)]
    return text_source(texts, "word", vocabulary=50, min_count=1, names=["a", "b", "c"])


def frames(seed=0, count=7):
    """Patterns that go up or down, of unequal lengths."""
    random = np.random.default_rng(seed)
    parts = []
    for n in (count, 3, 3):
        sequences = []
        for _ in range(n):
            steps = int(random.integers(1, 24))
            notes = (random.integers(5) + random.choice([-1, 1]) * np.arange(steps)) % 5
            sequences.append(torch.from_numpy(np.eye(5, dtype=np.uint8)[notes]))
        parts.append(Ragged.from_list(sequences))
    return frame_source(FrameParts(*parts))


def created(path, model=MODEL, settings=SETTINGS, data=None):
    data = data or source()
    task = Frames() if data.unit == "frame" else Language(data.unit)
    return Run.create(path, source=data, task=task, model=model, settings=settings)


def fitted(run, data=None, **more):
    return fit(
        data or source(), run.config.task, run.config.model, run.config.settings, run, progress=False, **more
    )
