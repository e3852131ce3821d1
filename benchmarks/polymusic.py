"""JSB Chorales and Nottingham, frame models: negative log-likelihood per frame, several seeds.

    python benchmarks/polymusic.py DATA [--seeds 3] [--only JSB_Chorales]

DATA holds ``polymusic/JSB_Chorales.mat`` and ``polymusic/Nottingham.mat``. Official split, in nats per
frame, first frames not predicted. Published: GRU 8.43 and 3.46, LSTM 8.45 and 3.29, TCN 8.10 and 3.07 (Bai
et al. 2018); GRU 8.20 and 3.22, LSTM 8.33 and 3.25 (the authors of RRU). Settings were chosen by validation.
"""

import argparse
import platform
import statistics
import tempfile
import time
from pathlib import Path

import torch

from throughtime.data.frames import read_frames
from throughtime.data.next_step import frame_source
from throughtime.tasks import Frames
from throughtime.training import ModelSpec, Run, Settings, fit

PLANS = {
    "JSB_Chorales": (
        ModelSpec(
            "frame",
            {"cell": "lstm", "hidden_size": 400, "embedding_size": 250, "dropout": 0.4, "input_dropout": 0.1},
        ),
        {"epochs": 50, "streams": 4, "k1": 1000, "learning_rate": 4e-3, "weight_decay": 0.3},
    ),
    "Nottingham": (
        ModelSpec(
            "frame",
            {"cell": "lstm", "hidden_size": 400, "embedding_size": 200, "dropout": 0.4, "input_dropout": 0.0},
        ),
        {"epochs": 24, "streams": 8, "k1": 50, "learning_rate": 5e-3, "weight_decay": 0.1},
    ),
}


def trained(path: Path, seed: int) -> tuple[float, float, float]:
    """Return the losses on validation and test of the epoch that is best on validation, and the time."""
    source = frame_source(read_frames(path, validation=0.1, test=0.1, seed=0))
    model, given = PLANS[path.stem]
    settings = Settings(monitor="loss", patience=None, seed=seed, **given)
    with tempfile.TemporaryDirectory() as place:
        run = Run.create(Path(place) / "run", source=source, task=Frames(), model=model, settings=settings)
        began = time.perf_counter()
        metrics = fit(source, Frames(), model, settings, run, progress=False).metrics
        seconds = time.perf_counter() - began
    best = min(epoch.validation["loss"] for epoch in metrics.history)
    return best, metrics.test["loss"], seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=tuple(PLANS), action="append")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for name in arguments.only or PLANS:
        path = arguments.data / "polymusic" / f"{name}.mat"
        if not path.exists():
            print(f"skipped: {path} is not here")
            continue
        results = [trained(path, seed) for seed in range(arguments.seeds)]
        validation, test, seconds = (list(column) for column in zip(*results, strict=True))
        print(
            f"{name}: test {statistics.median(test):.3f} (median; {min(test):.3f} to {max(test):.3f} over "
            f"{len(test)} seeds), validation {statistics.median(validation):.3f}, training "
            f"{statistics.median(seconds):.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
