"""Lets ``python -m throughtime`` be the command line."""

from throughtime.cli import main

main()
