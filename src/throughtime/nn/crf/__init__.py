"""Conditional random fields over the tags of a sequence."""
