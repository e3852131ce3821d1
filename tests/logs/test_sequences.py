"""Sessions: by identifier, thread, time and number of records; parts, their context and their end."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from throughtime.errors import DataError
from throughtime.logs.events import NEW, Events, read_events
from throughtime.logs.files import log_files
from throughtime.logs.options import LogOptions, SessionOptions
from throughtime.logs.sequences import CONTEXT, Sequences, automatic_length, longest_pause, sequences_of

LOG = """\
12:00:00 [w-1] job-1 a
12:00:01 [w-2] job-2 a
Traceback (most recent call last):
  of job-9
12:00:02 [w-1] b without a job
12:01:30 [w-1] job-1 c
12:01:31 [w-2] job-2 b
"""


def _events(folder: Path, options: SessionOptions, text: str = LOG, ignore: Sequence[str] = ()) -> Events:
    path = folder / "app.log"
    path.write_text(text)
    files = log_files([path]).files
    return read_events(
        files, LogOptions(sessions=options, ignore=tuple(ignore)), lambda level, message: len(message)
    )


def _lines(sequences: Sequences) -> dict[str, list[int]]:
    """Return the lines of each session by its name."""
    lines: dict[str, list[int]] = {}
    for number in range(len(sequences)):
        name = Path(sequences.name(number)).name
        lines.setdefault(name, []).extend(sequences.events.line[sequences.records(number)].tolist())
    return lines


def test_sessions_by_identifier_and_one_for_all_other_records(tmp_path: Path) -> None:
    events = _events(tmp_path, SessionOptions(session=r"job-(\d+)"))
    sequences = sequences_of(events, 10)
    assert _lines(sequences) == {"1": [1, 6], "2": [2, 7], "app.log": [5]}
    assert sequences.ends.tolist() == [True, True, False]


def test_an_identifier_may_be_in_a_line_that_continues_a_record(tmp_path: Path) -> None:
    events = _events(tmp_path, SessionOptions(session=r"job-9"))
    assert _lines(sequences_of(events, 10)) == {"app.log": [1, 5, 6, 7], "job-9": [2]}


def test_sessions_by_thread(tmp_path: Path) -> None:
    sequences = sequences_of(_events(tmp_path, SessionOptions(by="thread")), 10)
    assert _lines(sequences) == {"app.log thread w-1": [1, 5, 6], "app.log thread w-2": [2, 7]}
    assert not sequences.ends.any()


def test_sessions_by_time(tmp_path: Path) -> None:
    sequences = sequences_of(_events(tmp_path, SessionOptions(window=60.0)), 10)
    assert [sequences.records(number).tolist() for number in range(len(sequences))] == [[0, 1, 2], [3, 4]]
    assert sequences.context.tolist() == [0, 3]


def test_long_sessions_are_read_in_parts_that_begin_with_the_records_before(tmp_path: Path) -> None:
    events = _events(tmp_path, SessionOptions(), "".join(f"12:00:00 line {i}\n" for i in range(100)))
    sequences = sequences_of(events, 40)
    assert [sequences.records(number).tolist() for number in range(3)] == [
        list(range(40)),
        list(range(40, 80)),
        list(range(80, 100)),
    ]
    assert sequences.context.tolist() == [0, CONTEXT, CONTEXT]
    assert sequences.rows[sequences.offsets[1] : sequences.offsets[2]].tolist() == list(
        range(40 - CONTEXT, 80)
    )
    scored = sequences.scored()
    assert len(scored) == len(sequences.rows) + 3
    assert scored.sum() == 100
    lists = sequences.lists(events.event).to_pylist()
    assert [len(events) for events in lists] == [40, 40 + CONTEXT, 20 + CONTEXT]


def test_a_session_that_may_go_on_has_no_end(tmp_path: Path) -> None:
    text = "job-1\njob-1\n" + "job-2\n" * 5 + "job-3\n"
    events = _events(tmp_path, SessionOptions(session=r"job-\d"), text)
    assert sequences_of(events, 10, open_for=0).ends.tolist() == [True, True, True]
    assert sequences_of(events, 10, open_for=1).ends.tolist() == [True, True, False]
    assert sequences_of(events, 10, open_for=2).ends.tolist() == [True, False, False]
    assert longest_pause(events) == 1
    interleaved = _events(tmp_path, SessionOptions(session=r"job-\d"), "job-1\njob-2\njob-2\njob-1\n")
    assert longest_pause(interleaved) == 2


def test_sessions_over_several_logs_are_in_order_of_time(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("12:00:00 job-1 asked\n12:00:02 job-1 done\n")
    (tmp_path / "b.log").write_text("12:00:01 job-1 answered\n")
    options = LogOptions(sessions=SessionOptions(session=r"job-\d"))
    events = read_events(log_files([tmp_path]).files, options, lambda level, message: 0)
    sequences = sequences_of(events, 10)
    assert sequences.records(0).tolist() == [0, 2, 1]


def test_records_continue_over_rotated_files(tmp_path: Path) -> None:
    (tmp_path / "app.log.1").write_text("12:00:00 failed\nTraceback (most recent call last):\n")
    (tmp_path / "app.log").write_text("KeyError: 'x'\n12:00:01 stopped\n")
    seen: list[str] = []
    options = LogOptions()
    events = read_events(log_files([tmp_path]).files, options, lambda level, message: seen.append(message))
    assert seen == ["failed KeyError", "stopped"]
    assert (events.file.tolist(), events.line.tolist()) == ([0, 1], [1, 2])
    assert events.event.tolist() == [NEW, NEW]


def test_ignored_records_are_counted_and_left_out(tmp_path: Path) -> None:
    events = _events(tmp_path, SessionOptions(), ignore=["without a job", "of job-9"])
    assert events.line.tolist() == [1, 6, 7]
    assert events.ignored == 2


def test_the_automatic_length() -> None:
    def events(count: int, identified: bool) -> Events:
        zeros = np.zeros(count, dtype=np.int64)
        return Events(zeros, zeros, zeros, zeros, zeros, zeros * 0.0, ("x",), np.array([identified]), ())

    assert [automatic_length(events(n, identified=False), "auto") for n in (100, 20_000, 10**6)] == [
        16,
        50,
        256,
    ]
    assert automatic_length(events(100, identified=True), "auto") == 256
    assert automatic_length(events(100, identified=True), 7) == 7


@pytest.mark.parametrize(
    ("options", "text", "message"),
    [
        (
            {"session": "req-x"},
            LOG,
            r"session='req-x' .* matches no record; the first are '12:00:00 \[w-1\] job-1 a', ",
        ),
        ({"by": "process"}, "a\nb\n", r"no record names a process; the first are 'a', 'b'; use session="),
        ({"window": 60.0}, "a\nb\n", r"no record has a timestamp; the first are 'a', 'b'; leave out window="),
        ({}, "\n \n", r"app\.log: no records; give a log with lines"),
    ],
)
def test_options_that_apply_to_no_record_are_errors(
    tmp_path: Path, options: dict[str, object], text: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        _events(tmp_path, SessionOptions(**options), text)  # type: ignore[arg-type]


def test_a_log_of_ignored_records_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no records, all 5 are ignored"):
        _events(tmp_path, SessionOptions(), ignore=["."])


def test_options_that_contradict_each_other_are_errors() -> None:
    with pytest.raises(DataError, match="session= .* and window= .* were both given"):
        SessionOptions(session="x", window=1.0)
    with pytest.raises(DataError, match="session= .* and by= .* were both given"):
        SessionOptions(session="x", by="thread")
    with pytest.raises(DataError, match=r"session='\(' .* is not a regular expression"):
        SessionOptions(session="(")
