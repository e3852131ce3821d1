"""What a run is advised to try next, and what its metrics are compared with."""

import json
from pathlib import Path

import pytest

from throughtime.learn import Recipe, fit_recipe
from throughtime.learn.auto import read_outcome
from throughtime.learn.summary import Summary, summarize

# No text says anything about its label, so that no model is better than the majority class.
ROWS = {"text": ["the same words"] * 60, "label": ["a" if number % 3 else "b" for number in range(60)]}
TRIED = {"textcnn", "ngrams"}


@pytest.mark.parametrize(("model", "others"), [("auto", set()), ("textcnn", {"ngrams"})])
def test_advice_counts_the_rows_trained_on_and_names_models_that_were_not(
    model: str, others: set[str], tmp_path: Path
) -> None:
    recipe = Recipe.of("classification", model, epochs=1, test=0.2, validation=0.2)
    fitted = fit_recipe(recipe, ROWS, out=tmp_path / "run", progress=False)
    summary = summarize(fitted.prepared, fitted.result.run)
    assert summary is not None
    assert [(b.name, b.reads_inputs) for b in summary.baselines][:1] == [("majority class", False)]
    assert Summary.from_json(json.loads(json.dumps(summary.to_json()))) == summary
    advice = dict(line.split(": ") for line in summary.advice if line.count(": ") == 1)
    (names,) = [names for line, names in advice.items() if line.startswith("try another model")]
    assert TRIED & set(names.split(", ")) == others
    outcome = read_outcome(fitted.result.run)
    assert (outcome is not None and outcome.folds > 1) == (model == "auto")
    source = fitted.prepared.source
    count = len(source.training(0)) + (len(source.validation) if outcome else 0)
    assert any(value.startswith(f"{count} training examples are few") for value in advice.values())
