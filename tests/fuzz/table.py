"""The table of all functions that read files."""

from .commands import COMMANDS
from .inputs import INPUTS
from .loaders import FILES
from .logs import LOGS
from .runs import RUNS

LOADERS = {**FILES, **INPUTS, **RUNS, **COMMANDS, **LOGS}
