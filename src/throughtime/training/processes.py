"""Which process of several this is, as torchrun says, and what processes tell each other."""

import os
from typing import Any

import torch
from torch import distributed
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from throughtime.errors import RunError


def process() -> int:
    """Return the number of this process, from 0."""
    return int(os.environ.get("RANK", "0")) if processes() > 1 else 0


def processes() -> int:
    """Return how many processes train together."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return 1
    return int(os.environ.get("WORLD_SIZE", "1"))


def on_this_machine() -> int:
    """Return how many of them run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if processes() > 1 else 1


def was_restarted() -> bool:
    """Tell whether torchrun started this anew after a process had ended unexpectedly."""
    return processes() > 1 and int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def join() -> None:
    """Meet the other processes, if there are any."""
    if processes() == 1 or distributed.is_initialized():
        return
    store, rank, count = next(rendezvous("env://"))
    # After a restart torchrun's store still holds the addresses of the processes that are gone, and torch
    # 2.13 does not keep them apart: it waits for them more often than not.
    own = PrefixStore(f"throughtime/{os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, store=own, rank=rank, world_size=count)


def leave() -> None:
    """Part from the others."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def wait_for_all() -> None:
    """Go on when all processes are here."""
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
    """Return what every process gave, in their order."""
    if not distributed.is_initialized():
        return [content]
    found: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(found, content)
    return found


def require_one(what: str) -> None:
    """Refuse to run in several processes.

    Raises
    ------
    RunError
        If torchrun started more than one.
    """
    if processes() > 1:
        raise RunError(
            f"{what} runs in one process, torchrun started {processes()}; start it without torchrun"
        )
