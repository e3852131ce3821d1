"""All ladders of tests/ops, in one process for each instruction set: most of the time of one is the import of torch.

``python -m tests.ops.ladders`` prints the instruction set and how many cases each ladder checked, or fails.
"""

from throughtime import _native

from . import conv_ladder, dropout_ladder, norm_ladder, pool_ladder, rocket_ladder, scan_ladder

if __name__ == "__main__":
    counts = (
        conv_ladder.climb(40, 6),
        dropout_ladder.climb(80, 5),
        norm_ladder.climb(150, 6),
        pool_ladder.climb(150, 6),
        rocket_ladder.climb(5),
        scan_ladder.climb(10, 7),
    )
    print(_native.instruction_set(), *counts)  # noqa: T201 - what the test reads
