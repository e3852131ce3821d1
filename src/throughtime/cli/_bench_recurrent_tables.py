"""How ``throughtime bench recurrent`` looks in a terminal: lines that appear as soon as they are measured."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from throughtime.bench.means import geometric_mean
from throughtime.bench.recurrent import Row
from throughtime.bench.recurrent.record import LinearRow, MemoryRow, Record, TraceRow
from throughtime.bench.recurrent.summary import shares, summarize
from throughtime.cli._bench_options import machine_line, time_shown


class Printer:
    """Prints every part of a record.

    Parameters
    ----------
    console
        Where to.
    peers
        Names of the columns with ratios.
    """

    def __init__(self, console: Console, peers: Sequence[str]) -> None:
        self.console = console
        self.peers = peers

    def line(self, text: str, style: str | None = None) -> None:
        """Print one line as it is, however long."""
        self.console.print(text, style=style, soft_wrap=True, markup=False)

    def head(self, record: Record) -> None:
        """Print the machine, who is missing, and the names of the columns."""
        machine = record.machine
        self.line(machine_line(machine))
        self.line(", ".join(f"{name} {version}" for name, version in machine.versions.items()))
        for note in record.notes:
            self.line(note, "yellow")
        columns = f"{'cell':5}{'shape':24}{'lengths':8}{'mode':11}{'ours':>10}{'GFLOP/s':>9}{'% peak':>9}"
        self.line(columns + "".join(f"{name:>13}" for name in self.peers), "bold")

    def case(self, rows: Sequence[Row]) -> None:
        """Print one case: our time, and the ratio of each peer."""
        if not rows:
            return
        first = rows[0]
        ratios = {row.peer: f"{row.ratio:.2f} x" for row in rows}
        self.line(
            f"{first.cell:5}{first.shape!s:24}{first.lengths:8}{first.mode:11}{time_shown(first.ours_s):>10}"
            f"{first.gflops:9.0f}{100 * first.share:9.0f}"
            + "".join(f"{ratios.get(name, '–'):>13}" for name in self.peers)
        )

    def summary(self, record: Record) -> None:
        """Print means and worst cells, and what was left out."""
        if record.rows:
            table = Table("peer ÷ ours", "geometric mean", "worst", "at", "of", box=None)
            for line in summarize(record.rows):
                table.add_row(
                    line.what, f"{line.mean:.2f}", f"{line.worst:.2f}", line.worst_at, str(line.count)
                )
            self.console.print(table)
        for line in shares(record.rows):
            self.line(
                f"{line.what} at B ≥ 32 and H ≥ 256: {100 * line.mean:.0f} % of the peak FMA throughput, "
                f"worst {100 * line.worst:.0f} % at {line.worst_at}, of {line.count}"
            )
        for note in record.notes:
            self.line(note, "yellow")

    def step(self, rows: Sequence[Row]) -> None:
        """Print what one step takes."""
        self.line("one step at batch 1, 64 units, without gradients", "bold")
        for row in rows:
            ours, torchs = time_shown(row.ours_s), time_shown(row.peer_s)
            self.line(f"  {row.cell:5}{ours:>10}, torch {torchs}: {row.ratio:.2f} x")

    def trace(self, rows: Sequence[TraceRow]) -> None:
        """Print what traces cost."""
        self.line("trace ÷ plain call", "bold")
        for mode in ("training", "inference"):
            chosen = [row for row in rows if row.mode == mode]
            worst = max(chosen, key=lambda row: row.ratio)
            self.line(
                f"  {mode}: geometric mean {geometric_mean(row.ratio for row in chosen):.2f}, "
                f"worst {worst.ratio:.2f} at {worst.cell} {worst.shape} {worst.lengths}"
            )

    def linear(self, rows: Sequence[LinearRow]) -> None:
        """Print times per token of ever longer sequences."""
        self.line("time per token of one sequence, 64 units", "bold")
        for cell, mode in dict.fromkeys((row.cell, row.mode) for row in rows):
            chosen = [row for row in rows if (row.cell, row.mode) == (cell, mode)]
            times = ", ".join(f"T {row.shape.steps}: {time_shown(row.token_s)}" for row in chosen)
            self.line(f"  {cell:5}{mode:11}{times}")

    def memory(self, rows: Sequence[MemoryRow]) -> None:
        """Print peaks of memory."""
        self.line(f"peak resident memory of a fresh training process, {rows[0].shape}", "bold")
        for row in rows:
            ours, torchs = row.ours_bytes / 2**20, row.torch_bytes / 2**20
            self.line(
                f"  {row.cell:5}{row.lengths:8}{ours:8.0f} MiB, torch {torchs:.0f} MiB: {row.ratio:.2f} x"
            )
