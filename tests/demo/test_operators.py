"""python-operators: the lexer against Python's parser, and the properties of the data set."""

import ast
import dataclasses
import multiprocessing
import sysconfig
from bisect import bisect_left
from collections import Counter
from itertools import pairwise
from pathlib import Path
from tokenize import TokenError

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from throughtime.demo.operators import dataset, reading
from throughtime.demo.operators.corpus import SourceFile, installed_files
from throughtime.demo.operators.dataset import PythonOperators, Sizes
from throughtime.demo.operators.families import FAMILIES, OPERATORS
from throughtime.demo.operators.lexer import NEWLINE, lex
from throughtime.demo.operators.reading import read_files
from throughtime.demo.operators.sites import CLOSE, LONGEST, NUMBER, OPEN, family_of, operator_name
from throughtime.errors import DataError

STDLIB = Path(sysconfig.get_path("stdlib"))
MODULES = (
    "argparse",
    "ast",
    "dataclasses",
    "decimal",
    "_pydecimal",
    "fractions",
    "heapq",
    "inspect",
    "random",
)
FILES = [SourceFile(f"python/{name}.py", STDLIB / f"{name}.py") for name in MODULES]
SMALL = Sizes(training=500, validation=120, test=120, vocabulary=600)

_SYMBOL = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.In: "in",
    ast.NotIn: "not in", ast.Is: "is", ast.IsNot: "is not", ast.Add: "+", ast.Sub: "-", ast.Mult: "*",
    ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^",
    ast.LShift: "<<", ast.RShift: ">>", ast.And: "and", ast.Or: "or",
}  # fmt: skip


def parsed_operators(source: str) -> list[tuple[str, ast.expr, ast.expr]]:
    """Return operators as Python's parser sees them, with what stands before and after each.

    Those inside of formatted strings are left out, and the sign of a complex number in a pattern.
    """
    found: list[tuple[str, ast.expr, ast.expr]] = []
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.JoinedStr | ast.MatchValue):
            continue
        if isinstance(node, ast.BinOp) and type(node.op) in _SYMBOL:
            found.append((_SYMBOL[type(node.op)], node.left, node.right))
        elif isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
            for operator, (left, right) in zip(node.ops, pairwise(operands), strict=True):
                found.append((_SYMBOL[type(operator)], left, right))
        elif isinstance(node, ast.BoolOp):
            found += [(_SYMBOL[type(node.op)], left, right) for left, right in pairwise(node.values)]
        waiting += ast.iter_child_nodes(node)
    return found


def assert_agrees_with_the_parser(source: str) -> None:
    """Every operator the parser knows is found between its operands, and nothing else is found."""
    lines = source.split("\n")
    lexed = lex(source)
    sites = sorted(
        (site.line, len(lines[site.line - 1][: site.column].encode()), lexed.tokens[site.place])
        for site in lexed.sites
    )
    expected = parsed_operators(source)
    for operator, left, right in expected:
        assert left.end_lineno is not None
        assert left.end_col_offset is not None
        first = bisect_left(sites, (left.end_lineno, left.end_col_offset))
        last = bisect_left(sites, (right.lineno, right.col_offset))
        between = [found for *_, found in sites[first:last]]
        assert between == [operator], f"line {right.lineno}: {between}, expected {operator}"
    assert len(sites) == len(expected)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_finds_the_operators_that_the_parser_finds(file: SourceFile) -> None:
    assert_agrees_with_the_parser(file.path.read_text("utf-8"))


_operands = st.sampled_from(["a", "b[0]", "c(d)", "'s'", "1", "(e)", "not_", "in_", "match", "case", "None"])
_signs = st.sampled_from(["", "-", "+", "not ", "~", "- -"])


@st.composite
def _expressions(draw: st.DrawFn, depth: int = 2) -> str:
    """Parenthesised expressions of all operators, signs, and what is written with the same characters."""
    if depth == 0:
        return draw(_signs) + draw(_operands)
    left, right = draw(_expressions(depth - 1)), draw(_expressions(depth - 1))
    operator = draw(st.sampled_from([*OPERATORS, "**", "@"]))
    form = draw(
        st.sampled_from(
            [
                "({left}) {operator} ({right})",
                "({left})\\\n {operator} ({right})",
                "f(*{left}, **{right})",
                "[x for x in ({left}) if ({right})]",
                "({left}) if ({right}) else -x",
                "(lambda *a, b=({left}), **c: ({right}))",
                "{{**({left}), ({right}): -1}}",
                "x[-1:({left}):({right})]",
            ]
        )
    )
    return form.format(left=left, right=right, operator=operator)


