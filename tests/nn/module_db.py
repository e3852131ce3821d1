"""Writes torch's own samples for its recurrent modules to a file; run in a process of its own.

Importing torch.testing._internal changes global flags and hypothesis' profile, and it needs the package
expecttest for a base class that nothing here uses.
"""

import sys
import types
import unittest
import warnings

import torch


def samples() -> list[tuple]:
    """Return (class name, training, constructor args, kwargs, forward args, kwargs) for every sample."""
    stub = types.ModuleType("expecttest")
    stub.TestCase = unittest.TestCase
    sys.modules.setdefault("expecttest", stub)
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_modules import module_db

    found = []
    wanted = {getattr(torch.nn, name + suffix) for name in ("RNN", "LSTM", "GRU") for suffix in ("", "Cell")}
    for info in module_db:
        if info.module_cls not in wanted:
            continue
        for training in (False, True):
            for sample in info.module_inputs_func(
                info, device="cpu", dtype=torch.float64, requires_grad=True, training=training
            ):
                made, called = sample.constructor_input, sample.forward_input
                if called is None:
                    continue
                found.append(
                    (info.module_cls.__name__, training, made.args, made.kwargs, called.args, called.kwargs)
                )
    return found


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.save(samples(), sys.argv[1])
