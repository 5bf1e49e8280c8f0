"""How far a score may be off because the test set is the one it is: the bootstrap (Efron 1979).

Sentences are drawn with replacement, as many as there are, and scored again. A score is made of sums over sentences,
so a resample is one product of how often each was drawn and what is counted in it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95


class Comparison(NamedTuple):
    """How two scores on the same sentences differ.

    difference (float): The second less the first.
    low, high (float): The 95 % interval of that.
    p_value (float): How often chance alone would give a difference as large, either way.
    """

    difference: float
    low: float
    high: float
    p_value: float


def resampled_sums(counts: NDArray[np.int64], resamples: int, seed: int) -> NDArray[np.float64]:
    """Sums over sentences that are drawn with replacement.

    counts: Array (sentences, ...), of anything that adds up. What is to be compared has to be in one array, so that
        the same sentences are drawn for all of it.
    resamples (int): How often as many sentences are drawn as there are.
    seed (int): The same seed draws the same sentences.
    RETURNS: Array (resamples, ...).
    """
    sentences = len(counts)
    columns = counts.reshape(sentences, int(np.prod(counts.shape[1:]))).astype(np.float64)
    generator = np.random.default_rng(seed)
    sums = np.zeros((resamples, columns.shape[1]))
    if sentences:
        for row in sums:
            row[:] = np.bincount(generator.integers(0, sentences, sentences), minlength=sentences) @ columns
    return sums.reshape(resamples, *counts.shape[1:])


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """The percentile interval in which 95 % of resampled scores lie.

    values: Array (resamples,).
    """
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def compare_paired(first: float, second: float, resampled: NDArray[np.float64]) -> Comparison:
    """Whether one score is better than another by more than chance (Berg-Kirkpatrick et al. 2012).

    The resampled differences, moved so that their mean is that of no difference, say what chance does. The p-value is
    two-sided, and never 0 because the observed difference counts as one of them (Davison and Hinkley 1997, 4.2).

    resampled: Array (resamples, 2): both scores on the same resamples.
    """
    difference = second - first
    differences = resampled[:, 1] - resampled[:, 0]
    as_large = np.abs(differences - difference) >= abs(difference) - 1e-12
    low, high = interval(differences)
    return Comparison(difference, low, high, float((as_large.sum() + 1) / (len(differences) + 1)))
