"""The progress of a training is one line on terminals of any width."""

import pytest
from rich.console import Console

from throughtime.training._progress import line_of

TEXT = "epoch 12/20  step 104/1200  loss 0.6691  accuracy 59.4%  10,234 tokens/s  1:20 left"


@pytest.mark.parametrize("width", [40, 80, 86, 90, 120])
def test_the_live_line_never_wraps(width: int) -> None:
    console = Console(width=width, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(line_of(TEXT, 1000, 1200, width))
    (line,) = captured.get().splitlines()
    assert len(line) <= width
    assert ("━" in line) == (width >= len(TEXT) + 5)
    assert (TEXT in line) == (width >= len(TEXT))
