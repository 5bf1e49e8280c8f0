"""Stretches of numbers that stand one behind the other, without a loop over them."""

import numpy as np
from numpy.typing import NDArray


def behind_each_other(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers of several stretches: from each start as many as its length, `start, start + 1, ...`.

    starts, lengths: Arrays (stretches,).
    RETURNS: Array (sum of lengths,).
    """
    ends = np.cumsum(lengths)
    numbers: NDArray[np.int64] = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)
    return numbers
