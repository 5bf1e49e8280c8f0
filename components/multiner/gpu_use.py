"""What a GPU can do, and how much of it something makes use of."""

from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

MEGABYTE = 1 << 20
# Side of the square matrices whose product tells what a GPU can compute at most.
MATRIX = 8192


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


def gpu_operations_per_second(number_type: torch.dtype, device: torch.device) -> float:
    """Multiplications and additions a second of a GPU in a large product of matrices."""
    matrix = torch.randn(MATRIX, MATRIX, device=device).to(number_type)
    seconds = []
    for _ in range(10):
        start = perf_counter()
        matrix @ matrix
        torch.cuda.synchronize(device)
        seconds.append(perf_counter() - start)
    return 2 * MATRIX**3 / min(seconds)
