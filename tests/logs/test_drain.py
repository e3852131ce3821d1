"""Templates: those of a log of known ones, and the properties of masking, finding and matching."""

from collections import defaultdict
from collections.abc import Hashable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughtime.errors import DataError
from throughtime.logs import drain as drain_module
from throughtime.logs.drain import Drain, DrainOptions
from throughtime.logs.events import message_of
from throughtime.logs.generated import FAULTS, TEMPLATES, generated_log
from throughtime.logs.masking import WILDCARD, masked
from throughtime.logs.records import framed
from throughtime.logs.templates import Template, Templates


def grouping_accuracy(found: Sequence[Hashable], truth: Sequence[Hashable]) -> float:
    """Return the fraction of messages whose group is exactly that of the truth (Zhu et al., ICSE-SEIP 2019)."""

    def groups(labels: Sequence[Hashable]) -> set[tuple[int, ...]]:
        members = defaultdict(list)
        for row, label in enumerate(labels):
            members[label].append(row)
        return {tuple(rows) for rows in members.values()}

    return sum(map(len, groups(found) & groups(truth))) / len(truth)


def test_grouping_accuracy_is_the_published_measure() -> None:
    assert grouping_accuracy("aabbc", "xxyyz") == 1.0
    assert grouping_accuracy("aaabc", "xxyyz") == pytest.approx(0.2)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_log_of_known_templates(seed: int) -> None:
    lines = list(generated_log(400, faults=FAULTS * 4, seed=seed))
    records = framed((0, number, line.text) for number, line in enumerate(lines, 1))
    drain = Drain()
    events = [drain.learn(*message_of(record)) for record in records]
    templates, of_event = drain.result()
    truth = [line.template for line in lines if line.template is not None]
    numbers = of_event[events].tolist()
    assert grouping_accuracy(numbers, truth) == 1.0
    assert len(templates) == len(set(truth))
    assert [templates[number].level for number in numbers] == [TEMPLATES[number][0] for number in truth]
    assert sum(template.count for template in templates.all) == len(truth)


def test_without_wordings_opposites_are_one_template() -> None:
    for wordings, expected in ((1, 1), (2, 2)):
        drain = Drain(DrainOptions(wordings=wordings))
        events = [drain.learn("", f"cache {word} for the key") for word in ("hit", "miss", "hit")]
        templates, of_event = drain.result()
        assert len(templates) == expected
        assert of_event[events].tolist() == ([0, 0, 0] if expected == 1 else [0, 1, 0])


def test_levels_and_lengths_are_told_apart() -> None:
    drain = Drain()
    messages = [("INFO", "disk is full"), ("ERROR", "disk is full"), ("INFO", "disk is very full")]
    events = [drain.learn(*message) for message in messages]
    assert drain.result().of_event[events].tolist() == [0, 1, 2]


def test_found_templates_match_the_messages_that_they_were_found_in() -> None:
    lines = [line.text for line in generated_log(60, faults=FAULTS)]
    messages = [message_of(r) for r in framed((0, n, line) for n, line in enumerate(lines, 1))]
    drain = Drain()
    events = [drain.learn(*message) for message in messages]
    templates, of_event = drain.result()
    for message, number in zip(messages, of_event[events].tolist(), strict=True):
        matched = templates.match(*message)
        assert matched == number


def test_a_message_without_a_template_is_none() -> None:
    templates = Templates([Template("INFO", "user <*> left")])
    assert templates.match("INFO", "user 7 left") == 0
    assert templates.match("INFO", "user 7 came") is None
    assert templates.match("ERROR", "user 7 left") is None
    assert templates.match("INFO", "user 7 left early") is None


def test_parameters_are_kept_apart() -> None:
    templates = Templates([Template("", "moved (<*>) from <*> to <*>,")])
    assert templates.parameters(0, "moved (blk_7) from 10.0.0.1 to node9,") == ["blk_7", "10.0.0.1", "node9"]


def test_first_words_beyond_the_limit_share_a_leaf() -> None:
    drain = Drain(DrainOptions(first_words=2, wordings=1))
    events = [drain.learn("", f"{name} has left the room") for name in ("ann", "bob", "cid", "dan")]
    templates, of_event = drain.result()
    assert of_event[events].tolist() == [0, 1, 2, 2]
    assert templates[2].text == "<*> has left the room"
    assert templates.match("", "eve has left the room") == 2


def test_too_many_templates_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain_module, "MOST_TEMPLATES", 3)
    drain = Drain()
    for word in "abc":
        drain.learn("", word)
    with pytest.raises(DataError, match="more than 3 templates"):
        drain.learn("", "d")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("took 12ms, size 1,024", "took <*>, size <*>"),
        ('GET /cart/17?page=2 HTTP/1.1" 200 17', 'GET /cart/<*>?page=<*> HTTP/<*>" <success> <*>'),
        ("exit status 0", "exit status <zero>"),
        ("exit status 137", "exit status <informational>"),
        ("code=17", "code=<*>"),
        ("at 0x7ffe and 3f2504e0-4f89-11d3-9a0c-0305e82c3301", "at <*> and <*>"),
        ("fe80::1 and [2001:db8::7]:80", "<*>::<*> and [<*>::<*>]:<*>"),
        ("no parameter here.", "no parameter here."),
        ("main.py:17 in load", "main.py:<*> in load"),
    ],
)
def test_masking(message: str, expected: str) -> None:
    assert masked(message) == expected


@given(st.text(max_size=200))
def test_masked_messages_have_no_digits_and_are_masked_once(message: str) -> None:
    text = masked(message)
    assert not any(character.isdecimal() and character.isascii() for character in text)
    assert masked(text) == text


def test_a_long_message_is_cut() -> None:
    assert masked("word " * 10_000).endswith(f" {WILDCARD}")
    drain = Drain()
    assert drain.learn("", "word " * 10_000) == drain.learn("", "word " * 20_000)
