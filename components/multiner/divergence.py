"""How far two predictions are from each other (Kullback and Leibler 1951), and which way they would agree.

Scores are arrays (words, tags), unnormalised, as the network gives them.
"""

import numpy as np

from .decoding import Floats, log_softmax


def divergence(wanted: Floats, scores: Floats) -> tuple[float, Floats]:
    """What is lost by having these scores' probabilities for the wanted ones, summed over words, in nats.

    RETURNS: The sum, and its gradient for `scores`.
    """
    expected, found = log_softmax(wanted), log_softmax(scores)
    probabilities = np.exp(expected)
    return float((probabilities * (expected - found)).sum()), np.exp(found) - probabilities


def two_sided_divergence(first: Floats, second: Floats) -> tuple[float, Floats, Floats]:
    """The mean of both divergences, of the first from the second and of the second from the first.

    RETURNS: The sum over words, and its gradients for `first` and for `second`.
    """
    one, other = log_softmax(first), log_softmax(second)
    forth, for_second = divergence(first, second)
    back, for_first = divergence(second, first)
    return (
        (forth + back) / 2,
        (for_first + _own_gradient(one, other)) / 2,
        (for_second + _own_gradient(other, one)) / 2,
    )


def _own_gradient(expected: Floats, found: Floats) -> Floats:
    """The gradient of a divergence for the scores that are wanted in it; both are log probabilities."""
    probabilities = np.exp(expected)
    apart = expected - found
    result: Floats = probabilities * (apart - (probabilities * apart).sum(axis=-1, keepdims=True))
    return result
