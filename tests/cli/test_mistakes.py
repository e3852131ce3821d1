"""Ways to make a mistake at the command line, each with the one line that it prints."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from .conftest import TARGETS, RunCli, rows_of_all_tasks, write_csv


class Mistake(NamedTuple):
    """Arguments of ``throughtime train``, which get a folder, and the message, in which it is FOLDER."""

    arguments: Callable[[Path], tuple[object, ...]]
    message: str


def _csv(folder: Path, **changes: object) -> Path:
    """Write the rows of all tasks, the 24th with other values."""
    rows = rows_of_all_tasks(24)
    rows[-1] |= changes
    return write_csv(folder / "data.csv", rows)


def _jsonl(folder: Path, **changes: object) -> Path:
    """Write series, the 24th with other values."""
    rows = [{"series": [0.5, float(i), 1.5], "label": "ab"[i % 2]} for i in range(24)]
    rows[-1] |= changes
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def _npz(folder: Path, **arrays: object) -> Path:
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


def _two_files(folder: Path) -> tuple[object, ...]:
    other = folder / "other.jsonl"
    other.write_text('{"series": [[1.0, 2.0]], "label": "a"}\n', encoding="utf-8")
    return _jsonl(folder), "--test-file", other


WORDS = ("--text", "words")
KIND = (*WORDS, "--target", "kind")
MISTAKES = {
    "series without labels": Mistake(
        lambda f: (_npz(f, x=np.zeros((9, 5)), y=["a", "b"] * 4),),
        ("FOLDER/data.npz: 'series' has 9 rows, but 'label' has 8; store arrays of the same number of rows"),
    ),
    "not a number in a series": Mistake(
        lambda f: (_jsonl(f, series=[1.0, float("nan")]),),
        (
            "FOLDER/data.jsonl: line 24 has no value (null or NaN) at step 2; fill in missing values with "
            "missing= (--missing): interpolate, forward, zero, mean, mask, or padding for steps at the end"
        ),
    ),
    "infinity in a series": Mistake(
        lambda f: (_jsonl(f, series=[1.0, float("inf"), 3.0]),),
        (
            "FOLDER/data.jsonl: line 24 has an infinite value (inf) at step 2; correct it, or treat infinite "
            "values as missing with missing= (--missing): interpolate, forward, zero, mean, mask, or padding "
            "for steps at the end"
        ),
    ),
    "another number of channels": Mistake(
        _two_files,
        ("FOLDER/other.jsonl: series have 2 channels, but those in training had 1; give the same channels"),
    ),
    "texts where numbers are expected": Mistake(
        lambda f: (_csv(f), "--series", "words", "--target", "kind"),
        (
            "FOLDER/data.csv: column 'words' holds texts, not lists of numbers; use it with text='words' (--text words), or"
            " convert it to lists of numbers"
        ),
    ),
    "numbers where texts are expected": Mistake(
        lambda f: (_csv(f), "--text", "stars", "--target", "kind"),
        (
            "FOLDER/data.csv: column 'stars' holds numbers (float64), not text; use it beside a text or "
            "series with numeric='stars' (--numeric stars), as a series with series='stars' (--series stars), or "
            "convert it to text"
        ),
    ),
    "a list where a text is expected": Mistake(
        lambda f: (_jsonl(f), "--text", "series"),
        (
            "FOLDER/data.jsonl: column 'series' holds lists of numbers (float64), not text; use it with "
            "series='series' (--series series), or convert it to text"
        ),
    ),
    "tags fewer than tokens": Mistake(
        lambda f: (_csv(f, tags="O X"), "--task", "tagging", *WORDS, "--target", "tags"),
        ("FOLDER/data.csv: row 24 has 2 tags for 5 tokens; give one tag for each token"),
    ),
    "a target that is text": Mistake(
        lambda f: (_csv(f, stars="five"), "--task", "regression", *WORDS, "--target", "stars"),
        (
            "FOLDER/data.csv: row 24 has 'five' in the target column 'stars', expected a number; fix it, or "
            "use task='classification' (--task classification) for labels"
        ),
    ),
    "a missing target": Mistake(
        lambda f: (_csv(f, stars=""), "--task", "regression", *WORDS, "--target", "stars"),
        (
            "FOLDER/data.csv: row 24 has no value in the target column 'stars', expected a finite number; "
            "fill it in, drop the row, or train with missing_target='drop' (--missing-target drop)"
        ),
    ),
    "labels that are no JSON": Mistake(
        lambda f: (_csv(f, topics='["odd", '), "--task", "multilabel", *WORDS, "--target", "topics"),
        (
            "FOLDER/data.csv: row 24: '[\"odd\", ' in column 'topics' is not a JSON list (Expecting value: "
            "line 1 column 9 (char 8)); fix it, or separate labels by |"
        ),
    ),
    "an unknown task": Mistake(
        lambda f: (_csv(f), *KIND, "--task", "clasification"),
        (
            "unknown task 'clasification'; choose one of classification, multilabel, regression, tagging, "
            "anomaly, language, frames"
        ),
    ),
    "an unknown model": Mistake(
        lambda f: (_csv(f), *KIND, "--model", "transformer"),
        (
            "unknown model 'transformer'; choose one of auto, rnn, lstm, gru, birnn, bilstm, bigru, textcnn, "
            "charcnn, tcn, fcn, resnet, inceptiontime, lstmfcn, ngrams, rocket, language, frame, forecast"
        ),
    ),
    "an unknown metric": Mistake(
        lambda f: (_csv(f), *KIND, "--monitor", "acuracy"),
        (
            "no metric 'acuracy' for this task (did you mean 'accuracy'?); choose one of loss, accuracy, "
            "balanced_accuracy, precision_macro, recall_macro, f1_macro, precision, recall, f1, roc_auc, "
            "average_precision, calibration_error"
        ),
    ),
    "F1 of a regression": Mistake(
        lambda f: (_csv(f), "--task", "regression", *WORDS, "--target", "stars", "--monitor", "f1"),
        ("no metric 'f1' for this task; choose one of loss, mae, rmse, r2"),
    ),
    "a missing file": Mistake(
        lambda f: (f / "none.csv", *KIND),
        ("FOLDER/none.csv does not exist; give a file"),
    ),
    "an unknown column": Mistake(
        lambda f: (_csv(f), "--text", "word", "--target", "kind"),
        (
            "FOLDER/data.csv has no column 'word'; its columns are 'key', 'words', 'kind', 'topics', "
            "'stars', 'tags', 'broken'"
        ),
    ),
    "an option of another model": Mistake(
        lambda f: (_csv(f), *KIND, "--hidden-size", 8),
        (
            "model 'auto' chooses hidden_size; to set it, name a model that has it: rnn, lstm, gru, birnn, bilstm, "
            "bigru, charcnn, lstmfcn"
        ),
    ),
    "an option of another task": Mistake(
        lambda f: (_csv(f), *KIND, "--crf"),
        ("crf is not an option of task 'classification', but of tagging; leave it out"),
    ),
    "a rare class": Mistake(
        lambda f: (_csv(f, kind="rare"), *KIND),
        (
            "class 'rare' has 1 row (FOLDER/data.csv: row 24); it needs 3 to be in training, validation and"
            " test; add rows, or leave the class out with rare_classes='drop' (--rare-classes "
            "drop)"
        ),
    ),
    "identifiers as classes": Mistake(
        lambda f: (_csv(f), *WORDS, "--target", "key"),
        (
            "the 24 rows have 24 different labels, as a column of identifiers or of regression targets has; "
            "choose a column of classes, or task='regression' (--task regression) for numbers"
        ),
    ),
    "a target of numbers with decimals": Mistake(
        lambda f: (write_csv(f / "data.csv", [{"text": "a b", "label": i % 30 / 4} for i in range(300)]),),
        (
            "column 'label' has 30 different numbers with decimals, as a regression target has; use "
            "task='regression' (--task regression), or write them as whole numbers or texts if they are classes"
        ),
    ),
    "identifiers as rare classes": Mistake(
        lambda f: (_csv(f), *WORDS, "--target", "key", "--rare-classes", "drop"),
        (
            "the 24 rows have 24 different labels, as a column of identifiers or of regression targets has; "
            "choose a column of classes, or task='regression' (--task regression) for numbers"
        ),
    ),
    "an option of texts for frames": Mistake(
        lambda f: (_npz(f, frames=np.eye(4)), "--task", "frames", "--unit", "word"),
        "unit is not an option of task 'frames', but of language; leave it out",
    ),
    "an option of tables for a language model": Mistake(
        lambda f: (_written(f, "a.txt", "to be"), "--task", "language", "--max-length", 5),
        (
            "max_length is not an option of task 'language', but of classification, multilabel, regression, "
            "tagging, anomaly; leave it out"
        ),
    ),
    "a list that is no JSON": Mistake(
        lambda f: (_written(f, "a.csv", 'series,label\n"[1, 2]",a\n[1 2],b\n' + "[1],a\n[2],b\n" * 3),),
        (
            "FOLDER/a.csv: row 2: '[1 2]' in column 'series' is not a JSON list (Expecting ',' delimiter: line "
            '1 column 4 (char 3)); write it as [1, 2] or ["a", "b"]'
        ),
    ),
    "one class": Mistake(
        lambda f: (_csv(f), *WORDS, "--target", "broken"),
        ("all 24 rows have the label '0', but a classifier needs two classes; add rows of another class"),
    ),
    "a blank row": Mistake(
        lambda f: (_csv(f, words="  "), *KIND),
        (
            "FOLDER/data.csv: row 24 has no text in column 'words'; fill it in, or drop such rows with "
            "skip_blank=True (--skip-blank)"
        ),
    ),
    "a row without a label": Mistake(
        lambda f: (_csv(f, kind=""), *KIND),
        (
            "FOLDER/data.csv: row 24 has no label in column 'kind'; fill it in, drop the row, or train with "
            "missing_target='drop' (--missing-target drop)"
        ),
    ),
    "two columns of a name": Mistake(
        lambda f: (_written(f, "data.csv", "words,kind,words\na,b,c\n"), *KIND),
        ("FOLDER/data.csv has 2 columns named 'words'; rename all but one"),
    ),
    "no header": Mistake(
        lambda f: (_written(f, "data.csv", "1.5,2.5\n3.5,4.5\n"), *KIND),
        (
            "FOLDER/data.csv has no header: its first line holds numbers only; add a line with the names of "
            "columns"
        ),
    ),
    "another delimiter": Mistake(
        lambda f: (_written(f, "data.csv", "words;kind\ngood;yes\n"), *KIND),
        (
            "FOLDER/data.csv has one column, 'words;kind', if fields are separated by ','; if by ';', pass "
            "delimiter=';' (--delimiter ';')"
        ),
    ),
    "another encoding": Mistake(
        lambda f: (_written(f, "data.csv", b"words,kind\ncaf\xe9,no\n"), *KIND),
        (
            "FOLDER/data.csv: line 2, byte 14 (0xe9) is not UTF-8; convert the file, for example with iconv "
            "-t utf-8, or give its encoding with encoding='latin-1' (--encoding latin-1)"
        ),
    ),
    "an empty file": Mistake(
        lambda f: (_written(f, "data.csv", ""), *KIND),
        ("FOLDER/data.csv is empty; give a file with rows"),
    ),
    "two kinds of inputs": Mistake(
        lambda f: (_csv(f), *KIND, "--series", "stars"),
        (
            "text= (--text) and series= (--series) were both given; a model reads one of text, tokens and series, "
            "and columns of numbers beside it with numeric= (--numeric)"
        ),
    ),
    "no target": Mistake(
        lambda f: (_csv(f), *WORDS),
        (
            "FOLDER/data.csv: name the column to predict with target= (--target); its columns are key, words, kind, "
            "topics, stars, tags, broken"
        ),
    ),
    "a group without a value": Mistake(
        lambda f: (_csv(f, key=""), *KIND, "--group", "key"),
        ("FOLDER/data.csv: row 24 has no group in column 'key'; fill it in or drop the row"),
    ),
    "a test part that is too large": Mistake(
        lambda f: (_csv(f), *KIND, "--validation", 0.5, "--test", 0.6),
        (
            "fractions of 0.5 and 0.6 leave no training data; lower validation= (--validation) or test= (--test)"
        ),
    ),
    "a fraction out of range": Mistake(
        lambda f: (_csv(f), *KIND, "--test", 60),
        ("split: test must be from 0 to 0.9, got 60.0"),
    ),
    "a metric that chooses no threshold": Mistake(
        lambda f: (_csv(f), *KIND, "--threshold-metric", "acc"),
        ("a threshold cannot be chosen by 'acc'; choose one of f1, accuracy, balanced_accuracy"),
    ),
    "an unknown tokenizer": Mistake(
        lambda f: (_csv(f), *KIND, "--tokenizer", "wrods"),
        (
            "tokenizer must be one of auto, words, characters, bpe, or a file, got 'wrods', which does not exist; "
            "correct it"
        ),
    ),
    "an unknown device": Mistake(
        lambda f: (_csv(f), *KIND, "--device", "tpu"),
        ("device must be one of cpu, cuda, got 'tpu'"),
    ),
    "an unknown logger": Mistake(
        lambda f: (_csv(f), *KIND, "--logger", "wandb"),
        ("logger must be one of tensorboard, csv, mlflow, got 'wandb'"),
    ),
    "an option of other inputs": Mistake(
        lambda f: (_csv(f), *KIND, "--missing", "zero"),
        ("missing= (--missing) is for series and numeric, but the model reads text; leave it out"),
    ),
    "a language model of a table": Mistake(
        lambda f: (_csv(f), *KIND, "--task", "language"),
        (
            "target is not an option of task 'language', but of classification, multilabel, regression, "
            "tagging, anomaly; leave it out"
        ),
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_of_train_is_one_line_and_leaves_nothing(
    name: str, tmp_path: Path, run_cli: RunCli
) -> None:
    mistake, out = MISTAKES[name], tmp_path / "run"
    done = run_cli(
        "train", *mistake.arguments(tmp_path), "--epochs", 1, "--no-baselines", "--quiet", "--out", out
    )
    assert (done.code, done.out) == (2, "")
    assert done.err.replace(str(tmp_path), "FOLDER") == f"error: {mistake.message}\n"
    assert not out.exists()


def _refused(run_cli: RunCli, *arguments: object) -> str:
    done = run_cli(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    return done.err.removeprefix("error: ").removesuffix("\n")


def test_a_run_of_another_task(tmp_path: Path, run_cli: RunCli, task_runs: Mapping[str, Path]) -> None:
    run, data = task_runs["tagging"], task_runs["tagging"].parent / "data.csv"
    assert _refused(run_cli, "sample", run) == (
        f"{run} is a run of task 'tagging', which generates nothing; give a run of --task language or frames"
    )
    assert _refused(run_cli, "train", data, "--task", "regression", "--resume", "--out", run) == (
        f"{run} is a run of task tagging with model bilstm; leave out --task and --model, or choose another "
        "--out"
    )


def test_resuming_with_another_option(run_cli: RunCli, task_runs: Mapping[str, Path]) -> None:
    run, data = task_runs["regression"], task_runs["regression"].parent / "data.csv"
    assert _refused(run_cli, "train", data, "--learning-rate", 0.5, "--resume", "--out", run) == (
        f"{run} was created with settings.learning_rate = 0.002, now it is 0.5; give the same model, settings "
        "and data, or choose another folder with out= (--out)"
    )


def test_mistakes_of_predict(tmp_path: Path, run_cli: RunCli, task_runs: Mapping[str, Path]) -> None:
    rows = rows_of_all_tasks(3)
    rows[1] |= {"kind": "maybe", "topics": "even", "tags": "O X", "stars": "five"}
    data = write_csv(tmp_path / "data.csv", rows)

    def refused(task: str) -> str:
        return _refused(
            run_cli, "predict", task_runs[task], data, "--target", TARGETS[task], "--out", tmp_path / "a.csv"
        )

    drop = "correct the label or drop the row"
    assert refused("classification") == (
        f"{data}: row 2 has the label 'maybe', which is not a class of the training data: no, yes; {drop}"
    )
    assert refused("multilabel") == (
        f"{data}: row 2 has the label 'even', which is not one of the training data: odd, third; {drop}"
    )
    assert refused("tagging") == f"{data}: row 2 has 2 tags for 5 tokens; give one tag for each token"
    assert refused("regression") == (
        f"{data}: row 2 has 'five' in the target column 'stars', expected a number; fix it, or use "
        "task='classification' (--task classification) for labels"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["data.csv"]
