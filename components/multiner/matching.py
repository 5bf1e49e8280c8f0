"""Gold and predicted entities side by side: which one answers which, and what is wrong with it.

Every entity of either side is in exactly one match, so that nothing is counted twice and nothing is left out.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .tags import Span

Integers = NDArray[np.int64]
Shares = NDArray[np.float64]
# How a predicted entity can relate to the gold one, in the order in which answers are looked for.
KINDS = {
    "right": "same words, same type",
    "type": "same words, other type",
    "borders": "other words that overlap, same type",
    "both": "other words that overlap, other type",
    "missed": "gold entity without any answer",
    "spurious": "predicted where no gold entity is",
}
ERRORS = tuple(kind for kind in KINDS if kind != "right")


class Match(NamedTuple):
    """A gold entity and the predicted one that answers it, or one of them alone.

    sentence (int): The number of the sentence.
    kind (str): One of `KINDS`.
    """

    sentence: int
    gold: Span | None
    predicted: Span | None
    kind: str


class Counts(NamedTuple):
    """Entities of each sentence and label, of which every score of exact matches is made.

    labels (tuple[str, ...]): All that occur, in alphabetical order.
    values: Array (sentences, labels, 3): right, predicted and gold entities.
    """

    labels: tuple[str, ...]
    values: Integers

    @property
    def totals(self) -> Integers:
        """Array (labels, 3), over all sentences."""
        totals: Integers = self.values.sum(axis=0)
        return totals


def match(gold: Iterable[Sequence[Span]], predicted: Iterable[Sequence[Span]]) -> list[Match]:
    """Pair the entities of each sentence.

    Exact answers go first, then those of the same words, then those that overlap with the same type, then those that
    overlap at all; of several the one that shares most words, then the first. Entities of one side must not overlap.
    """
    found = []
    for number, (wanted, given) in enumerate(zip(gold, predicted, strict=True)):
        found += _match_sentence(number, wanted, given)
    return found


def _match_sentence(number: int, gold: Sequence[Span], predicted: Sequence[Span]) -> list[Match]:
    exact = set(gold) & set(predicted)
    matches = [Match(number, span, span, "right") for span in gold if span in exact]
    left = [span for span in gold if span not in exact]
    right = [span for span in predicted if span not in exact]
    for kind, fits in PAIRINGS.items() if left and right else ():
        pairs = [(wanted, given) for wanted in left for given in right if fits(wanted, given)]
        pairs.sort(key=lambda pair: (-_overlap(*pair), pair))
        for wanted, given in pairs:
            if wanted in left and given in right:
                matches.append(Match(number, wanted, given, kind))
                left.remove(wanted)
                right.remove(given)
    matches += [Match(number, span, None, "missed") for span in left]
    matches += [Match(number, None, span, "spurious") for span in right]
    return matches


def _overlap(first: Span, second: Span) -> int:
    return min(first.end, second.end) - max(first.start, second.start)


PAIRINGS: dict[str, Callable[[Span, Span], bool]] = {
    "type": lambda wanted, given: wanted[:2] == given[:2],
    "borders": lambda wanted, given: wanted.label == given.label and _overlap(wanted, given) > 0,
    "both": lambda wanted, given: _overlap(wanted, given) > 0,
}


def count_matches(matches: Iterable[Match], sentences: int, *, borders_only: bool = False) -> Counts:
    """Count matches by sentence and label.

    sentences (int): How many there are, those without entities too.
    borders_only (bool): Count as if all types were one, called "entity": an entity is right if its words are.
    """
    matches = list(matches)
    spans = [span for each in matches for span in (each.gold, each.predicted) if span is not None]
    labels = ("entity",) if borders_only else tuple(sorted({span.label for span in spans}))
    columns = {label: number for number, label in enumerate(labels)}
    values = np.zeros((sentences, len(labels), 3), np.int64)
    right = {"right", "type"} if borders_only else {"right"}
    for sentence, gold, predicted, kind in matches:
        if gold is not None:
            column = 0 if borders_only else columns[gold.label]
            values[sentence, column, 2] += 1
            values[sentence, column, 0] += kind in right
        if predicted is not None:
            values[sentence, 0 if borders_only else columns[predicted.label], 1] += 1
    return Counts(labels, values)


def precision_recall_f1(totals: Integers | Shares) -> Shares:
    """Scores of counts.

    totals: Array (..., 3): right, predicted and gold entities.
    RETURNS: Array (..., 3): precision, recall and F1; 0 where there is nothing to divide by, as seqeval has it.
    """
    right, predicted, gold = np.moveaxis(np.asarray(totals, np.float64), -1, 0)
    return np.stack(
        [
            _divided(right, predicted),
            _divided(right, gold),
            _divided(2 * right, predicted + gold),
        ],
        axis=-1,
    )


def _divided(part: Shares, whole: Shares) -> Shares:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def macro_f1(totals: Integers | Shares) -> Shares:
    """The mean F1 of the labels that occur in gold or predicted entities.

    totals: Array (..., labels, 3).
    """
    occurs = np.asarray(totals)[..., 1:].sum(axis=-1) > 0
    f1 = precision_recall_f1(totals)[..., 2]
    return _divided((f1 * occurs).sum(axis=-1), np.asarray(occurs.sum(axis=-1), np.float64))
