"""Recurrent layers: each cell's equation and description stand in the file of its layer."""
