"""Settings of the tests on a device."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _without_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of float32 as exact as those of the CPU; by default cuDNN rounds their factors to 10 bits."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
