"""Grouping accuracy of the templates of ``throughtime logs``, beside that of Drain as published.

    python benchmarks/log_templates.py LOGHUB

LOGHUB is a folder of the LogHub samples: ``HDFS/HDFS_2k.log``, 2,000 raw lines, and
``HDFS/HDFS_2k.log_structured.csv``, their messages (``Content``) and templates (``EventId``), and so on for
16 systems. A line is grouped correctly if the set of all lines with its template is exactly that of its true
template (J. Zhu et al., "Tools and benchmarks for automated log parsing", ICSE-SEIP 2019).

Ours has its default settings for all systems, once on the messages, once on the raw lines. The published
figures of Drain, from the repository logpai/logparser, are for messages, with a similarity, a depth and
regular expressions of parameters chosen for each system.
"""

import argparse
import csv
from collections import defaultdict
from collections.abc import Hashable, Sequence
from pathlib import Path
from statistics import mean

from throughtime.logs import log_files
from throughtime.logs.drain import Drain, DrainOptions
from throughtime.logs.events import read_events
from throughtime.logs.options import LogOptions

PUBLISHED = {
    "HDFS": 0.998, "Hadoop": 0.948, "Spark": 0.920, "Zookeeper": 0.967, "BGL": 0.963, "HPC": 0.887,
    "Thunderbird": 0.955, "Windows": 0.997, "Linux": 0.690, "Android": 0.911, "HealthApp": 0.780,
    "Apache": 1.000, "Proxifier": 0.527, "OpenSSH": 0.788, "OpenStack": 0.733, "Mac": 0.787,
}  # fmt: skip


def grouping_accuracy(predicted: Sequence[Hashable], truth: Sequence[Hashable]) -> float:
    """Return the fraction of lines whose group is exactly a true group."""
    groups, true_groups = _groups(predicted), _groups(truth)
    return sum(len(lines) for lines in groups & true_groups) / len(truth)


def _groups(labels: Sequence[Hashable]) -> set[tuple[int, ...]]:
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for line, label in enumerate(labels):
        groups[label].append(line)
    return {tuple(lines) for lines in groups.values()}


def of_messages(messages: Sequence[str], options: DrainOptions) -> list[int]:
    """Return the template of each message."""
    drain = Drain(options)
    events = [drain.learn("", message) for message in messages]
    return drain.result().of_event[events].tolist()


def of_lines(path: Path, count: int, options: DrainOptions) -> list[int]:
    """Return the template of each line of a file; -1 for a line that continues the one before."""
    drain = Drain(options)
    events = read_events(log_files([path]).files, LogOptions(drain=options), drain.learn)
    templates = [-1] * count
    for line, template in zip(events.line, drain.result().of_event[events.event], strict=True):
        templates[line - 1] = int(template)
    return templates


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("loghub", type=Path)
    parser.add_argument("--similarity", type=float, default=DrainOptions.similarity)
    parser.add_argument("--wordings", type=int, default=DrainOptions.wordings)
    arguments = parser.parse_args()
    options = DrainOptions(similarity=arguments.similarity, wordings=arguments.wordings)
    rows = []
    print(f"{'system':12}{'messages':>10}{'raw lines':>11}{'Drain, published':>18}")
    for system, published in PUBLISHED.items():
        log = arguments.loghub / system / f"{system}_2k.log"
        with log.with_name(f"{log.name}_structured.csv").open(encoding="utf-8", newline="") as file:
            table = list(csv.DictReader(file))
        truth = [row["EventId"] for row in table]
        messages = grouping_accuracy(of_messages([row["Content"] for row in table], options), truth)
        lines = grouping_accuracy(of_lines(log, len(truth), options), truth)
        rows.append((messages, lines, published))
        print(f"{system:12}{messages:10.3f}{lines:11.3f}{published:18.3f}")
    averages = [mean(column) for column in zip(*rows, strict=True)]
    print(f"{'mean':12}{averages[0]:10.3f}{averages[1]:11.3f}{averages[2]:18.3f}")


if __name__ == "__main__":
    main()
