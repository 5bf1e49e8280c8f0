"""Attention for prediction on a CPU: within many short windows at a time.

Over windows as short as sentences, torch's own function takes most of its time beside the arithmetic. Of each row it
computes what is left behind the last whole vector of the processor one exponential at a time, and it has BLAS begin
anew for every small product. Here exponentials run over all rows at once, and numpy multiplies: its OpenBLAS has code
for small matrices where the processor has AVX-512.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

Attention = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]

# Greater products may be shared out among threads by OpenBLAS, which then stands in the way of torch's threads.
MOST_MULTIPLICATIONS = 1 << 18
# Sums of a row's powers within which float32 has lost none that counts, and can hold their products with values.
LEAST_SUM, MOST_SUM = 2.0**-100, 2.0**100


def query_scale(width: int) -> float:
    """What queries have to be multiplied by for `fastest_attention`, where a head's queries have that width.

    Scores are divided by the root of the width (Vaswani et al. 2017), and powers of 2 are computed faster than of e.
    """
    return math.log2(math.e) / math.sqrt(width)


def fastest_attention() -> Attention:
    """What computes attention within windows fastest on this processor.

    It takes queries (times `query_scale`), keys and values, arrays (windows, heads, length, width) of float32, and
    gives the mean of values by the softmax of scores, an array like these.
    """
    return attend_at_once if torch.backends.cpu.get_cpu_capability() == "AVX512" else attend_in_torch


def attend_in_torch(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Attention as torch has it, see `fastest_attention`."""
    return functional.scaled_dot_product_attention(queries, keys, values, scale=math.log(2))


def attend_at_once(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Attention within all windows step by step, see `fastest_attention`; torch's if they are long.

    A softmax is the same whatever is taken off its scores. Here nothing is taken off first; where powers turn out to be
    too great or too small for that, all is left to torch, which takes off the greatest.
    """
    windows, heads, length, width = queries.shape
    if length * length * width > MOST_MULTIPLICATIONS:
        return attend_in_torch(queries, keys, values)
    powers = queries.new_empty(windows, heads, length, length)
    np.matmul(queries.numpy(), keys.transpose(2, 3).numpy(), out=powers.numpy())
    sums = powers.exp2_().sum(3)
    least, most = (bound.item() for bound in sums.aminmax())
    if not (least > LEAST_SUM and most < MOST_SUM):  # which is so if one is not a number, too
        return attend_in_torch(queries, keys, values)
    # A piece's heads come to stand next to each other, as the layer behind reads them.
    attended = queries.new_empty(windows, length, heads, width).transpose(1, 2)
    np.matmul(powers.numpy(), values.numpy(), out=attended.numpy())
    return attended.div_(sums[..., None])
