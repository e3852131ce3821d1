"""Benchmarks of the layers against other libraries, for ``throughtime bench``."""
