"""Sphinx extensions of this site: the API reference, its links, and equations as MathML."""