_statements = st.sampled_from(
    [
        "y = {e}",
        "y: int = {e}",
        "y |= {e}",
        "return_ = {e}; z = {e}",
        "for x in {e}: pass",
        "for x[a in b] in {e}: pass",
        "y = [x for x[a in b], z in {e} if {e} for w in {e} if w in x]",
        "case[a | b] = lambda: {e}",
        "match {e}:\n    case -1 | (2 | 3) if {e}: y = {e}",
        "match *a, {e}:\n    case [*b, -1]: pass\n    case {{'k': 1 | 2, **r}}: y = {e}",
        "match -a:\n    case A(b=1 | 2) | 1 - 2j: y = {e}",
        "match = {e}",
        "match[{e}] = -1",
        "case = {e}",
        "case({e})",
        "case - {e}",
        "def f(a, /, *b, c={e}, **d): return {e}",
        "print({e}, *a, sep={e})",
        "assert {e}, f'{{a + b}}'",
    ]
)


@settings(max_examples=150)
@given(_statements, _expressions())
def test_finds_the_operators_of_any_statement(statement: str, expression: str) -> None:
    assert_agrees_with_the_parser(statement.format(e=f"({expression})") + "\n")


@pytest.mark.parametrize(
    ("source", "operators"),
    [
        ("x = -a\n", []),
        ("x = a - -b\n", ["-"]),
        ("f(*a, **b)\n", []),
        ("def f(a, /, *, b=c * d): pass\n", ["*"]),
        ("lambda *a: a[0] * 2\n", ["*"]),
        ("for x in y in z: pass\n", ["in"]),
        ("[x for x in y if x in z]\n", ["in"]),
        ("{a: b for a, b in c if not a in d}\n", ["in"]),
        ("[x for x in (y in z) for w in x]\n", ["in"]),
        ("for x[a in b] in c: pass\n", ["in"]),
        ("a not in b is not c\n", ["not in", "is not"]),
        ("a is not b\n", ["is not"]),
        ("a is (not b)\n", ["is"]),
        ("a is not not b\n", ["is not"]),
        ("not a\n", []),
        ("return_ = yield_ -1\n", ["-"]),
        ("def f():\n    return -1\n", []),
        ("x: int | None = None\n", ["|"]),
        ("match a:\n    case 1 | 2 if b | c: d = e | f\n", ["|", "|"]),
        ("match a:\n    case (1 | 2): pass\n    case [1 | 2, *_]: pass\n", []),
        ("match a:\n    case -1 | 1 - 2j: pass\n    case *b, c: pass\n", []),
        ("match -a:\n    case _: pass\n", []),
        ("match *a, b:\n    case _: pass\n", []),
        ("match - a\ncase - b\n", ["-", "-"]),
        ("case(a | b)\ncase[a | b] = c\n", ["|", "|"]),
        ("case[a | b] = lambda: -c\n", ["|"]),
        ("case = a | b\n", ["|"]),
        ("case.x | b\n", ["|"]),
        ("from a import *\n", []),
        ("a ** b @ c\n", []),
        ("a += b\n", []),
        ("a // b % c << d >> e & f ^ g\n", ["//", "%", "<<", ">>", "&", "^"]),
        ("a[-1] - b()[0] - {}.x - 'y' - ... - None\n", ["-"] * 5),
        ("a if b else -c\n", []),
        ("print(f'{a + b}' + c)\n", ["+"]),
        ("a < b <= c != d\n", ["<", "<=", "!="]),
        ("a and \\\n  b or c\n", ["and", "or"]),
    ],
)
def test_tells_operators_from_what_looks_like_them(source: str, operators: list[str]) -> None:
    lexed = lex(source)
    assert [lexed.tokens[site.place] for site in lexed.sites] == operators


def test_a_site_knows_its_place_and_its_lines() -> None:
    source = "a = 1\n\nb = 2  # c\nif (a <\n    b):\n    c()\nd = 4\n"
    lexed = lex(source)
    (site,) = lexed.sites
    assert (site.line, site.column) == (4, 6)
    window = " ".join(lexed.tokens[site.first : site.last])
    assert window == f"a = 1 {NEWLINE} b = 2 {NEWLINE} if ( a < b ) : {NEWLINE} c ( ) {NEWLINE}"


