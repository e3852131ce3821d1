"""The checks of the layers with every set of instructions for int8 products, each in its own process.

``python -m tests.quantized.sets FOLDER NAME ...`` writes the results of the layers with each set to a file in the
folder, and prints its name. Torch is imported once, before the processes part.
"""

import os
import sys
import traceback

import torch


def check(name: str) -> str:
    os.environ.update(THROUGHTIME_INT8=name, THROUGHTIME_POISON="1")
    import throughtime as tt
    from tests.quantized.layers import LAYERS, batch, layer, values
    from tests.quantized.test_packing import test_sums_of_integers_are_exact
    from throughtime import _native

    assert _native.quantized_set() == name
    for features in (1, 3, 64, 1500):
        test_sums_of_integers_are_exact(features)
    results = [values(tt.quantize(layer(kind))(batch([4, 9, 3]))) for kind in LAYERS]
    torch.save(results, f"{sys.argv[1]}/{name}.pt")
    return f"{name} {len(results)}"


def in_child(name: str) -> None:
    if child := os.fork():
        os.waitpid(child, 0)
        return
    try:
        print(check(name))  # noqa: T201 - what the test reads
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    for argument in sys.argv[2:]:
        in_child(argument)
