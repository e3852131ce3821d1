"""``throughtime predict`` with a run of the demo: operators in Python files that look replaced."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from throughtime.cli._demo_run import operator_task
from throughtime.cli._python_files import python_files, unreadable
from throughtime.cli._tokenizer import tokenizer_of
from throughtime.data.printable import json_line, printable
from throughtime.data.vocabulary import Vocabulary
from throughtime.demo.operators.replacement import ReplacementDetector
from throughtime.demo.review import Finding, review
from throughtime.training import Run


@dataclass(frozen=True)
class _Located:
    """A finding, the file it is in, and its line of text."""

    file: str
    finding: Finding
    text: str

    @property
    def place(self) -> str:
        return f"{printable(self.file)}:{self.finding.line}:{self.finding.column + 1}"

    @property
    def parts(self) -> tuple[str, str, str]:
        """The line before the operator, the operator, and the rest of the line."""
        start = self.finding.column
        # The words of "not in" may be separated by more than one space.
        words = self.finding.operator.split()
        stop = start
        for word in words:
            stop = max(self.text.find(word, stop), stop) + len(word)
        return self.text[:start].lstrip(), self.text[start:stop], self.text[stop:].rstrip()


def predict_code(run: Run, data: Path, *, jsonl: bool, top: int, prior: float) -> None:
    """Print the operators with the highest probability of having been replaced."""
    operator_task(run)
    vocabulary = Vocabulary.from_tokenizer(tokenizer_of(run))
    model = ReplacementDetector(run.load_model(), vocabulary)
    located = []
    for name, source in python_files(data):
        lines = source.split("\n")  # as Python does: a form feed does not end a line
        with unreadable(name):
            findings = review(model, source, vocabulary, prior)
        located += [_Located(name, finding, lines[finding.line - 1]) for finding in findings]
    located.sort(key=lambda operator: -operator.finding.score)
    _print(located[:top], len(located), jsonl=jsonl, prior=prior)


def _print(shown: list[_Located], total: int, *, jsonl: bool, prior: float) -> None:
    if jsonl:
        for located in shown:
            finding = located.finding
            print(  # noqa: T201 - command output
                json_line(
                    {
                        "file": located.file,
                        "line": finding.line,
                        "column": finding.column + 1,
                        "operator": finding.operator,
                        "score": finding.score,
                        "rather": finding.rather,
                        "text": located.text.strip(),
                    }
                )
            )
        return
    console = Console(highlight=False, soft_wrap=True)
    if not shown:
        console.print("no operators found")
        return
    for located in shown:
        finding = located.finding
        console.print(
            Text.assemble(f"{finding.score:.3f}  {located.place}  rather ", (finding.rather, "bold green"))
        )
        before, operator, after = located.parts
        marked = (f"»{operator}«", "bold red")
        console.print(Text.assemble("       ", printable(before), marked, printable(after)))
    console.print(
        f"{len(shown)} of {total} operators, with the probability that each was replaced, given that "
        f"{100 * prior:g} % of all operators are (--prior)"
    )
