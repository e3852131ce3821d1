"""Who else has a part in a call: a compiler, a transform, a mode, a subclass, autograd."""

import torch
from torch import Tensor
from torch._C import _len_torch_dispatch_stack, _len_torch_function_stack
from torch.autograd import forward_ad

from throughtime.ragged import tracing

# Dtypes of tensors that travel; sums run in float32.
HALF = (torch.float16, torch.bfloat16)
# Dtypes of the kernels.
FULL = (torch.float32, torch.float64)

_PLAIN = (Tensor, torch.nn.Parameter)


def compiling(x: Tensor) -> bool:
    """Return whether only shapes are needed: under torch.compile and export, and on the meta device."""
    return torch.compiler.is_compiling() or x.is_meta


def transformed() -> bool:
    """Tell whether a function transform or forward-mode differentiation is active."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0  # noqa: SLF001


def watched(*tensors: Tensor | None) -> bool:
    """Tell whether a dispatch mode is active, or one of the tensors is of a subclass."""
    if _len_torch_dispatch_stack():
        return True
    return False in [tensor is None or type(tensor) in _PLAIN for tensor in tensors]


def as_operator(x: Tensor, *others: Tensor | None) -> bool:
    """Return whether to call a registered operator, for a compiler, a dispatch mode or a tensor subclass."""
    if compiling(x):
        return True
    return x.is_cpu and not (transformed() or tracing()) and watched(x, *others)


def unobserved() -> bool:
    """Tell whether nothing but autograd has a part in this thread: compiler, tracer, mode, transform."""
    return not (
        torch.compiler.is_compiling()
        or tracing()
        or _len_torch_dispatch_stack()
        or _len_torch_function_stack()
        or torch.is_autocast_enabled("cpu")
        or transformed()
    )


def differentiable(*tensors: Tensor | None) -> bool:
    """Return whether a gradient is required."""
    return torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)


def on_plain_cpu(x: Tensor) -> bool:
    """Tell whether a tensor is a plain one on the CPU, and nobody else has a part in the call."""
    return x.is_cpu and not (compiling(x) or tracing() or transformed() or watched(x) or is_batched(x))


def undisturbed(values: Tensor, *others: Tensor | None) -> bool:
    """Return whether native code alone has a part in a call, so that it may look at these tensors itself."""
    return not differentiable(values, *others) and unobserved() and not is_batched(values)


def is_batched(*tensors: Tensor | None) -> bool:
    """Tell whether one of the tensors is one of many gradients that autograd passes back together."""
    legacy = torch._C._functorch.is_legacy_batchedtensor  # noqa: SLF001
    return True in [legacy(tensor) for tensor in tensors if tensor is not None]
