"""The result of a scan as text lines, JSON lines, SARIF and JUnit XML."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree as ET

from throughtime._words import counted
from throughtime.data.printable import json_line, printable
from throughtime.logs.difference import LogDifference
from throughtime.logs.follow import SessionVerdict, Verdict
from throughtime.logs.scan import LogScan, NewTemplate, ScannedSession, SurprisingLine
from throughtime.logs.values import UnusualValue

Format = Literal["table", "jsonl", "sarif", "junit"]

_WIDTH = 160
_MOST_NEW = 20


def written(scan: LogScan, format_: Format) -> Iterator[str]:
    """Yield the lines of a scan in a format."""
    return _WRITERS[format_](scan)


def summary_of(scan: LogScan) -> str:
    """Return the number of reported sessions, and the expected number of false alarms."""
    ignored = f", {counted(scan.ignored, 'record')} ignored" if scan.ignored else ""
    sessions, records = counted(scan.total, "session"), counted(scan.records, "record")
    return (
        f"reported: {scan.reported:,} of {sessions}, {records}{ignored}; of as many normal sessions, at most "
        f"about {scan.rate * scan.total:.2g} would be (false-alarm rate {scan.rate:.2g})"
    )


def _table(scan: LogScan) -> Iterator[str]:
    for rank, session in enumerate(scan.sessions, start=1):
        mark = "*" if session.is_reported else " "
        place = f"{session.file}:{session.first_line}-{session.last_line}"
        yield _cut(
            f"{mark}{rank:>3}. {session.name}  surprise {session.score:.1f}  p {session.p_value:.2g}  "
            f"{counted(session.records, 'record')}  {place}"
        )
        if session.frequency:
            yield f"      {session.frequency:>+5.1f}  {frequency_text(session)}"
        for line in session.lines:
            yield _cut(f"      {line.surprise:>5.1f}  {line.file}:{line.line}: {_what(line)}")
            for value in line.unusual:
                yield _cut(f"      {value.surprise:>5.1f}  {unusual_text(value)}")
            if line.surprise >= _UNLIKELY:
                yield _cut(f"             expected: {_expected(line)}")
    if scan.new_templates:
        yield f"new templates: {len(scan.new_templates):,}"
        for template in scan.new_templates[:_MOST_NEW]:
            yield _cut(f"      {template.records:>5}  {template.file}:{template.line}: {_name(template)}")
    yield f"* {summary_of(scan)}"


def frequency_text(session: ScannedSession) -> str:
    """Return the number of sessions with the templates of a session, and the expected number."""
    return f"{session.same_templates:,} sessions with the same templates, {session.expected:,.1f} expected"


def unusual_text(value: UnusualValue) -> str:
    """Return an unusual value and the usual ones."""
    return f"{value.name}: {value.value}, usually {value.usual}"


_UNLIKELY = 1.0
"""Minimum surprise of lines that are shown with the expected templates."""


def _what(line: SurprisingLine) -> str:
    if line.is_end:
        return f"the session ends after {line.text}"
    return f"{'new template: ' if line.is_new else ''}{line.text}"


def _expected(line: SurprisingLine) -> str:
    return ", ".join(f"{share:.0%} {template}" for template, share in line.expected if share >= 0.005)


def _name(template: NewTemplate) -> str:
    return f"{template.level} {template.text}".strip()


def _cut(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= _WIDTH else f"{shown[: _WIDTH - 1]}…"


def _jsonl(scan: LogScan) -> Iterator[str]:
    for session in scan.sessions:
        yield json_line({"kind": "session", **session_json(session)})
    for template in scan.new_templates:
        yield json_line({"kind": "new_template", **template._asdict()})
    yield json_line(
        {
            "kind": "summary",
            "reported": scan.reported,
            "sessions": scan.total,
            "records": scan.records,
            "ignored": scan.ignored,
            "false_alarms": scan.rate,
            "held_out": scan.held_out,
        }
    )


def session_json(session: ScannedSession) -> dict[str, Any]:
    """Return a session as JSON values."""
    return {**session._asdict(), "lines": [line_json(line) for line in session.lines]}


def line_json(line: SurprisingLine) -> dict[str, Any]:
    """Return a line as JSON values."""
    expected = [{"template": template, "probability": share} for template, share in line.expected]
    unusual = [value._asdict() for value in line.unusual]
    return {
        **line._asdict(),
        "expected": expected,
        "parameters": list(line.parameters),
        "unusual": unusual,
    }


def difference_lines(difference: LogDifference, *, as_json: bool) -> Iterator[str]:
    """Yield the lines of a comparison of two logs."""
    for template in difference.templates:
        if as_json:
            yield json_line({"kind": "template", **template._asdict()})
        else:
            name = f"{template.level} {template.text}".strip()
            yield _cut(
                f"{template.change:>5} {template.before:>8,} → {template.after:<8,} "
                f"{template.file}:{template.line}: {name}"
            )
    before, after = difference.records
    content = {
        "changed": len(difference.templates),
        "templates": difference.total,
        "records": [before, after],
    }
    if as_json:
        yield json_line({"kind": "summary", **content})
    else:
        changed = counted(len(difference.templates), "changed template")
        yield f"{changed} of {difference.total:,}; {before:,} → {counted(after, 'record')}"


def verdict_json(verdict: Verdict) -> str:
    """Return a verdict of a follower as a line of JSON."""
    if isinstance(verdict, SessionVerdict):
        return json_line({"kind": "session", **asdict(verdict)})
    content = {"session": verdict.session, "p_value": verdict.p_value, "is_reported": verdict.is_reported}
    return json_line({"kind": "line", **content, **line_json(verdict.line)})


def verdict_text(verdict: Verdict) -> str | None:
    """Return a verdict of a follower as a line of text; None if the session is not reported."""
    if not verdict.is_reported:
        return None
    if isinstance(verdict, SessionVerdict):
        return _cut(
            f"* {verdict.name} is over: surprise {verdict.score:.1f}, p {verdict.p_value:.2g}, "
            f"{counted(verdict.records, 'record')} from {verdict.file}:{verdict.first_line}"
        )
    line = verdict.line
    unusual = "".join(f"; {unusual_text(value)}" for value in line.unusual)
    return _cut(f"{line.surprise:>5.1f}  {line.file}:{line.line}: {_what(line)}{unusual}")


_RULES: Mapping[str, str] = {
    "surprising-session": "A session that is more surprising than normal sessions.",
    "new-template": "A line whose template does not occur in the log of normal operation.",
}


def _sarif(scan: LogScan) -> Iterator[str]:
    """Yield a SARIF 2.1.0 file with a result for each reported session and each new template."""
    results = [_session_result(session) for session in scan.sessions if session.is_reported]
    results += [
        _result("new-template", "note", f"new template ({template.records:,}): {_name(template)}", template)
        for template in scan.new_templates
    ]
    rules = [{"id": name, "shortDescription": {"text": text}} for name, text in _RULES.items()]
    driver = {"name": "throughtime logs", "version": version("throughtime"), "rules": rules}
    content = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }
    yield from json.dumps(content, indent=2).splitlines()


def _session_result(session: ScannedSession) -> dict[str, Any]:
    line = _most_surprising(session)
    result = _result("surprising-session", "warning", _message(session), line)
    return {**result, "properties": {"session": session.name, "score": session.score, "p": session.p_value}}


def _most_surprising(session: ScannedSession) -> SurprisingLine:
    return max(session.lines, key=lambda line: line.surprise + largest_of(line))


def largest_of(line: SurprisingLine) -> float:
    """Return the largest surprise of the unusual values of a line."""
    return max((value.surprise for value in line.unusual), default=0.0)


def _message(session: ScannedSession) -> str:
    line = _most_surprising(session)
    frequency = f"; {frequency_text(session)}" if session.frequency else ""
    unusual = "".join(f"; {unusual_text(value)}" for value in line.unusual)
    return printable(
        f"session {session.name}: {_what(line)} (surprise {line.surprise:.1f}, p {session.p_value:.2g}; "
        f"expected {_expected(line) or 'nothing in particular'}{unusual}{frequency})"
    )


def _result(rule: str, level: str, text: str, place: SurprisingLine | NewTemplate) -> dict[str, Any]:
    location = {"artifactLocation": {"uri": _uri(place.file)}, "region": {"startLine": place.line}}
    return {
        "ruleId": rule,
        "level": level,
        "message": {"text": printable(text)},
        "locations": [{"physicalLocation": location}],
    }


def _uri(name: str) -> str:
    path = Path(name)
    return path.as_uri() if path.is_absolute() else path.as_posix()


def _junit(scan: LogScan) -> Iterator[str]:
    """Yield JUnit XML with a test case for each session in the result, failed if it is reported."""
    failed = sum(session.is_reported for session in scan.sessions)
    suite = ET.Element(
        "testsuite", name="throughtime logs", tests=str(len(scan.sessions)), failures=str(failed)
    )
    for session in scan.sessions:
        case = ET.SubElement(
            suite,
            "testcase",
            classname=printable(session.file),
            name=f"{printable(session.name)}:{session.first_line}",
        )
        if session.is_reported:
            failure = ET.SubElement(case, "failure", type="surprising-session", message=_message(session))
            failure.text = "\n".join(
                printable(f"{line.file}:{line.line}: {_what(line)}") for line in session.lines
            )
    ET.indent(suite)
    yield from ET.tostring(suite, "unicode", xml_declaration=True).splitlines()


_WRITERS: Mapping[Format, Callable[[LogScan], Iterator[str]]] = {
    "table": _table,
    "jsonl": _jsonl,
    "sarif": _sarif,
    "junit": _junit,
}
