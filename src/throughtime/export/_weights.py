"""Checks of the weights of a model before its export."""

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from throughtime.errors import InputTypeError, ShapeError

_LARGEST = 2**31  # bytes of one protobuf message


def check_float32(model: nn.Module) -> None:
    """Check that all weights are there, in float32.

    Raises
    ------
    InputTypeError
        If one is not; the message names it.
    """
    for path, module in model.named_modules():
        if any(is_lazy(parameter) for parameter in module.parameters(recurse=False)):
            raise InputTypeError(
                f"{path or 'the model'} is a {type(module).__name__}, whose weights have no shape yet; "
                "call the model once before the export"
            )
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.is_meta:
            raise InputTypeError(
                f"{name} is on the device meta, which keeps no numbers; load the weights first"
            )
        if (tensor.is_floating_point() or tensor.is_complex()) and tensor.dtype != torch.float32:
            raise InputTypeError(
                f"{name} is {tensor.dtype}, expected torch.float32, in which runtimes have these operators; "
                "export a copy in float32, copy.deepcopy(model).float()"
            )


def check_size(model: nn.Module) -> None:
    """Check that the parameters fit into one file.

    Raises
    ------
    ShapeError
        If they do not.
    """
    size = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    if size >= _LARGEST:
        raise ShapeError(
            f"the parameters have {size / 2**30:.1f} GiB, and one ONNX file holds less than 2 GiB; export a "
            "smaller model, or its parts"
        )
