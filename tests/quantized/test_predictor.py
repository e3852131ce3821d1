"""A trained run with int8 weights: predictions from raw data."""

from pathlib import Path

import pytest
import torch

import throughtime as tt

TEXTS = [
    f"{adjective} {noun}"
    for adjective in ("good", "fine", "bad", "poor")
    for noun in ("film", "play", "book")
]
ROWS = {"text": TEXTS * 2, "label": (["+"] * 6 + ["-"] * 6) * 2}


@pytest.mark.parametrize("model", ["bilstm", "textcnn"])
def test_a_loaded_run_predicts_with_int8_weights(model: str, tmp_path: Path) -> None:
    fitted = tt.fit(ROWS, model=model, epochs=2, progress=False, out=tmp_path / "run")
    small = tt.quantize(tt.load(tmp_path / "run"))
    assert isinstance(small, tt.Predictor)
    assert "Quantized" in repr(small.model)
    assert "Quantized" not in repr(fitted.model)
    assert small.predict(TEXTS) == fitted.predict(TEXTS)
    whole, expected = small.predict_proba(TEXTS), fitted.predict_proba(TEXTS)
    torch.testing.assert_close(torch.tensor(whole), torch.tensor(expected), rtol=0, atol=0.02)
    assert (small.predict_proba(TEXTS[3:4]) == whole[3:4]).all()
    assert small.score(ROWS)["accuracy"] == fitted.score(ROWS)["accuracy"]
