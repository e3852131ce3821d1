"""Records: lines that belong together, their level, message, process and thread."""

import pytest

from throughtime.logs.records import Record, framed, framing_of, header_of, process_of, thread_of

JAVA = """\
2026-01-31 12:00:00 ERROR [main] app.Main - failed
java.lang.IllegalStateException: no row
\tat app.Main.run(Main.java:7)
\tat app.Main.main(Main.java:3)
Caused by: java.io.IOException: closed
\t... 2 more

2026-01-31 12:00:01 INFO [main] app.Main - stopped
"""
PYTHON = """\
loading rows
Traceback (most recent call last):
  File "a.py", line 1, in f
    return rows[key]
KeyError: 'x'
stopped
ValueError: not of a traceback
"""


def _records(text: str) -> list[Record]:
    return list(framed((0, number, line) for number, line in enumerate(text.splitlines(), 1)))


def test_a_stack_trace_belongs_to_its_line() -> None:
    first, second = _records(JAVA)
    assert (first.line, first.lines, second.line) == (1, 7, 8)
    assert first.whole.splitlines()[-1] == "\t... 2 more"
    assert first.exception == "java.io.IOException"


def test_without_timestamps_indented_lines_and_tracebacks_continue() -> None:
    records = _records(PYTHON)
    assert [(record.line, record.lines) for record in records] == [(1, 5), (6, 1), (7, 1)]
    assert records[0].exception == "KeyError"


def test_the_framing_is_that_of_most_lines() -> None:
    stamped = ["12:00:00 started", "  of an indented line", "Traceback (most recent call last):"]
    assert framing_of(stamped) == "timestamps"
    assert framing_of(["started"] * 9 + ["12:00:00 once"]) == "indentation"
    assert framing_of([]) == "indentation"


def test_a_continuation_of_a_million_lines_takes_little_memory() -> None:
    lines = (
        (0, number, "12:00:00 failed" if number == 1 else f"\tat frame {number}")
        for number in range(1, 100_001)
    )
    (record,) = framed(lines)
    assert (record.lines, len(record.more)) == (100_000, 999)


@pytest.mark.parametrize(
    ("line", "level", "message"),
    [
        ("2026-01-31 12:30:00 INFO [main] cart.Store - loaded", "INFO", "cart.Store - loaded"),
        ("2026-01-31 12:30:00,250 [main] WARN  cart.Store - loaded", "WARNING", "cart.Store - loaded"),
        ("2026-01-31 12:30:00,250 - cart - ERROR - not loaded", "ERROR", "cart not loaded"),
        ("[2026-01-31 12:30:00] app.INFO: loaded", "INFO", "loaded"),
        ("2026-01-31 12:30:00 ERROR 404 is not found", "ERROR", "404 is not found"),
        ("INFO:root:loaded", "INFO", "root:loaded"),
        ("WARNING 2026-01-31 12:30:00 loaded", "WARNING", "loaded"),
        ('time="2026-01-31T12:30:00Z" level=error msg="not loaded"', "ERROR", 'msg="not loaded"'),
        ("Jan 31 12:30:00 host sshd[77]: session opened", "", "sshd: session opened"),
        ("260131 123005 148 INFO dfs.DataNode: block moved", "INFO", "dfs.DataNode: block moved"),
        ("I0131 12:30:05.250000 7 main.cc:1] loaded", "INFO", "7 main.cc:1] loaded"),
        ("01-31 12:30:05.250  1702  2395 E Power: low", "ERROR", "Power: low"),
        ("[Sat Jan 31 12:30:05 2026] [error] not found", "ERROR", "not found"),
        (
            '{"timestamp": "2026-01-31T12:30:00Z", "level": "warn", "message": "disk full"}',
            "WARNING",
            "disk full",
        ),
        ('{"msg": "disk full", "level": 50}', "50", "disk full"),
        ("nothing but a message about an error", "", "nothing but a message about an error"),
        ('{"no message', "", '{"no message'),
    ],
)
def test_headers(line: str, level: str, message: str) -> None:
    (record,) = _records(line)
    header = header_of(record)
    assert (header.level, header.message.lstrip("- ")) == (level, message)


def test_the_time_of_json_may_be_at_its_end() -> None:
    (record,) = _records('{"message": "%s", "time": "2026-01-31T12:30:00Z"}' % ("x" * 200))
    assert record.time == 1769862600.0


@pytest.mark.parametrize(
    ("line", "process", "thread"),
    [
        ("Jan 31 12:30:00 host sshd[77]: opened", "77", None),
        ("2026-01-31 12:30:00 [http-exec-3] INFO loaded", None, "http-exec-3"),
        ("2026-01-31 12:30:00 INFO [worker-2] loaded", None, "worker-2"),
        ("2026-01-31 12:30:00 pid=41 tid=7 loaded", "41", "7"),
        ("260131 123005 148 INFO dfs.DataNode: moved", "148", "148"),
        ("2026-01-31 12:30:00 loaded rows", None, None),
    ],
)
def test_processes_and_threads(line: str, process: str | None, thread: str | None) -> None:
    (record,) = _records(line)
    assert (process_of(record), thread_of(record)) == (process, thread)
