"""Where computation runs."""

import torch
from thinc.api import require_gpu

from .errors import UserError
from .precision import has_fast_bfloat16


class DeviceError(UserError, ValueError):
    """The GPU that was asked for cannot be used."""


def prepare_device(gpu_id: int) -> None:
    """Have spaCy and torch use a GPU, or the CPU for -1.

    RAISES: DeviceError.
    """
    if gpu_id < 0:
        return
    if not torch.cuda.is_available():
        raise DeviceError(
            f"GPU {gpu_id} was asked for, but torch {torch.__version__} sees none here. Use --vars.gpu_id -1 (or "
            "--gpu-id -1) for the CPU, or install a driver, a CUDA build of torch and cupy."
        )
    if gpu_id >= torch.cuda.device_count():
        raise DeviceError(
            f"GPU {gpu_id} was asked for, but there are only {torch.cuda.device_count()}, counted from 0."
        )
    try:
        require_gpu(gpu_id)
    except ValueError as error:
        raise DeviceError(f"spaCy cannot use GPU {gpu_id}: {error} Install cupy for your CUDA version.") from error


def torch_device(gpu_id: int) -> torch.device:
    """The GPU of this number as torch calls it, or the CPU for -1."""
    return torch.device("cpu") if gpu_id < 0 else torch.device("cuda", gpu_id)


def on_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor of the CPU's memory on a device. A GPU copies it by itself, while other things are done."""
    if device.type == "cuda":  # which can do so from memory that stays where it is
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def describe_device(gpu_id: int) -> str:
    """The device in words."""
    if gpu_id >= 0:
        return f"GPU {gpu_id}, {torch.cuda.get_device_name(gpu_id)}"
    numbers = "bfloat16" if has_fast_bfloat16(torch.device("cpu")) else "float32"
    threads = torch.get_num_threads()
    return f"CPU, {threads} {'thread' if threads == 1 else 'threads'}, {numbers}"
