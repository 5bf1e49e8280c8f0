"""Confidences that can be taken at their word: of entities with confidence .8, eight in ten should be right.

Networks are surer than they should be. Dividing their scores by one number, the temperature, mends most of that and
changes no decision (Guo et al. 2017). It is fitted on entities of a dev set: whether each one is exactly right is
known there, and the likelihood of that knowledge is greatest at the best temperature.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .decoding import Entities, Floats, best_legal_tags, confidences, entities_of, in_a_row, spans_of
from .tags import Span

BINS = 15
COLDEST, HOTTEST = 0.2, 20.0
STEPS = 40
GOLDEN = (np.sqrt(5) - 1) / 2


class Outcomes(NamedTuple):
    """What was found in some documents, and what of it is right.

    scores (array (words, tags)): Of all documents, one after another; after each one a row that continues nothing.
    entities (Entities): Those that were found, by their rows.
    right (array (entities,)): Whether each is an entity of the gold data, with the same words and label.
    """

    scores: Floats
    entities: Entities
    right: NDArray[np.bool_]


class ReliabilityBin(NamedTuple):
    """Entities of like confidence: how many there are, how sure the model is of them, and how many are right."""

    entities: int
    confidence: float
    right: float


def compare(scores: Iterable[Floats], gold: Iterable[Sequence[Span]], labels: Sequence[str]) -> Outcomes:
    """Decode documents and compare their entities with the gold data.

    scores (Iterable): Array (words, tags) for each document.
    gold (Iterable): The right entities of each document.
    """
    scored = list(scores)
    lengths = [len(each) for each in scored]
    outside = np.zeros((0, 1 + 2 * len(labels)))
    documents = in_a_row(np.concatenate([outside, *scored]), lengths)
    entities = entities_of(best_legal_tags(documents))
    first_rows = documents.ends - lengths
    wanted = {
        Span(first + start, first + end, label)
        for first, spans in zip(first_rows.tolist(), gold, strict=True)
        for start, end, label in spans
    }
    right = [span in wanted for span in spans_of(entities, labels)]
    return Outcomes(documents.scores, entities, np.array(right, dtype=bool))


def fit_temperature(outcomes: Outcomes) -> float:
    """The temperature under which what is right and what is not is most likely.

    RETURNS: Between 0.2 and 20, or 1 where nothing was found, or all of it or nothing of it is right: then there is no
        best one.
    """
    if outcomes.right.all() or not outcomes.right.any():
        return 1.0

    def surprise(temperature: float) -> float:
        sure = confidences(outcomes.scores, outcomes.entities, temperature).astype(np.float64)
        sure = sure.clip(1e-7, 1 - 1e-7)
        return float(-np.log(np.where(outcomes.right, sure, 1 - sure)).mean())

    # Golden-section search (Kiefer 1953) on a logarithmic scale.
    low, high = np.log(COLDEST), np.log(HOTTEST)
    for _ in range(STEPS):
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        if surprise(float(np.exp(left))) < surprise(float(np.exp(right))):
            high = right
        else:
            low = left
    return round(float(np.exp((low + high) / 2)), 4)


def reliability(sure: Floats, right: NDArray[np.bool_]) -> list[ReliabilityBin]:
    """Entities in 15 bins of equal width by their confidence; empty bins are left out."""
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    return [
        ReliabilityBin(int(chosen.sum()), float(sure[chosen].mean()), float(right[chosen].mean()))
        for chosen in (bins == number for number in range(BINS))
        if chosen.any()
    ]


def calibration_error(sure: Floats, right: NDArray[np.bool_]) -> float | None:
    """The expected calibration error (Naeini et al. 2015): how far confidence and share of right ones lie apart.

    RETURNS: The mean over entities, by 15 bins of equal width; None of no entities.
    """
    if not len(sure):
        return None
    return sum(abs(part.confidence - part.right) * part.entities for part in reliability(sure, right)) / len(sure)
