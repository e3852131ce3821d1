"""What all layers with int8 weights check: dtype, device, gradients, and that no graph is recorded."""

from typing import Any

import torch
from torch import Tensor, nn

from throughtime.errors import InputTypeError, UnsupportedError
from throughtime.nn.inputs.tokens import check_dtype_and_device
from throughtime.ragged import tracing


def frozen(values: Tensor) -> nn.Parameter:
    """Return a parameter without gradient: code that reads a model's dtype looks at its first parameter."""
    return nn.Parameter(values.detach().contiguous(), requires_grad=False)


def checked_tokens(tokens: Tensor, scale: Tensor, name: str) -> Tensor:
    """Return the tokens in float32 if a layer with these scales can read them.

    Raises
    ------
    InputTypeError
        If the dtype or device of tokens or layer is another.
    UnsupportedError
        As of `check_inference`.
    """
    if scale.dtype != torch.float32 or not scale.is_cpu:
        raise InputTypeError(
            f"{name} computes in float32 on a CPU, but was moved to {scale.dtype} on {scale.device}; "
            "quantize the model on the CPU and leave the result there"
        )
    check_dtype_and_device(tokens, scale, "the input", name)
    check_inference(name, tokens)
    return tokens.float()


def check_inference(name: str, *tensors: Tensor | None) -> None:
    """Refuse tensors whose gradients are required, and calls that are traced or exported.

    Raises
    ------
    UnsupportedError
        If a gradient is required, or torch.jit.trace or torch.export records the call.
    """
    if torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors):
        raise UnsupportedError(
            f"{name}: layers with int8 weights compute no gradients, and the input requires them; call it "
            "under torch.no_grad(), or use the float32 model"
        )
    if tracing() or _exporting():
        raise UnsupportedError(
            f"{name}: layers with int8 weights cannot be traced or exported; export the float32 model, and "
            "quantize the file with ONNX Runtime (see docs/quantization.md)"
        )


def _exporting() -> bool:
    # torch 2.7 and newer.
    exporting: Any = getattr(torch.compiler, "is_exporting", None)
    return exporting is not None and bool(exporting())
