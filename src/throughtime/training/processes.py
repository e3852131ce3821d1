"""The processes that torchrun started, and communication between them."""

import os
from typing import Any

import torch
from torch import distributed
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous


def process() -> int:
    """Return the rank of this process."""
    return int(os.environ.get("RANK", "0")) if processes() > 1 else 0


def processes() -> int:
    """Return the number of processes."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return 1
    return int(os.environ.get("WORLD_SIZE", "1"))


def on_this_machine() -> int:
    """Return the number of processes on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if processes() > 1 else 1


def was_restarted() -> bool:
    """Return whether torchrun restarted the processes after one had failed."""
    return processes() > 1 and int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def join() -> None:
    """Initialize the process group, if there are several processes."""
    if processes() == 1 or distributed.is_initialized():
        return
    store, rank, count = next(rendezvous("env://"))
    # After a restart torchrun's store still holds the addresses of the processes that are gone, and torch
    # 2.13 does not keep them apart: it waits for them more often than not.
    restart_store = PrefixStore(f"throughtime/{os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, store=restart_store, rank=rank, world_size=count)


def leave() -> None:
    """Destroy the process group."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def wait_for_all() -> None:
    """Wait for all processes."""
    if distributed.is_initialized():
        distributed.barrier()


def summed(*numbers: float) -> list[float]:
    """Return the sums of numbers over all processes, the same on each."""
    if not distributed.is_initialized():
        return list(numbers)
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    total = torch.tensor(numbers, dtype=torch.float64, device=device)
    distributed.all_reduce(total)
    return [float(number) for number in total]


def gathered(content: Any) -> list[Any]:
    """Return the values of all processes, by rank."""
    if not distributed.is_initialized():
        return [content]
    contents: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(contents, content)
    return contents
