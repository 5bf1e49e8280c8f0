"""How much each word costs: the cross-entropy that training would have it pay, and who pays most.

A word that the model gets right and is sure of costs nothing; one that it gets wrong and is sure of costs much. So the
words, pieces, types and sentences of great loss show what the model has not learnt, and what is annotated wrongly
(Tunstall et al. 2022, chapter 4).
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.attrs import ENT_IOB
from spacy.tokens import Doc

from .decoding import Floats, log_softmax
from .docbins import IOB_CODES, visible_words
from .predictions import Predictions
from .tags import IGNORED, Span, tag_names

Integers = NDArray[np.int64]
MOST = 20  # rows of a table
# A mean of fewer is a matter of chance.
ENOUGH = 5


@dataclass(frozen=True)
class Group:
    """Words that have something in common, and their losses."""

    name: str
    count: int
    mean: float
    sum: float


@dataclass(frozen=True)
class WordLosses:
    """Every word of every document, one after another.

    tags (list[str]): The names of the tags.
    begins: Array (documents + 1,): the first word of each document, and the number of all words.
    gold, predicted: Arrays (words,) of tag numbers. `gold` is `IGNORED` for white space, for words without annotation
        and for those of types that the model does not have.
    losses: Array (words,): negative log probability of the gold tag as the network gives it, in nats; 0 where that
        is `IGNORED`.
    probabilities: Array (words, tags), calibrated.
    """

    tags: list[str]
    begins: Integers
    gold: Integers
    predicted: Integers
    losses: NDArray[np.float64]
    probabilities: Floats

    def rows(self, document: int) -> slice:
        """The words of a document."""
        return slice(int(self.begins[document]), int(self.begins[document + 1]))

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Which words have a gold tag."""
        scored: NDArray[np.bool_] = self.gold != IGNORED
        return scored


def word_losses(predictions: Predictions) -> WordLosses | None:
    """The loss of each word; None where nothing is known but the entities."""
    if predictions.scores is None:
        return None
    labels = predictions.labels
    gold, predicted = [], []
    for doc, wanted, found in zip(predictions.gold, predictions.gold_spans, predictions.predicted_spans, strict=True):
        tags = tag_numbers(wanted, len(doc), labels)
        tags[(doc.to_array(ENT_IOB) == IOB_CODES[""]) | ~visible_words(doc)] = IGNORED
        gold.append(tags)
        # Another component may have set entities of types that ours does not have.
        predicted.append(np.maximum(tag_numbers(found, len(doc), labels), 0))
    begins = np.cumsum([0, *map(len, gold)])
    right = np.concatenate(gold) if gold else np.zeros(0, np.int64)
    tags_count = 1 + 2 * len(labels)
    scores = np.concatenate([np.zeros((0, tags_count), np.float32), *predictions.scores]).astype(np.float64)
    chosen = np.flatnonzero(right != IGNORED)
    losses = np.zeros(len(right))
    losses[chosen] = -log_softmax(scores[chosen])[np.arange(len(chosen)), right[chosen]] if len(chosen) else 0
    probabilities = np.exp(log_softmax(scores / predictions.temperature)) if len(scores) else scores
    together = np.concatenate(predicted) if predicted else np.zeros(0, np.int64)
    return WordLosses(tag_names(labels), begins, right, together, losses, probabilities)


def tag_numbers(spans: Iterable[Span], words: int, labels: Sequence[str]) -> Integers:
    """The tag of each word, as `tags.tag_names` numbers them; `IGNORED` for words of other labels."""
    tags = np.zeros(words, np.int64)
    for start, end, label in spans:
        begin = 2 * labels.index(label) + 1 if label in labels else None
        tags[start:end] = IGNORED if begin is None else begin + 1
        if begin is not None:
            tags[start] = begin
    return tags


def describe_losses(losses: WordLosses, docs: Sequence[Doc], pieces: Sequence[str] | None) -> dict[str, Any]:
    """Tables of losses, and the confusion of tags.

    pieces (Sequence | None): The first piece of each word of all documents, on which the word's loss lies.
    RETURNS: "words", "mean" (loss of a word), "not_scored" (words without gold tag); "by_word", "by_piece" (None
        where pieces are not known) and "by_tag", each with "groups" (how many) and, by total loss and by mean loss, the
        first of them; "confusion": "tags", "counts" and "shares", whose rows are gold tags.
    """
    scored = losses.scored
    paid = losses.losses[scored]
    texts = [token.text for doc in docs for token in doc]
    tags = np.array(losses.tags, dtype=object)
    by_tag = _groups(tags[losses.gold[scored]].tolist(), paid)
    size = len(losses.tags)
    confusion = np.bincount(losses.gold[scored] * size + losses.predicted[scored], minlength=size * size).reshape(
        size, size
    )
    rows = confusion.sum(axis=1, keepdims=True)
    return {
        "words": int(scored.sum()),
        "not_scored": int((~scored).sum()),
        "mean": float(paid.mean()) if len(paid) else None,
        "by_word": _ranked(_groups(_chosen(texts, scored), paid)),
        "by_piece": None if pieces is None else _ranked(_groups(_chosen(pieces, scored), paid)),
        "by_tag": [asdict(group) for group in sorted(by_tag, key=lambda group: -group.mean)],
        "confusion": {
            "tags": losses.tags,
            "counts": confusion.tolist(),
            "shares": np.divide(confusion, rows, out=np.zeros(confusion.shape), where=rows > 0).tolist(),
        },
    }


def _chosen(texts: Sequence[str], which: NDArray[np.bool_]) -> list[str]:
    return [text for text, wanted in zip(texts, which.tolist(), strict=True) if wanted]


def _groups(names: Sequence[str], losses: NDArray[np.float64]) -> list[Group]:
    numbers: dict[str, int] = {}
    places = np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)
    counts = np.bincount(places, minlength=len(numbers))
    sums = np.bincount(places, weights=losses, minlength=len(numbers))
    return [
        Group(name, int(count), float(total / count), float(total))
        for name, count, total in zip(numbers, counts.tolist(), sums.tolist(), strict=True)
    ]


def _ranked(groups: list[Group]) -> dict[str, Any]:
    """Those first that cost most, all in all and on average; names decide between equals."""
    often = [group for group in groups if group.count >= ENOUGH]
    return {
        "groups": len(groups),
        "at_least": ENOUGH,
        "by_sum": [asdict(row) for row in sorted(groups, key=lambda row: (-row.sum, row.name))[:MOST]],
        "by_mean": [asdict(row) for row in sorted(often, key=lambda row: (-row.mean, row.name))[:MOST]],
    }
