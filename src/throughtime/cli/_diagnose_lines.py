"""What ``throughtime diagnose`` prints of a run."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from throughtime.data.printable import printable

_STYLES = {"problem": "bold red", "warning": "yellow", "note": "cyan"}


def show(console: Console, found: Mapping[str, Any]) -> None:
    """Print how well a model does, the findings, and its Lyapunov exponents."""
    for line in _quality(found["quality"]):
        console.print(printable(line), soft_wrap=True, markup=False)
    if not any(finding["about"] == "gradients" for finding in found["findings"]):
        console.print("no gradient problems found (accuracy is not judged here)", soft_wrap=True)
    for finding in found["findings"]:
        severity = str(finding["severity"])
        console.print(f"[{_STYLES[severity]}]{severity}[/] ", end="")
        console.print(f"{finding['where']}: {finding['verdict']}", soft_wrap=True, markup=False)
        console.print(f"  {finding['why']} {finding['advice']}", style="dim", soft_wrap=True, markup=False)
    if found["lyapunov"]:
        console.print(_exponents(found))


def _quality(found: Mapping[str, Any]) -> list[str]:
    if "figure" in found:
        return [f"{found['figure']} of what comes after the last step"]
    lines = [f"{_figures(found)} on {found['rows']:,} rows"]
    bag = found["bag_of_words"]
    if bag is None:
        return [*lines, f"not compared with a bag of words: {found['no_bag_of_words']}"]
    lines[0] += " that are not training rows"
    of = f"the {bag['training_rows']:,} training rows"
    if bag["fitted_to"] < bag["training_rows"]:
        of = f"{bag['fitted_to']:,} of {of}"
    return [*lines, f"{_figures(bag)} by a bag of words, fitted to {of}"]


def _figures(found: Mapping[str, Any]) -> str:
    return f"accuracy {100 * found['accuracy']:.1f} %, loss {found['loss']:.3f}"


def _exponents(found: Mapping[str, Any]) -> Table:
    shown = Table(show_edge=False, pad_edge=False)
    shown.add_column("Lyapunov exponents")
    shown.add_column("largest", justify="right")
    shown.add_column("its direction at 1 % after", justify="right")
    for one in found["lyapunov"]:
        exponents, horizon = one["exponents"], one["horizon"]
        shown.add_row(
            f"{one['name']}{', from the end' if one['direction'] else ''}",
            f"{exponents[0]:+.3f} per step" if exponents else "",
            f"{horizon:.0f} steps" if isinstance(horizon, float) else "",
        )
    return shown