def test_strings_keep_their_words_only_when_short() -> None:
    tokens = lex(
        "x = ('r', u\"utf-8\", b'ab', 'two words', 'x' * 3, f'{a}', \"a very long one indeed\")\n"
    ).tokens
    assert [t for t in tokens if t.startswith(("'", '"', "b'", "<")) and t != NEWLINE] == [
        "'r'", "'utf-8'", "b'ab'", "<str>", "'x'", "<fstr>", "<str>",
    ]  # fmt: skip


@given(st.text(alphabet="ab+-*/<>=!()[]{}:,.|&'\"#\\ \n\t1not in is", max_size=40))
def test_any_text_is_read_or_refused(source: str) -> None:
    try:
        lexed = lex(source)
    except (SyntaxError, TokenError):
        return
    for site in lexed.sites:
        assert site.first <= site.place < site.last <= len(lexed.tokens)
        assert lexed.tokens[site.place] in OPERATORS


@pytest.fixture(scope="module")
def source() -> PythonOperators:
    return PythonOperators(3, SMALL, FILES)


def test_every_operator_is_in_one_family() -> None:
    members = [operator for family in FAMILIES for operator in family]
    assert len(members) == len(set(members)) == len(OPERATORS)
    first, size = family_of(torch.arange(len(members)))
    for number, (start, count) in enumerate(zip(first.tolist(), size.tolist(), strict=True)):
        family = [operator_name(i) for i in range(start, start + count)]
        assert tuple(family) == FAMILIES[OPERATORS[operator_name(number)][0]]


def test_windows_hold_what_the_file_holds(source: PythonOperators) -> None:
    texts = {file.name: file.path.read_text("utf-8").splitlines() for file in FILES}
    for sites in source.sites.values():
        for i, window in enumerate(sites.tokens):
            words = [source.vocabulary.words[number] for number in window.tolist()]
            start = words.index(OPEN)
            operator = operator_name(int(sites.operators[i]))
            assert words[start : start + 3] == [OPEN, operator, CLOSE]
            assert dataset.SHORTEST <= len(words) <= LONGEST
            assert words.count(OPEN) == words.count(CLOSE) == 1
            file, line, column = sites.where[i].tolist()
            text = texts[source.file_name(file)][line - 1]
            assert text[column:].startswith(operator.split()[0])


def test_files_and_windows_stand_in_one_split_alone(source: PythonOperators) -> None:
    files = {name: set(sites.where[:, 0].tolist()) for name, sites in source.sites.items()}
    assert not files["training"] & files["validation"]
    assert not files["training"] & files["test"]
    assert not files["validation"] & files["test"]
    windows = [tuple(window.tolist()) for sites in source.sites.values() for window in sites.tokens]
    assert len(windows) == len(set(windows))


def test_a_draw_changes_operators_and_nothing_else(source: PythonOperators) -> None:
    sites = source.sites["training"]
    drawn = source.training(0)
    replaced = drawn.inputs.values[sites.places] != sites.operator_tokens[sites.operators]
    assert torch.equal(drawn.targets, sites.operators), "the target is the author's operator"
    assert 0.4 < replaced.double().mean() < 0.6
    elsewhere = torch.ones(drawn.inputs.layout.total, dtype=torch.bool)
    elsewhere[sites.places] = False
    assert torch.equal(drawn.inputs.values[elsewhere], sites.tokens.values[elsewhere])
    shown = [source.vocabulary.words[i] for i in drawn.inputs.values[sites.places].tolist()]
    for operator, number, changed in zip(shown, sites.operators.tolist(), replaced.tolist(), strict=True):
        own = operator_name(number)
        assert (operator != own) == changed
        assert OPERATORS[operator][0] == OPERATORS[own][0]


def test_replacements_are_drawn_evenly(source: PythonOperators) -> None:
    sites = source.sites["training"]
    sites = sites.select(torch.nonzero(sites.operators == NUMBER["=="]).flatten())
    generator = torch.Generator().manual_seed(0)
    counts = Counter(operator_name(int(i)) for _ in range(400) for i in sites.draw_others(generator))
    assert set(counts) == {"!=", "<", "<=", ">", ">="}
    expected = sum(counts.values()) / 5
    # Five standard deviations of a binomial count.
    assert all(abs(count - expected) < 5 * (0.8 * expected) ** 0.5 for count in counts.values())


