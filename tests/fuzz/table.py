"""The table of all functions that read files."""

from .commands import COMMANDS
from .loaders import FILES
from .runs import RUNS

LOADERS = {**FILES, **RUNS, **COMMANDS}
