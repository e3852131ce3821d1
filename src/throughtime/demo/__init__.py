"""The main job on the data that every installation has: train, compare and report, and review files.

`throughtime.demo.job` does the first, `throughtime.demo.review` the second; each imports its own libraries.
"""

from throughtime.demo.task import TASK as TASK
