"""Kind of the runs of the demo."""

TASK = "operators"
"""The kind in the recipes of the runs."""
