"""A separate process that measures a plan and prints one JSON line per comparison.

``python -m throughtime.bench.conv._worker PLAN``, the plan as JSON.
"""

import json
import sys
from dataclasses import asdict, replace

import torch

from throughtime.bench._agreement import TOLERANCE
from throughtime.bench._timing import in_turns
from throughtime.bench.conv._plan import Plan, Shape
from throughtime.bench.conv.record import Comparison
from throughtime.bench.conv.tasks import Task, tasks


def main(text: str) -> None:
    """Measure, and print each comparison as soon as it is done."""
    content = json.loads(text)
    plan = Plan(**{**content, "shapes": [Shape(*shape) for shape in content["shapes"]]})
    torch.set_num_threads(plan.threads)
    torch.manual_seed(0)
    for task in tasks(plan):
        print(json.dumps(asdict(compare(task, plan))), flush=True)  # noqa: T201 - read by the parent process


def compare(task: Task, plan: Plan) -> Comparison:
    """Time both sides of a task, unless their results differ."""
    comparison = Comparison(task.part, task.what, task.kind, task.mode, task.peer, task.operations)
    pair = task.prepare()
    difference = pair.difference() if pair.difference else 0.0
    if not difference < TOLERANCE:
        where = f"{task.what}, {task.kind}, {task.mode}"
        note = f"{where}: {task.peer}'s results differ from ours by {difference:.1e} of the largest"
        return replace(comparison, note=f"{note}, so the time is not compared")
    ours, theirs = in_turns([pair.ours, pair.theirs], plan.rounds, plan.seconds)
    return replace(comparison, ours_s=ours, peer_s=theirs)


if __name__ == "__main__":
    main(sys.argv[1])
