"""Files that are not read: those that may not be, are not regular, are too large, or lack a column."""

import os
from pathlib import Path
from typing import BinaryIO

import pytest

from throughtime.data.plain_text import read_text
from throughtime.data.read_table import read_table
from throughtime.errors import DataError


def test_a_file_that_must_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data.csv"
    path.write_text("t,c\na,b\n")

    def refuse(self: Path, mode: str) -> BinaryIO:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"data\.csv cannot be read: Permission denied"):
        read_table(path)


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    for name in ("data.csv", "data.parquet", "text.txt", "text.gz"):
        os.mkfifo(tmp_path / name)  # opening it would wait for a writer
        with pytest.raises(DataError, match=rf"{name} is a named pipe, not a file"):
            _read(tmp_path / name)
    endless = tmp_path / "endless.txt"
    endless.symlink_to("/dev/zero")
    with pytest.raises(DataError, match=r"endless\.txt is a device, not a file"):
        read_text(endless)
    folder = tmp_path / "classes" / "a"
    folder.mkdir(parents=True)
    (folder / "1.txt").symlink_to(tmp_path / "data.csv")
    assert not (folder / "1.txt").is_file()
    with pytest.raises(DataError, match="holds no files in subfolders"):
        read_table(folder.parent)


def test_a_file_larger_than_memory_is_not_read(tmp_path: Path) -> None:
    for name in ("data.csv", "data.jsonl", "text.txt", "text.gz"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(2**40)  # a hole: it takes no room on the disk
        with pytest.raises(DataError, match=rf"{name} has 1024\.0 GiB; files of 2 GiB or more are not read"):
            _read(tmp_path / name)


def _read(path: Path) -> object:
    return read_table(path) if path.stem == "data" else read_text(path)


def test_a_class_folder_needs_a_name_of_characters(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    (folder / "1.txt").write_text("x")
    with pytest.raises(DataError, match=r"the name of the class folder .*caf.* is not UTF-8; rename it$"):
        read_table(tmp_path)


def test_columns_are_listed_up_to_a_number(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text(",".join(f"column{i}" for i in range(50)) + "\n")
    with pytest.raises(DataError) as caught:
        read_table(path, columns=["t"])
    assert str(caught.value).endswith("'column19', …")
