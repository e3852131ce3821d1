"""The trained text CNN of the live page: its filters, and what they add to a score, are those of the run."""

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

import throughtime as tt
from tests.live.conftest import FOLDER, LivePage, Section
from throughtime.learn import Predictor

if TYPE_CHECKING:
    from throughtime.ragged import Ragged

MESSAGE = "not yet implemented: Zyxq"
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def section(live_page: LivePage) -> Section:
    section = Section(live_page("convolution").page, "text-cnn")
    section.root.locator("textarea").fill(MESSAGE)
    section.page.wait_for_function(
        "(text) => document.querySelector('#text-cnn textarea').dataset.read === text", arg=MESSAGE
    )
    return section


@pytest.fixture(scope="module")
def predictor(section: Section) -> Predictor:
    return tt.load(FOLDER / "data" / "runs" / "textcnn")


@pytest.fixture(scope="module")
def banks(section: Section) -> list[dict[str, Any]]:
    content = json.loads((FOLDER / "data" / "classifiers.json").read_text("utf-8"))
    filters: list[dict[str, Any]] = content["filters"]
    return filters


def activations(predictor: Predictor, bank: dict[str, Any], batch: "Ragged") -> "Ragged":
    """Return the outputs of the filters of one size."""
    model = predictor.model.eval()
    with torch.no_grad():
        outputs: Ragged = model.get_submodule(bank["name"])(model.get_submodule("embedding")(batch))
        return outputs


@pytest.fixture(scope="module")
def outputs(predictor: Predictor, banks: list[dict[str, Any]]) -> list[Tensor]:
    """Outputs of the filters of each size for the message, (T, C)."""
    batch = predictor.examples({"message": [MESSAGE]}).inputs
    return [activations(predictor, bank, batch)[0] for bank in banks]


def test_a_message_chooses_its_class(section: Section, predictor: Predictor) -> None:
    (label,) = predictor.predict({"message": [MESSAGE]})
    assert section.root.get_by_label("class", exact=True).input_value() == label


def test_the_effect_of_each_token(section: Section, predictor: Predictor) -> None:
    batch = predictor.examples({"message": [MESSAGE]}).inputs
    expected = tt.diagnose.influence(predictor.model, batch, method="occlusion").scores.values
    shown = section.numbers("textcnn.occlusion")
    torch.testing.assert_close(torch.tensor(shown), expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("label", ["NotImplementedError", "ValueError"])
def test_a_score_is_the_sum_of_all_filters_and_the_bias(
    section: Section, predictor: Predictor, outputs: list[Tensor], label: str
) -> None:
    section.choose("class", label)
    index = list(predictor.classes).index(label)
    weight, bias = (
        predictor.model.get_submodule("output").get_parameter(name).detach() for name in ("weight", "bias")
    )
    added = float(torch.cat([each.amax(0) for each in outputs]) @ weight[index])
    (total,) = section.numbers("score")
    assert section.number("score.filters") == pytest.approx(added, abs=TOLERANCE)
    assert section.number("score.bias") == pytest.approx(float(bias[index]), abs=TOLERANCE)
    assert total == pytest.approx(added + float(bias[index]), abs=TOLERANCE)


@pytest.mark.parametrize("size", [0, 1, 2])
def test_one_filter(section: Section, predictor: Predictor, outputs: list[Tensor], size: int) -> None:
    unit = int(outputs[size].amax(0).argmax())
    section.choose("width of the filter", str(size))
    section.slide("filter", unit)
    shown = torch.tensor(section.numbers("activation"), dtype=torch.float32)
    torch.testing.assert_close(shown, outputs[size][:, unit], rtol=0, atol=TOLERANCE)
    weight = predictor.model.get_submodule("output").get_parameter("weight").detach()
    expected = weight[:, outputs[0].shape[1] * size + unit]
    torch.testing.assert_close(torch.tensor(section.numbers("effect")), expected, rtol=0, atol=TOLERANCE)


def test_a_press_shows_the_filter(section: Section) -> None:
    button = section.root.get_by_role("button", name="tokens, ").nth(1)
    width, unit = (button.text_content() or "").split(" tokens, ")
    button.press("Enter")
    assert section.root.get_by_label("filter", exact=True).input_value() == unit
    assert section.root.get_by_label("width of the filter", exact=True).input_value() == str(int(width) - 2)


def test_ngrams_fire_their_filter(predictor: Predictor, banks: list[dict[str, Any]]) -> None:
    """A text of the n-gram alone has the activation that the page shows for it."""
    vocabulary = json.loads((FOLDER / "data" / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    for bank in banks:
        ngrams = [(unit, ngram) for unit, each in enumerate(bank["filters"]) for ngram in each["ngrams"]]
        texts = [[vocabulary[word] for word in ngram["words"] if word] for _, ngram in ngrams]
        fired = activations(predictor, bank, tt.Ragged.from_list([torch.tensor(text) for text in texts]))
        for (unit, ngram), output in zip(ngrams, fired, strict=True):
            before = next(i for i, word in enumerate(ngram["words"]) if word)  # steps before the text
            step = (bank["width"] - 1) // 2 - before
            assert float(output[step, unit]) == pytest.approx(ngram["activation"], abs=TOLERANCE)
