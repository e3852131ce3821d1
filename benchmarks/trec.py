"""TextCNN and BiLSTM on TREC's six question types, official split, from scratch; several seeds.

    python benchmarks/trec.py DATA [--seeds 5]

DATA holds ``trec/TREC.train.all`` and ``trec/TREC.test.all``: lines of a label, a space, a question, in
latin-1. Published from scratch: CNN-rand 91.2 % (Kim 2014); a re-implementation of it reached 88.2 %.
"""

import argparse
import platform
import statistics
import tempfile
import time
from pathlib import Path

import torch

from throughtime.data.examples import Examples
from throughtime.data.tables import TextTable
from throughtime.data.text import TextSource, encode, encode_labels, split_texts
from throughtime.training import ModelSpec, Run, Settings, evaluate, fit

MODELS = {
    "TextCNN": (ModelSpec("textcnn"), Settings(epochs=12, tokens_per_batch=512, patience=None)),
    "BiLSTM": (ModelSpec("bilstm"), Settings(epochs=12, tokens_per_batch=512, patience=None)),
}


def read(path: Path) -> TextTable:
    lines = [line for line in path.read_text(encoding="latin-1").splitlines() if line.strip()]
    labels, texts = zip(*(line.split(" ", 1) for line in lines), strict=True)
    places = [f"{path.name}: line {number}" for number in range(1, len(lines) + 1)]
    return TextTable(list(texts), list(labels), places)


def source_of(folder: Path, seed: int) -> tuple[TextSource, Examples]:
    train, test = read(folder / "TREC.train.all"), read(folder / "TREC.test.all")
    source = split_texts(train, validation=0.1, test=0.0, vocabulary=20_000, lower_case=True, seed=seed)
    return source, Examples(encode(source.tokenizer, test.texts), encode_labels(test, source.classes))


def accuracy(folder: Path, name: str, seed: int) -> tuple[float, float]:
    source, test = source_of(folder, seed)
    model, settings = MODELS[name]
    settings = Settings(**{**settings.to_json(), "seed": seed})
    with tempfile.TemporaryDirectory() as place:
        run = Run.create(Path(place) / "run", source=source, model=model, settings=settings)
        began = time.perf_counter()
        fit(source, model, settings, run, progress=False)
        return evaluate(run.load_model(), test).accuracy, time.perf_counter() - began


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
        found = [100 * accuracy for accuracy, _ in results]
        seconds = statistics.median(seconds for _, seconds in results)
        print(
            f"{name}: median {statistics.median(found):.1f} %, {min(found):.1f} to {max(found):.1f} over "
            f"{len(found)} seeds, median training {seconds:.0f} s"
        )


if __name__ == "__main__":
    main()
