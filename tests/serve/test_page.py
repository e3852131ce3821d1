"""What a server shows of its models: a card as JSON, and a page with a form."""

import html
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import throughtime as tt

from .conftest import KINDS, serving

HTML = {"Accept": "text/html,application/xhtml+xml"}


@pytest.mark.parametrize("name", KINDS)
def test_the_example_of_a_card_is_a_request(name: str, run_of: Callable[[str], Path]) -> None:
    with serving(run_of(name)) as (client, _):
        card = client.get("/").json()
        assert list(card["columns"]) == list(KINDS[name].columns)
        assert client.post("/predict", json=card["example"]).status_code == 200
        page = client.get("/", headers=HTML)
        command = re.search(r"curl HOST/predict -d '(.*?)'</pre>", page.text)
        assert command is not None
        assert json.loads(html.unescape(command[1])) == card["example"]


def test_a_card_says_what_the_model_is(run_of: Callable[[str], Path]) -> None:
    predictor = tt.load(run_of("text"))
    with serving(run_of("text"), queue=7) as (client, _):
        card = client.get("/").json()
        assert client.get("/models/text").json() == card
    assert card["task"] == "classification"
    assert card["architecture"] == "textcnn"
    assert card["classes"] == list(predictor.classes)
    assert card["columns"] == {"review": "text"}
    assert card["parameters"] == sum(p.numel() for p in predictor.model.parameters())
    assert card["test"]["accuracy"] == predictor.metrics.test["accuracy"]
    assert card["throughtime"] == tt.__version__
    assert card["limits"]["queue"] == 7
    assert re.fullmatch("[0-9a-f]{12}", card["weights"])


def test_several_models_have_a_card_each(run_of: Callable[[str], Path]) -> None:
    with serving(run_of("text"), run_of("series")) as (client, _):
        assert [card["model"] for card in client.get("/").json()["models"]] == ["text", "series"]
        page = client.get("/", headers=HTML)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text.count("<form ") == 2
    assert 'data-path="/models/series/predict"' in page.text
