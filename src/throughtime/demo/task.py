"""Name of the demo's task."""

TASK = "python-operators"
"""The task in the configuration of the runs."""
