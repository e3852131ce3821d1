"""Tasks: targets, losses, metrics and predictions."""
