"""Rows of a table by token: `layer` selects the native code or torch's, which is the reference."""
