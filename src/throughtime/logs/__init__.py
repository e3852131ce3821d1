"""Logs: unusual lines of raw log files, without labels.

The records of a log are parsed into templates and parameters, its sessions are sequences of templates, and a
language model of normal sessions gives the surprise of every line. See ``docs/logs.md``.
"""

from throughtime.logs.files import LogFile, log_files
from throughtime.logs.generated import FAULTS, TEMPLATES, GeneratedLine, generated_log
from throughtime.logs.model import LogModel
from throughtime.logs.options import LogOptions, ReadingOptions, SessionOptions
from throughtime.logs.scan import LogScan, scan_logs
from throughtime.logs.training import log_recipe, read_training_log, train_logs

__all__ = [
    "FAULTS",
    "TEMPLATES",
    "GeneratedLine",
    "LogFile",
    "LogModel",
    "LogOptions",
    "LogScan",
    "ReadingOptions",
    "SessionOptions",
    "generated_log",
    "log_files",
    "log_recipe",
    "read_training_log",
    "scan_logs",
    "train_logs",
]
