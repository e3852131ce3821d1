"""What a module is to an exporter: the class whose ``forward`` it runs, and nothing beside."""

from torch import nn
from torch.nn.utils import parametrize

from throughtime.errors import KindError

_HOOKS = ("_forward_pre_hooks", "_forward_hooks")


def kind_of(module: nn.Module) -> type[nn.Module]:
    """Return the class that a module was made of; a parametrization of its weights does not change it.

    A subclass is a class of its own, since its ``forward`` may be another.
    """
    return parametrize.type_before_parametrizations(module)


def check_untouched(model: nn.Module) -> None:
    """Refuse modules that compute more than their class says.

    Raises
    ------
    KindError
        If a module has a forward hook, or a ``forward`` of its own; the message names it.
    """
    for path, module in model.named_modules():
        name = f"{path} ({type(module).__name__})" if path else type(module).__name__
        if "forward" in vars(module):
            raise KindError(
                f"{name}: its forward was replaced, so its class does not say what it computes; "
                "make it a module that can be exported"
            )
        if any(getattr(module, hooks) for hooks in _HOOKS):
            raise KindError(
                f"{name} has a forward hook, which a graph does not run; remove it first (pruning with "
                "torch.nn.utils.prune.remove, weight normalisation with remove_weight_norm)"
            )
