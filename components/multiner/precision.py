"""Which number formats this machine computes fast.

bfloat16 halves the time of matrix products where the processor has instructions for it, and doubles it where it
has not. So the choice is made at run time.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

Precision = Literal["auto", "float32", "bfloat16", "float16"]


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether matrix products in bfloat16 are faster than in float32 there."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        # No public function of torch tells; a build without these is taken to have neither.
        checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
        return any(check() for check in checks if check is not None)
    return False


def number_format(precision: Precision, device: torch.device) -> torch.dtype:
    """The number format of matrix products for a setting on a device.

    RAISES: ValueError for float16 on a CPU, which would be slower there and lose accuracy.
    """
    if precision == "auto":
        return torch.bfloat16 if has_fast_bfloat16(device) else torch.float32
    if precision == "float16" and device.type == "cpu":
        raise ValueError('precision = "float16" needs a GPU. On a CPU use "auto", "float32" or "bfloat16".')
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]


def arithmetic(number_type: torch.dtype, device: torch.device) -> AbstractContextManager[object]:
    """A context in which matrix products run in that format; weights and sums stay float32."""
    if number_type is torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=number_type)
