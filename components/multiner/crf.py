"""A conditional random field over the tags of words (Lafferty et al. 2001; Lample et al. 2016 over a network's scores).

Beside the score of each word for each tag there is one for each tag after each other. Probabilities are those of
whole sequences of tags, of which only legal ones are possible. They are found by the forward-backward algorithm with
numbers that are scaled word by word (Rabiner 1989), for many sequences at once.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .decoding import Floats, Integers, of_like_length
from .tags import IGNORED, legal_transitions

OUTSIDE = 0
# A tag of a lower score than the best one's by more than this is taken to have one lower by this.
FARTHEST = 200.0
# The least probability that is told from none.
LEAST = 1e-30


class Chains(NamedTuple):
    """What is known of sequences.

    log_sum: Array (sequences,): the logarithm of the sum over all sequences of tags of their exponentiated scores.
    marginals: For each sequence an array (words, tags): how probable each tag is.
    followings: Array (tags, tags): how often the one is expected to follow the other, in all of them together. What
        begins a sequence follows `O`.
    """

    log_sum: Floats
    marginals: list[Floats]
    followings: Floats


def log_marginals(scores: Sequence[Floats], transitions: Floats) -> list[Floats]:
    """The logarithm of how probable each tag of each word is, with all that is possible before and after it.

    scores (Sequence): Array (words, tags) of each sequence.
    transitions (array (tags, tags)): The scores of the second tag after the first one.
    """
    marginals = forward_backward(scores, transitions).marginals
    return [np.log(np.maximum(each, LEAST)).astype(np.float32) for each in marginals]


def loss_of(
    scores: Sequence[Floats], tags: Sequence[Integers], transitions: Floats
) -> tuple[float, list[Floats], Floats]:
    """How improbable the right tags are: their negative log probability, summed over sequences, in nats.

    tags (Sequence): Array (words,) for each sequence; a word that is `IGNORED` may have any (Tsuboi et al. 2008).
    RETURNS: The sum, its gradients for the scores, and that for the transitions.
    """
    right = [_those_with(tagged, scored) for scored, tagged in zip(scores, tags, strict=True)]
    every, wanted = forward_backward(scores, transitions), forward_backward(right, transitions)
    gradients: list[Floats] = [one - other for one, other in zip(every.marginals, wanted.marginals, strict=True)]
    return float((every.log_sum - wanted.log_sum).sum()), gradients, every.followings - wanted.followings


def _those_with(tags: Integers, scores: Floats) -> Floats:
    """The scores of these tags, and nothing possible beside them where they are known."""
    possible = (tags == IGNORED)[:, None] | (np.arange(scores.shape[1]) == tags[:, None])
    return np.where(possible, scores, -np.inf)


# What has diverged gives no number, which training stops at and says so.
@np.errstate(all="ignore")
def forward_backward(scores: Sequence[Floats], transitions: Floats) -> Chains:
    """What all sequences of tags say together; see `Chains`.

    scores (Sequence): Array (words, tags) of each sequence; minus infinity where a tag is impossible.
    """
    log_sum = np.zeros(len(scores))
    marginals: list[Floats] = [np.zeros(each.shape) for each in scores]
    followings = np.zeros(transitions.shape)
    may_follow = legal_transitions(len(transitions))[1]
    best = transitions[may_follow].astype(np.float64).max()
    weights = np.where(may_follow, np.exp(np.minimum(transitions - best, 0.0)), 0.0)
    for numbers in of_like_length([len(each) for each in scores]):
        part = _together([scores[number] for number in numbers], weights)
        log_sum[numbers] = part.log_sum + best * np.array([len(scores[number]) for number in numbers])
        followings += part.followings
        for number, found in zip(numbers, part.marginals, strict=True):
            marginals[number] = found
    return Chains(log_sum, marginals, followings)


def _together(scores: Sequence[Floats], weights: Floats) -> Chains:
    """The same for sequences of at least one word, the longest first, all filled up to its length.

    weights (array (tags, tags)): The exponentiated scores of one tag after another.
    """
    lengths = np.array([len(each) for each in scores])
    longest = int(lengths[0])
    # Words first, so that what is computed at once lies together: array (words, sequences, tags).
    own = np.zeros((longest, len(scores), len(weights)))
    log_sum = np.zeros(len(scores))
    for number, each in enumerate(scores):
        best = each.max(axis=1, keepdims=True).astype(np.float64)
        own[: len(each), number] = np.where(np.isfinite(each), np.exp(np.maximum(each - best, -FARTHEST)), 0.0)
        log_sum[number] = best.sum()
    # How many of the sequences have a word there.
    there = (lengths[None, :] > np.arange(longest)[:, None]).sum(axis=1).tolist()
    forward = np.zeros_like(own)
    scale = np.ones((longest, len(scores), 1))
    for word, some in enumerate(there):
        before = forward[word - 1, :some] @ weights if word else weights[OUTSIDE]
        reached = before * own[word, :some]
        scale[word, :some] = reached.sum(axis=1, keepdims=True)
        forward[word, :some] = reached / scale[word, :some]
    log_sum += np.log(scale[:, :, 0]).sum(axis=0)
    marginals = forward
    followings = np.zeros_like(weights)
    # What comes after, of which nothing is known behind the last word.
    after = np.ones((len(scores), len(weights)))
    for word in range(longest - 1, 0, -1):
        some = there[word]
        next_one = own[word, :some] * after[:some] / scale[word, :some]
        followings += weights * (forward[word - 1, :some].T @ next_one)
        marginals[word, :some] *= after[:some]
        after[:some] = next_one @ weights.T
    marginals[0] *= after
    followings[OUTSIDE] += marginals[0].sum(axis=0)
    return Chains(log_sum, [marginals[:length, number] for number, length in enumerate(lengths.tolist())], followings)
