"""Attention on a GPU, within windows of all lengths at once and without filling.

The pieces of all windows stand one behind the other, and Flash Attention (Dao 2023), which torch has for pieces that
do, is told where each window ends. It computes in bfloat16, on GPUs from compute capability 8.0 on.
"""

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch

from .attention import attend_in_torch, query_scale
from .devices import on_device
from .packed import Attend

# Of numbers around 1, which have eight bits in bfloat16, attention in it is as close as that to attention in float32.
CLOSE = 0.05
PROBED = (3, 8)  # pieces of two windows


def without_filling(lengths: Sequence[int], device: torch.device) -> Attend:
    """Attention within windows that have so many pieces.

    Queries are multiplied by `multiner.attention.query_scale` before.
    """
    from torch.nn.attention.varlen import varlen_attn

    borders = on_device(torch.from_numpy(np.cumsum([0, *lengths], dtype=np.int32)), device)
    longest = max(lengths)

    def attend(packed: Sequence[torch.Tensor], heads: int) -> torch.Tensor:
        queries, keys, values = (each.unflatten(1, (heads, -1)) for each in packed)
        attended = varlen_attn(queries, keys, values, borders, borders, longest, longest, scale=math.log(2))
        return cast(torch.Tensor, attended).flatten(1)  # a pair only if one asks for it

    return attend


def can_attend_without_filling(device: torch.device, width: int) -> bool:
    """Whether `without_filling` computes what it should there, for heads of that width. It is tried."""
    generator = torch.Generator().manual_seed(0)
    queries, keys, values = torch.randn(3, sum(PROBED), width, generator=generator)
    packed = [each.bfloat16() for each in (queries * query_scale(width), keys, values)]
    try:
        found = without_filling(PROBED, device)([each.to(device) for each in packed], 1)
    except (ImportError, RuntimeError):  # torch is older, or the GPU, or it is none, or takes no heads of that width
        return False
    windows = zip(*(each.float()[None].split(PROBED, dim=1) for each in packed), strict=True)
    expected = torch.cat([attend_in_torch(*window)[0] for window in windows])
    return bool(torch.isclose(found.float().cpu(), expected, rtol=0.0, atol=CLOSE).all())
