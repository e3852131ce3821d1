"""Every reader of files that throughtime has."""

from .commands import COMMANDS
from .loaders import FILES
from .runs import RUNS

LOADERS = {**FILES, **RUNS, **COMMANDS}
