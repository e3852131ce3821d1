"""What runs of the demo are called."""

TASK = "python-operators"
"""The task that they name in their configuration."""
