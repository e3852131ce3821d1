"""Layers on a stream: chunk by chunk or step by step, with the state in between."""
