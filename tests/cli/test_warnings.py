"""Each warning is one line, like an error."""

import warnings

import pytest

from throughtime import cli


def test_a_warning_is_one_line_without_the_place_in_the_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = warnings.formatwarning
    shown = []

    def warn() -> None:
        shown.append(warnings.formatwarning(UserWarning("two\nlines\x1b[31m"), UserWarning, "file.py", 3))
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", warn)
    with pytest.raises(SystemExit):
        cli.main()
    assert len(shown) == 1
    assert shown[0].startswith("warning: two lines")
    assert "\x1b" not in shown[0]
    assert shown[0].count("\n") == 1
    assert "file.py" not in shown[0]
    assert warnings.formatwarning is before
