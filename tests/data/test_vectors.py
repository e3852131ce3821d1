"""Vectors of word2vec, GloVe and fastText text files: values of float(), case, refusals with the line."""

import gzip
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughtime.data import vectors as vectors_module
from throughtime.data.vectors import read_vectors
from throughtime.errors import DataError

GLOVE = "the 0.25 -1 3e-2\nParis 1 2 3\nparis 4 5 6\nParIS 7 8 9\nlondon 10 11 12\n"


def written(folder, text, name="vectors.txt"):
    path = folder / name
    content = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


@pytest.mark.parametrize("header", ["", "5 3\n", "5 3 \r\n"], ids=["GloVe", "word2vec", "fastText"])
@pytest.mark.parametrize("name", ["a.txt", "a.vec.gz"])
def test_exact_words_then_lower_case(header, name, tmp_path):
    path = written(tmp_path, header + GLOVE, name)
    got = read_vectors(path, ["<unk>", "Paris", "PARIS", "London", "the", "The", "paris"])
    expected = [
        [0, 0, 0], [1, 2, 3], [4, 5, 6], [10, 11, 12], [0.25, -1, 0.03], [0.25, -1, 0.03], [4, 5, 6],
    ]  # fmt: skip
    np.testing.assert_array_equal(got.matrix, np.float32(expected))
    assert got.known.tolist() == [False, True, True, True, True, True, True]


def test_an_exact_word_after_its_lower_case_form_and_in_another_block(tmp_path, monkeypatch):
    monkeypatch.setattr(vectors_module, "_BYTES_PER_BLOCK", 1)
    path = written(tmp_path, "paris 1 2\nParis 3 4\nrome 5 6\n")
    assert read_vectors(path, ["Paris", "Rome"]).matrix.tolist() == [[3, 4], [5, 6]]
    path = written(tmp_path, "Paris 3 4\nparis 1 2\n")
    assert read_vectors(path, ["Paris", "PARIS"]).matrix.tolist() == [[3, 4], [1, 2]]


@given(
    st.dictionaries(
        st.text("abXé.'☃", min_size=1, max_size=4),
        st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=3, max_size=3),
        min_size=1,
    ),
    st.booleans(),
)
def test_values_are_those_of_float(tmp_path_factory, rows, header):
    lines = [f"{word} {' '.join(map(repr, numbers))}\n" for word, numbers in rows.items()]
    path = tmp_path_factory.mktemp("vectors") / "a.txt"
    path.write_text(f"{len(rows)} 3\n" * header + "".join(lines), encoding="utf-8")
    got = read_vectors(path, list(rows))
    assert got.known.all()
    np.testing.assert_array_equal(got.matrix, np.float32(list(rows.values())))


def test_words_with_spaces_and_tabs_and_blank_lines(tmp_path):
    path = written(tmp_path, "a 1 2\nnew york 3 4\n. . . 5 6\nb\t7\t8\n\nc  9  10 \nnew 11 12\n")
    got = read_vectors(path, ["a", "new york", "b", "c", "new", ".", " "])
    assert got.matrix.tolist() == [[1, 2], [3, 4], [7, 8], [9, 10], [11, 12], [0, 0], [0, 0]]


REFUSED = {
    "empty": ("", " is empty; give a file of word vectors"),
    "header alone": ("3 2\n", " has no vectors; give a file of word vectors"),
    "dimension": ("2 4\nthe 1 2 3\n", ": line 2 has 3 numbers, but the first line says 4; correct it"),
    "count": (
        "9 3\n" + GLOVE,
        " has 5 vectors, but its first line says 9; restore the file, or correct that line",
    ),
    "few": (
        GLOVE + "to 1 2\n",
        ": line 6 ('to') has 2 numbers, but the first vector has 3; correct or remove it",
    ),
    "many": (
        GLOVE + "to 1 2 3 4\n",
        ": line 6 ('to') has 4 numbers, but the first vector has 3; correct or remove it",
    ),
    "NaN": (
        GLOVE + "to 1 nan 3\n",
        ": line 6 ('to') has 'nan', which is not a finite number; correct or remove it",
    ),
    "infinity": (
        GLOVE + "to 1 1e39 3\n",
        ": line 6 ('to') has '1e39', which is not a finite number; correct or remove it",
    ),
    "text": (
        GLOVE + "to 1 2 x3\n",
        ": line 6 ('to') has 'x3', which is not a finite number; correct or remove it",
    ),
    "underscore": (GLOVE + "to 1 2 1_0\n", ": a number in lines 1 to 6 cannot be read; correct it"),
    "twice": (GLOVE + "the 1 2 3\n", ": line 6 has the word 'the' again, after line 1; remove one of them"),
    "binary": (
        b"2 3\nthe \0\1\2\3\0\1\2\3\0\1\2\3",
        (
            ": line 2 is not a word and its numbers; give vectors in the text format of word2vec, GloVe or "
            "fastText, not in a binary one"
        ),
    ),
    "a text": (
        "It was the best of times\n",
        (
            ": line 1 is not a word and its numbers; give vectors in the text format of word2vec, GloVe or "
            "fastText, not in a binary one"
        ),
    ),
    "a long line": (
        "the" + " 1" * 2**20,
        (
            ": line 1 is longer than 2 MiB, so that this is no text file of word vectors; convert it to the text "
            "format of word2vec"
        ),
    ),
}


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED)
def test_damaged_files_are_refused_with_the_line(content, message, tmp_path):
    path = written(tmp_path, content)
    with pytest.raises(DataError, match=f"^{re.escape(str(path) + message)}$"):
        read_vectors(path, ["the", "to"])


def test_damaged_lines_of_other_words_do_not_matter(tmp_path):
    path = written(tmp_path, GLOVE + "other 1 x\nother 1 2 nan\n")
    assert read_vectors(path, ["london"]).matrix.tolist() == [[10, 11, 12]]


def test_a_damaged_compressed_file_is_refused(tmp_path):
    path = written(tmp_path, GLOVE * 50, "a.gz")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="a.gz cannot be read as gzip .*; restore the file"):
        read_vectors(path, ["nothing"])
    path.write_bytes(b"the 1 2 3\n")
    with pytest.raises(DataError, match="a.gz cannot be read as gzip .*; restore the file"):
        read_vectors(path, ["nothing"])


def test_a_file_that_does_not_exist_is_reported_as_such(tmp_path):
    with pytest.raises(DataError, match="no.txt does not exist; give a file"):
        read_vectors(tmp_path / "no.txt", ["the"])
