"""What training makes small: the loss of documents' scores, its gradients, and its mean over several updates."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .crf import loss_of
from .decoding import Floats, log_softmax
from .divergence import divergence, two_sided_divergence
from .tags import IGNORED

Rows = NDArray[np.int64]
Scores = NDArray[np.float32]


class Tagged(NamedTuple):
    """The gold tags of a document's words (or pieces), array (words,), and their scores, array (words, tags)."""

    tags: NDArray[np.int64]
    scores: Scores


class Loss(NamedTuple):
    """What a batch costs.

    mean: Over words (or pieces) with a gold tag, in nats.
    gradients: Of the mean, for the scores of each document.
    words: How many words (or pieces) it is the mean over.
    of_transitions: Its gradient for the transitions; None without a CRF.
    """

    mean: float
    gradients: list[Scores]
    words: int
    of_transitions: Floats | None = None


class MeanLoss:
    """The mean loss of several updates before one step, kept up to date in the dictionary that spaCy adds losses in.

    losses: That dictionary.
    name (str): The component's name in it.
    """

    def __init__(self, losses: dict[str, float], name: str) -> None:
        self.losses, self.name = losses, name
        self.before, self.mean, self.words = losses[name], 0.0, 0

    def add(self, loss: float, words: int) -> None:
        """Take in the mean loss of so many more words."""
        self.words += words
        self.set(loss if self.words == words else self.mean + (loss - self.mean) * words / self.words)

    def set(self, mean: float) -> None:
        """Have another mean."""
        self.mean = mean
        self.losses[self.name] = self.before + mean


def loss_of_words(gold: Sequence[Tagged], smoothing: float) -> Loss:
    """The mean cross-entropy of words that are tagged by themselves.

    smoothing (float): The share of probability that goes to all tags alike (Szegedy et al. 2016).
    """
    labelled = _count(gold)
    loss = 0.0
    gradients = []
    for tags, scores in gold:
        gradient = np.zeros_like(scores)
        rows = np.flatnonzero(tags != IGNORED)
        if len(rows):
            log_probabilities = log_softmax(scores[rows])
            wanted = np.full_like(log_probabilities, smoothing / scores.shape[1])
            wanted[np.arange(len(rows)), tags[rows]] += 1.0 - smoothing
            loss -= float((wanted * log_probabilities).sum())
            gradient[rows] = (np.exp(log_probabilities) - wanted) / labelled
        gradients.append(gradient)
    return Loss(loss / max(labelled, 1), gradients, labelled)


def loss_of_sequences(gold: Sequence[Tagged], words: Sequence[Rows], transitions: Scores) -> Loss:
    """The loss of documents whose tags are taken together, see `multiner.crf`, by the number of words with a gold tag.

    words (Sequence): For each document the rows of words that are no white space.
    """
    tags = [tagged[rows] for (tagged, _), rows in zip(gold, words, strict=True)]
    scores = [scored[rows] for (_, scored), rows in zip(gold, words, strict=True)]
    total, of_scores, of_transitions = loss_of(scores, tags, transitions)
    labelled = _count(gold)
    count = max(labelled, 1)
    gradients = [np.zeros_like(scored) for _, scored in gold]
    for gradient, rows, found in zip(gradients, words, of_scores, strict=True):
        gradient[rows] = found / count
    return Loss(total / count, gradients, labelled, of_transitions / count)


def add_disagreement(gold: Sequence[Tagged], gradients: Sequence[Scores], weight: float) -> float:
    """Add to gradients those of how far two readings of the same documents disagree (Liang et al. 2021).

    gold, gradients: Of the first reading, and behind these of the second. Words (or pieces) without a gold tag count
        for nothing.
    weight (float): How much it counts.
    RETURNS: The mean of that over the words of both, as often as the weight says.
    """
    once = len(gold) // 2
    weight /= max(_count(gold[:once]), 1)
    total = 0.0
    for reading in range(once):
        rows = np.flatnonzero(gold[reading].tags != IGNORED)
        first, second = (gold[place].scores[rows] for place in (reading, once + reading))
        disagreement, of_first, of_second = two_sided_divergence(first, second)
        total += weight * disagreement
        gradients[reading][rows] += weight * of_first
        gradients[once + reading][rows] += weight * of_second
    return total


def divergence_of_tags(
    words: Sequence[Rows], scores: Sequence[Scores], wanted: Sequence[Scores]
) -> tuple[float, list[Scores]]:
    """Mean divergence of predicted tags from wanted ones over words, and its gradient.

    words (Sequence): For each document the rows of words that count.
    wanted (Sequence): Scores too; tags that are not among them are left out.
    """
    count = max(sum(map(len, words)), 1)
    loss = 0.0
    gradients = []
    for rows, scored, target in zip(words, scores, wanted, strict=True):
        tags = target.shape[1]
        total, of_rows = divergence(target[rows], scored[rows, :tags])
        loss += total
        gradient = np.zeros_like(scored)
        gradient[rows, :tags] = of_rows / count
        gradients.append(gradient)
    return loss / count, gradients


def _count(gold: Sequence[Tagged]) -> int:
    """How many words have a gold tag."""
    return sum(int((tags != IGNORED).sum()) for tags, _ in gold)
