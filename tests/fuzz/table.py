"""Every reader of files that throughtime has."""

from .loaders import FILES

LOADERS = {**FILES}
