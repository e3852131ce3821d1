"""A process of its own that measures a whole plan and prints one JSON line for each comparison.

``python -m throughtime.bench.conv._worker PLAN``, the plan as JSON.
"""

import json
import sys

import torch

from throughtime.bench._agreement import TOLERANCE
from throughtime.bench._timing import in_turns
from throughtime.bench.conv._plan import Plan, Shape
from throughtime.bench.conv.tasks import Task, tasks


def main(text: str) -> None:
    """Measure, and print each comparison as soon as it is done."""
    given = json.loads(text)
    plan = Plan(**{**given, "shapes": [Shape(*shape) for shape in given["shapes"]]})
    torch.set_num_threads(plan.threads)
    torch.manual_seed(0)
    for task in tasks(plan):
        print(json.dumps(measured(task, plan)), flush=True)  # noqa: T201 - what the parent reads


def measured(task: Task, plan: Plan) -> dict[str, object]:
    """Return one comparison: seconds of both, or why it was left out."""
    about = {
        "part": task.part,
        "what": task.what,
        "lengths": task.kind,
        "mode": task.mode,
        "peer": task.peer,
        "operations": task.operations,
    }
    pair = task.prepare()
    difference = pair.difference() if pair.difference else 0.0
    if not difference < TOLERANCE:
        where = f"{task.what}, {task.kind}, {task.mode}"
        note = f"{where}: {task.peer}'s results differ from ours by {difference:.1e} of the largest"
        return {**about, "note": f"{note}, so the time is not compared"}
    ours, theirs = in_turns([pair.ours, pair.theirs], plan.rounds, plan.seconds)
    return {**about, "ours_s": ours, "peer_s": theirs}


if __name__ == "__main__":
    main(sys.argv[1])
