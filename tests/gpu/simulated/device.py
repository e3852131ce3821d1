"""Registers the simulated device with torch."""

import importlib.util
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

NAME = "simulated"
_OF_RECURRENT_LAYERS = (
    *("lstm", "gru", "rnn_tanh", "rnn_relu"),
    *("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"),
)


def register(library: str) -> torch.device:
    """Load the compiled device.cpp, and return the device."""
    spec = importlib.util.spec_from_file_location("simulated_device", library)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(compiled := importlib.util.module_from_spec(spec))
    compiled.register_hooks()
    torch.utils.rename_privateuse1_backend(NAME)
    torch._register_device_module(NAME, _module())
    for name in _OF_RECURRENT_LAYERS:
        setattr(torch._VF, name, _on_cpu(getattr(torch._VF, name)))
    torch.Tensor.__deepcopy__ = _deepcopy(torch.Tensor.__deepcopy__)  # type: ignore[method-assign]
    return torch.device(NAME, 0)


def _module() -> ModuleType:
    module: Any = ModuleType(f"torch.{NAME}")
    module.get_amp_supported_dtype = lambda: [torch.bfloat16, torch.float16]
    module.is_available = lambda: True
    module.device_count = lambda: 1
    module.current_device = lambda: 0
    module._is_in_bad_fork = lambda: False
    module.manual_seed_all = lambda seed: None
    return module


def _on_cpu(function: Callable[..., Any]) -> Callable[..., Any]:
    """Torch's recurrent layers are one kernel on each device: here that of the CPU, if all is on one device."""

    def run(*arguments: Any) -> Any:
        tensors = [leaf for leaf in pytree.tree_leaves(arguments) if isinstance(leaf, Tensor)]
        # The numbers of sequences at each step of a packed batch are always on the CPU.
        devices = {tensor.device for tensor in tensors if tensor.is_floating_point()}
        if len(devices) > 1:
            raise RuntimeError(f"Expected all tensors to be on the same device, but found {devices}")
        (device,) = devices
        if device.type != NAME:
            return function(*arguments)
        return _moved(function(*_moved(arguments, torch.device("cpu"))), device)

    return run


def _moved(tree: Any, device: torch.device) -> Any:
    return pytree.tree_map(lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf, tree)


def _deepcopy(torchs: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Torch copies storages of known devices only."""

    def copied(self: Tensor, memo: dict[int, Any]) -> Tensor:
        if self.device.type != NAME:
            return torchs(self, memo)
        copy: Tensor = memo.setdefault(id(self), self.detach().clone().requires_grad_(self.requires_grad))
        return copy

    return copied
