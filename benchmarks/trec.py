"""TextCNN and BiLSTM on TREC's six question types, official split, from scratch; several seeds.

    python benchmarks/trec.py DATA [--seeds 5]

DATA holds ``trec/TREC.train.all`` and ``trec/TREC.test.all``: lines of a label, a space, a question, in
latin-1. Published from scratch: CNN-rand 91.2 % (Kim 2014); a re-implementation of it reached 88.2 %.
"""

import argparse
import platform
import statistics
import time
from pathlib import Path

import torch

import throughtime as tt
from data import trec_rows

MODELS = {"TextCNN": "textcnn", "BiLSTM": "bilstm"}
OPTIONS = {"validation": 0.1, "epochs": 12, "tokens_per_batch": 512, "patience": None, "learning_rate": 1e-3}


def accuracy(folder: Path, name: str, seed: int) -> tuple[float, float]:
    """Return the accuracy on the official test file and the seconds of a training."""
    train, test = trec_rows(folder / "TREC.train.all"), trec_rows(folder / "TREC.test.all")
    began = time.perf_counter()
    fitted = tt.fit(train, model=MODELS[name], test_data=test, seed=seed, progress=False, **OPTIONS)
    seconds = time.perf_counter() - began
    return fitted.score(test)["accuracy"], seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    folder = arguments.data / "trec"
    if not folder.is_dir():
        print(f"skipped: {folder} is not here")
        return
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for name in MODELS:
        results = [accuracy(folder, name, seed) for seed in range(arguments.seeds)]
        accuracies = [100 * right for right, _ in results]
        seconds = statistics.median(seconds for _, seconds in results)
        low, high = min(accuracies), max(accuracies)
        print(
            f"{name}: median {statistics.median(accuracies):.1f} %, {low:.1f} to {high:.1f} over "
            f"{len(accuracies)} seeds, median training {seconds:.0f} s"
        )


if __name__ == "__main__":
    main()
