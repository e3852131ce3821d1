"""A model in evaluation mode for a while. Changes no weight."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Dropout off, running statistics on; afterwards every module is in the mode that it had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        # Through `train`, from the outside in, so that a module that does more there (merges weights, say)
        # does it again; a module that keeps its parts in another mode than its own is set right after that.
        for module, training in modes:
            if module.training != training:
                module.train(training)
        for module, training in modes:
            module.training = training
