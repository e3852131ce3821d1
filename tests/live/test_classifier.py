"""The trained classifiers in the pages: probabilities, gates and occlusion equal those of the library."""

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch

import throughtime as tt
from tests.live.conftest import FOLDER, LivePage, Section
from throughtime.learn import Predictor
from throughtime.nn import LSTM

if TYPE_CHECKING:
    from playwright.sync_api import Page

TEXTS = [
    "axis must be an integer, got a string",
    "Not",
    "No such backend: 'ünïcode' (got %s), zzzunknownword!",
    "日本語 ΣΑΣ naïve … “quoted” x_1 e\u0301 ١٢ 🙂🙂 a\u200db",
    "this   operator is\nnot implemented for sparse tensors of dtype float16 on this device . " * 2,
]
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def recurrence(live_page: LivePage) -> "Page":
    return live_page("recurrence").page


@pytest.fixture(scope="module")
def convolution(live_page: LivePage) -> "Page":
    return live_page("convolution").page


@pytest.fixture(scope="module")
def predictors(recurrence: "Page") -> dict[str, Predictor]:
    return {name: tt.load(FOLDER / "data" / "runs" / name) for name in ("textcnn", "lstm")}


@pytest.fixture(scope="module")
def facts(recurrence: "Page") -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / "data" / "classifiers.json").read_text("utf-8"))
    return content


def _read(page: "Page", section: str, text: str) -> None:
    """Type a text and wait until the models have read it."""
    page.fill(f"#{section} textarea", text)
    page.wait_for_function(
        "([section, text]) => document.querySelector(`#${section} textarea`).dataset.read === text",
        arg=[section, text],
    )


def _probabilities(page: "Page", section: str, model: str, classes: list[str]) -> torch.Tensor:
    shown = Section(page, section).named(f"{model}.")
    return torch.tensor([shown[f"{model}.{name}"] for name in classes])


@pytest.mark.parametrize("text", TEXTS)
def test_probabilities_are_those_of_predict_proba(
    recurrence: "Page", predictors: dict[str, Predictor], text: str
) -> None:
    _read(recurrence, "classifier", text)
    for name, predictor in predictors.items():
        expected = torch.from_numpy(predictor.predict_proba({"message": [text]}))[0].float()
        shown = _probabilities(recurrence, "classifier", name, list(predictor.classes))
        torch.testing.assert_close(shown, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("text", TEXTS)
def test_the_effect_of_each_token_is_that_of_influence(
    recurrence: "Page", predictors: dict[str, Predictor], text: str
) -> None:
    _read(recurrence, "classifier", text)
    for name, predictor in predictors.items():
        batch = predictor.examples({"message": [text]}).inputs
        expected = tt.diagnose.influence(predictor.model, batch, method="occlusion").scores.values
        shown = Section(recurrence, "classifier").named(f"{name}.occlusion[")
        torch.testing.assert_close(torch.tensor(list(shown.values())), expected, rtol=0, atol=TOLERANCE)


def test_states_and_gates_are_those_of_the_trace(
    recurrence: "Page", predictors: dict[str, Predictor]
) -> None:
    text = TEXTS[0]
    _read(recurrence, "classifier", text)
    model = predictors["lstm"].model
    layer = model.get_submodule("recurrent")
    assert isinstance(layer, LSTM)
    with torch.no_grad():
        trace = layer.trace(
            model.get_submodule("embedding")(predictors["lstm"].examples({"message": [text]}).inputs)
        )
    slider = recurrence.locator("#classifier .stepper input")
    for t in (0, 4, 8):
        slider.fill(str(t + 1))
        for gate in ("input", "forget", "candidate", "output", "c", "h"):
            shown = list(Section(recurrence, "classifier").named(f"{gate}[").values())
            expected = getattr(trace, gate)[0][t]
            torch.testing.assert_close(torch.tensor(shown), expected, rtol=0, atol=TOLERANCE)


def test_parts_of_a_score_are_activation_times_weight(
    convolution: "Page", predictors: dict[str, Predictor], facts: dict[str, Any]
) -> None:
    text = TEXTS[0]
    _read(convolution, "text-cnn", text)
    predictor = predictors["textcnn"]
    shown = _probabilities(convolution, "text-cnn", "textcnn", facts["classes"])
    expected = torch.from_numpy(predictor.predict_proba({"message": [text]}))[0].float()
    torch.testing.assert_close(shown, expected, rtol=0, atol=TOLERANCE)
    convolution.select_option("#text-cnn select >> nth=0", "TypeError")
    model = predictor.model
    with torch.no_grad():
        embedded = model.get_submodule("embedding")(predictor.examples({"message": [text]}).inputs)
        pooled = model.get_submodule("pool")(model.get_submodule("convolutions")(embedded))[0]
    weights = model.get_submodule("output").get_parameter("weight")[facts["classes"].index("TypeError")]
    products = pooled * weights.detach()
    channels = len(pooled) // len(facts["filters"])
    parts = {
        name.removeprefix("part."): value
        for name, value in Section(convolution, "text-cnn").named("part.").items()
        if "activation" not in name
    }
    largest = products.abs().sort(descending=True).values[: len(parts)]
    torch.testing.assert_close(torch.tensor(list(parts.values())).abs(), largest, rtol=0, atol=TOLERANCE)
    for name, value in parts.items():
        block, unit = map(int, name.split("."))
        assert value == pytest.approx(float(products[block * channels + unit]), abs=TOLERANCE)


@pytest.mark.parametrize("name", ["recurrence", "convolution"])
def test_an_empty_text_shows_no_probabilities(live_page: LivePage, name: str) -> None:
    page = live_page(name).page
    section = {"recurrence": "classifier", "convolution": "text-cnn"}[name]
    probability = page.locator(f"#{section} .bar data").first
    assert probability.is_visible()
    _read(page, section, "   ")
    assert "Type at least one word." in page.locator(f"#{section}").inner_text()
    assert not probability.is_visible()
    _read(page, section, TEXTS[0])
    assert probability.is_visible()


def test_tokens_and_units_count_from_1(recurrence: "Page") -> None:
    text = "axis must be an integer"
    _read(recurrence, "classifier", text)
    section = Section(recurrence, "classifier")
    slider = recurrence.locator("#classifier .stepper input")
    assert [slider.get_attribute(name) for name in ("min", "max")] == ["1", "5"]
    assert slider.input_value() == "5"
    section.slide("token", 1)
    assert "at token 1, “axis”" in section.root.inner_text()
    assert section.root.locator("table.matrix thead th").first.inner_text() == "1"


def test_examples_are_read_when_their_button_is_pressed(recurrence: "Page", facts: dict[str, Any]) -> None:
    example = facts["examples"][2]
    recurrence.get_by_role("button", name=example).first.press("Enter")
    recurrence.wait_for_function(
        "(text) => document.querySelector('#classifier textarea').dataset.read === text", arg=example
    )
    assert recurrence.locator("#classifier .tokens").first.inner_text().split()[0] == "this"
