"""How operators are registered with torch: for the CPU, other devices, fake tensors and autograd."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from throughtime.ops.plain import HALF

_LIBRARY = torch.library.Library("throughtime", "FRAGMENT")


def register(
    schema: str,
    *,
    cpu: Callable[..., Any] | None = None,
    elsewhere: Callable[..., Any],
    fake: Callable[..., Any],
    save: Callable[..., None] | None = None,
    gradient: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """Register ``throughtime::name``, and return the operator.

    Parameters
    ----------
    schema
        The operator's name, arguments and results, as `torch.library.Library.define` reads them.
    cpu, elsewhere
        What computes it on the CPU (the same unless given) and on other devices; neither is differentiated.
    fake
        What returns empty results of the right shapes.
    save, gradient
        The ``setup_context`` and ``backward`` of `torch.library.register_autograd`.
    """
    name = schema.partition("(")[0]
    _LIBRARY.define(schema)
    torch.library.register_fake(f"throughtime::{name}", fake, lib=_LIBRARY)
    _LIBRARY.impl(name, _undifferentiated(elsewhere), "CompositeExplicitAutograd")
    if cpu is not None:
        _LIBRARY.impl(name, cpu, "CPU")
    if gradient is not None:
        torch.library.register_autograd(f"throughtime::{name}", gradient, setup_context=save, lib=_LIBRARY)
    operator: Callable[..., Any] = getattr(torch.ops.throughtime, name)
    return operator


def in_full(operator: Callable[..., Any], values: Tensor, *rest: Any) -> Tensor:
    """Call an operator, in float32 for half precision."""
    if values.dtype in HALF:
        return in_full(operator, values.float(), *rest).to(values.dtype)
    result: Tensor = operator(values, *rest)
    return result


def register_vmap_over_features(operator: str, tensors: int = 1) -> None:
    r"""Let `torch.vmap` call an operator once, with what it maps over as one more feature.

    Parameters
    ----------
    operator
        Its name. Its first ``tensors`` arguments and its result are (\*, \*D); it treats each feature alike.
    """
    call = getattr(torch.ops.throughtime, operator)

    def mapped(info: Any, in_dims: tuple[int | None, ...], *arguments: Any) -> tuple[Tensor, int]:
        parts = [
            part.unsqueeze(-1).expand(*part.shape, info.batch_size) if dim is None else part.movedim(dim, -1)
            for part, dim in zip(arguments[:tensors], in_dims, strict=False)
        ]
        result: Tensor = call(*parts, *arguments[tensors:])
        return result, result.dim() - 1

    torch.library.register_vmap(f"throughtime::{operator}", mapped, lib=_LIBRARY)


def _undifferentiated(function: Callable[..., Any]) -> Callable[..., Any]:
    def computed(x: Tensor, *rest: Any) -> Any:
        # The autocast dtypes are the caller's; an operator computes in those of its tensors.
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            return function(x, *rest)

    return computed
