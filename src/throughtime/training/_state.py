"""The state that a training resumes from, checked before Lightning loads it."""

from typing import Any

from throughtime._fields import Fields
from throughtime.errors import RunError
from throughtime.training._run import Run
from throughtime.training._tensor_file import read_tree

STATE = "throughtime"
"""Where a checkpoint of Lightning's holds what is ours."""


def saved_state(run: Run) -> dict[str, Any] | None:
    """Return the state of a run, if there is one, as a checkpoint of Lightning's.

    Raises
    ------
    RunError
        If it is damaged, something is missing in it, or its weights are not those of the run's model. The
        model is not built for it.
    """
    if not run.state_path.exists():
        return None
    state = read_tree(run.state_path)
    try:
        fields = Fields(state)
        weights = fields.mapping("state_dict")
        # Lightning goes without those that are missing.
        fields.mapping("loops"), fields.mapping(STATE)
        optimizers = fields.items("optimizer_states")
    except ValueError as error:
        raise unusable(run, str(error)) from error
    if len(optimizers) != 1:
        raise unusable(run, f"it has the states of {len(optimizers)} optimizers, and there is one")
    run.model_for({str(name).removeprefix("model."): part for name, part in weights.items()}, run.state_path)
    return dict(state)


def unusable(run: Run, reason: str) -> RunError:
    """Return the error that training cannot resume from the state of a run."""
    return RunError(
        f"{run.state_path} is damaged: training cannot resume from it ({' '.join(reason.split())}); "
        "restore the file or train again"
    )