def test_epochs_differ_and_repeat(source: PythonOperators) -> None:
    again = PythonOperators(3, SMALL, FILES)
    assert source.describe() == again.describe()
    assert torch.equal(source.training(1).inputs.values, again.training(1).inputs.values)
    assert torch.equal(source.test.inputs.values, again.test.inputs.values)
    assert torch.equal(source.replaced, again.replaced)
    assert not torch.equal(source.training(0).inputs.values, source.training(1).inputs.values)
    other = PythonOperators(4, SMALL, FILES)
    assert other.describe()["sha256"] != source.describe()["sha256"]


def test_unknown_names_keep_their_identity() -> None:
    tiny = PythonOperators(3, dataclasses.replace(SMALL, vocabulary=60), FILES)
    sites = tiny.sites["training"]
    texts = {file.name: lex(file.path.read_text("utf-8")) for file in FILES}
    checked = 0
    for i in range(50):
        words = [tiny.vocabulary.words[number] for number in sites.tokens[i].tolist()]
        strangers = [word for word in words if word.startswith("<v")]
        firsts = list(dict.fromkeys(strangers))
        assert firsts == [f"<v{k}>" for k in range(1, len(firsts) + 1)]
        file, line, column = sites.where[i].tolist()
        lexed = texts[tiny.file_name(file)]
        (site,) = (s for s in lexed.sites if (s.line, s.column) == (line, column))
        if site.last - site.first + 2 == len(words):
            original = lexed.tokens[site.first : site.last]
            shown = [word for word in words if word not in {OPEN, CLOSE}]
            names = {}
            for was, now in zip(original, shown, strict=True):
                if now.startswith("<v"):
                    assert names.setdefault(now, was) == was
                    checked += 1
    assert checked > 100


def test_files_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    contents = [b"a = b + c\n", b"\xff\xfe", b"x = (\n", b"y = '''\n"]
    files = []
    for i, content in enumerate(contents):
        path = tmp_path / f"{i}.py"
        path.write_bytes(content)
        files.append(SourceFile(path.name, path))
    stream = read_files(files)
    assert (stream.names, stream.skipped) == (["0.py"], 3)
    assert [stream.words[i] for i in stream.tokens] == ["a", "=", "b", "+", "c", NEWLINE]


def test_reading_in_other_processes_equals_reading_in_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = read_files(FILES)
    monkeypatch.setattr(reading, "_CHUNK", 4)
    monkeypatch.setattr(reading, "_FEW", 4)
    monkeypatch.setattr("joblib.cpu_count", lambda: 2)
    together = read_files(FILES)
    assert together.names == alone.names
    assert [together.words[i] for i in together.tokens] == [alone.words[i] for i in alone.tokens]
    assert np.array_equal(together.sites, alone.sites)
    assert np.array_equal(together.starts, alone.starts)
    assert not [child for child in multiprocessing.active_children() if child.is_alive()]


def test_a_byte_order_mark_is_no_token(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"\xef\xbb\xbfa + b\n")
    stream = read_files([SourceFile("a.py", tmp_path / "a.py")])
    assert stream.words == ["a", "+", "b", NEWLINE]
    assert stream.sites[0, 4:].tolist() == [1, 2]


def test_no_files_make_an_empty_stream() -> None:
    stream = read_files([])
    assert (stream.names, stream.skipped, len(stream.tokens), len(stream.sites)) == ([], 0, 0, 0)


def test_too_few_files_are_refused() -> None:
    with pytest.raises(DataError, match="at least 5 files"):
        PythonOperators(0, SMALL, FILES[:4])


def test_the_installed_files_name_no_path_of_this_machine() -> None:
    files, packages = installed_files()
    names = [file.name for file in files]
    assert names == sorted(names)
    assert len(names) == len(set(names))
    assert not [name for name in names if name.startswith("/") or "test" in name.split("/")[:-1]]
    assert {"torch/nn/modules/rnn.py", "python/heapq.py"} <= set(names)
    assert not [name for name in names if name.startswith(("throughtime/", "pytest/", "hypothesis/"))]
    assert any(package.startswith("scikit-learn ") for package in packages)
