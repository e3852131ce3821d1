"""Reading and checking of the saved state before Lightning loads it."""

from typing import Any

from throughtime._fields import Fields
from throughtime.errors import RunError
from throughtime.training._run import Run
from throughtime.training._tensor_file import read_tree

STATE = "throughtime"
"""Key of the additional state in a Lightning checkpoint."""


def saved_state(run: Run) -> dict[str, Any] | None:
    """Return the saved state of a run as a Lightning checkpoint, or None if there is none.

    Raises
    ------
    RunError
        If it is damaged or incomplete, or its weights do not match the model of the run, which is checked
        without allocating the model.
    """
    if not run.state_path.exists():
        return None
    state = read_tree(run.state_path)
    try:
        fields = Fields(state)
        weights = fields.mapping("state_dict")
        # Lightning ignores missing entries.
        fields.mapping("loops"), fields.mapping(STATE)
        optimizers = fields.items("optimizer_states")
    except ValueError as error:
        raise unusable(run, str(error)) from error
    if len(optimizers) != 1:
        raise unusable(run, f"it has {len(optimizers)} optimizer states, expected one")
    run.model_for({str(name).removeprefix("model."): part for name, part in weights.items()}, run.state_path)
    return dict(state)


def unusable(run: Run, reason: str) -> RunError:
    """Return the error that training cannot resume from the state of a run."""
    return RunError(
        f"{run.state_path} is damaged: training cannot resume from it ({' '.join(reason.split())}); "
        "restore the file or train again"
    )
