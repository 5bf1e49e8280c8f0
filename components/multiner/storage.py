"""Weights in fewer bytes on disk; they are float32 again when they are loaded.

`bfloat16` keeps 8 bits of each number's precision, in half of the space. `int8` keeps for each row of a matrix one
scale, and its numbers as whole multiples of it, in a quarter of the space. Only matrices of encoders are stored so: the
rest is small. Storing what was loaded from such a file gives the same numbers once more, to rounding.
"""

from collections.abc import Mapping
from typing import Literal

import torch

from .manifest import REMEDY, ModelFilesError

Storage = Literal["float32", "bfloat16", "int8"]
STORAGES: tuple[Storage, ...] = ("float32", "bfloat16", "int8")
SCALE = ".scale"
GREATEST = 127
Weights = dict[str, torch.Tensor]


def pack(weights: Mapping[str, torch.Tensor], storage: Storage) -> Weights:
    """Tensors as they are stored, by name; of int8 matrices there is also NAME.scale, one number for each row."""
    packed: Weights = {}
    for name, tensor in weights.items():
        if storage == "float32" or tensor.ndim < 2 or not tensor.is_floating_point():
            packed[name] = tensor
        elif storage == "bfloat16":
            packed[name] = tensor.bfloat16()
        else:
            rows = tensor.flatten(1)
            scale = rows.abs().amax(1).div_(GREATEST)
            # A row of zeros stays one, whatever it is multiplied with.
            whole = (rows / scale.clamp_min(torch.finfo(torch.float32).tiny)[:, None]).round_()
            packed[name] = whole.to(torch.int8).view(tensor.shape)
            packed[name + SCALE] = scale
    return packed


def unpack(packed: Mapping[str, torch.Tensor], where: str) -> Weights:
    """Tensors of float32 from what `pack` gave; those of other formats as they are.

    where (str): What errors call the file.
    RAISES: ModelFilesError if a scale is missing or does not fit.
    """
    weights: Weights = {}
    # Tensors that are taken as they are keep the file that they are read from in memory, all of it.
    is_made_anew = any(tensor.dtype != torch.float32 for tensor in packed.values())
    for name, tensor in packed.items():
        if tensor.dtype in (torch.bfloat16, torch.float16):
            weights[name] = tensor.float()
        elif tensor.dtype == torch.int8:
            scale = packed.get(name + SCALE)
            if scale is None or scale.shape != tensor.shape[:1] or not scale.is_floating_point():
                raise ModelFilesError(f"{where}: {name} has no scale for each of its rows. {REMEDY}")
            weights[name] = tensor * scale.float().view(-1, *(1 for _ in tensor.shape[1:]))
        elif not (name.endswith(SCALE) and name.removesuffix(SCALE) in packed):
            weights[name] = tensor.clone() if is_made_anew else tensor
    return weights
