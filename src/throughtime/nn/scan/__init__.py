"""Recurrent layers that run in parallel over time, because a step's gates do not see the state."""
