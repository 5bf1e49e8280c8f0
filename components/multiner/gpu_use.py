"""How much of a GPU something makes use of."""

from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

from .memory_use import MEGABYTE


class GpuUse(NamedTuple):
    """What something did with the GPU.

    busy: The share of the time in which the GPU computed or copied.
    peak_memory_mb: The most memory that torch had there since the process began.
    """

    busy: float
    peak_memory_mb: int


def use_of_gpu(act: Callable[[], object]) -> GpuUse:
    """Watch what something does with the GPU that torch has as its current one."""
    with profile(activities=[ProfilerActivity.CUDA]) as watched:
        start = perf_counter()
        act()
        torch.cuda.synchronize()
        seconds = perf_counter() - start
    microseconds = sum(event.self_device_time_total for event in watched.key_averages())
    return GpuUse(microseconds / 1e6 / seconds, torch.cuda.max_memory_allocated() // MEGABYTE)
