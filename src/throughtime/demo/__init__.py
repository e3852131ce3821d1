"""Demo: detection of replaced operators in Python source, with training, comparison, report and review.

`throughtime.demo.job` trains models and writes the report; `throughtime.demo.review` applies one to files.
"""

from throughtime.demo.task import TASK as TASK
