"""From scores to entities: legal tags, and how sure the model is of each entity.

The best tag of every word is taken. Where that is legal IOB2 it already is the best legal sequence; only
documents where it is not go through Viterbi's algorithm. So legality costs almost nothing.

Documents stand one behind the other in one array, so that the time that each takes by itself does not count.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .stretches import behind_each_other
from .tags import Span, legal_transitions

Floats = NDArray[np.floating]
Integers = NDArray[np.int64]
# Probabilities of so many words are held at once, so that a long document takes no more memory than a short one.
WORDS_AT_ONCE = 4096
# Sequences go word by word through an algorithm together that have at most so many words, filled up to the longest.
WORDS_TOGETHER = 30_000


class InARow(NamedTuple):
    """Scores of documents, one behind the other.

    scores: Array (rows, tags): those of each document's words, and then a row in which nothing but `O` is possible, so
        that no entity reaches from one document into the next.
    ends: Array (documents,): where that row of each document is.
    """

    scores: Floats
    ends: Integers


class Entities(NamedTuple):
    """Entities in their order.

    starts, ends: Arrays (entities,) of the first row of each, and of the row after its last one.
    labels: Array (entities,) of the numbers of their labels.
    """

    starts: Integers
    ends: Integers
    labels: Integers


def in_a_row(scores: Floats, lengths: Sequence[int] | Integers) -> InARow:
    """Put documents apart from each other.

    scores (array (words, tags)): Of the words of all documents, tags ordered as `tag_names` orders them.
    lengths (array (documents,)): How many words each has.
    """
    lengths = np.asarray(lengths, np.int64)
    rows = np.full((len(scores) + len(lengths), scores.shape[1]), -np.inf, scores.dtype)
    ends = np.cumsum(lengths + 1) - 1
    rows[ends, 0] = 0.0
    rows[np.arange(len(scores)) + np.repeat(np.arange(len(lengths)), lengths)] = scores
    return InARow(rows, ends)


def log_softmax(scores: Floats) -> Floats:
    """Log probabilities along the last axis."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def best_legal_tags(documents: InARow) -> Integers:
    """The most probable legal IOB2 sequence of each document.

    RETURNS: Array (rows,) of tag numbers; `O` behind each document.
    """
    tags: Integers = documents.scores.argmax(axis=1)
    illegal = np.unique(np.searchsorted(documents.ends, illegal_rows(tags)))
    ends = documents.ends[illegal]
    starts = np.where(illegal > 0, documents.ends[illegal - 1] + 1, 0)
    lengths = ends - starts
    for some in of_like_length(lengths.tolist()):
        # Behind the shorter ones again and again the row in which only `O` is possible.
        rows = np.minimum(starts[some] + np.arange(lengths[some[0]])[:, None], ends[some])
        tags[rows] = viterbi(documents.scores[rows])
    return tags


def of_like_length(lengths: Sequence[int]) -> list[list[int]]:
    """The numbers of sequences that go through together, the longest first; empty ones are left out."""
    turns: list[list[int]] = []
    for number in sorted(range(len(lengths)), key=lambda each: -lengths[each]):
        if not lengths[number]:
            break
        if not turns or (len(turns[-1]) + 1) * lengths[turns[-1][0]] > WORDS_TOGETHER:
            turns.append([])
        turns[-1].append(number)
    return turns


def illegal_rows(tags: Integers) -> Integers:
    """Where an `I-` does not continue an entity of its label."""
    rows = np.flatnonzero(tags)
    rows = rows[tags[rows] % 2 == 0]
    inside = tags[rows]
    previous = np.where(rows > 0, tags[rows - 1], 0)
    illegal: Integers = rows[(previous != inside) & (previous != inside - 1)]
    return illegal


def viterbi(scores: Floats) -> Integers:
    """The legal sequences with the greatest sums of scores (Viterbi 1967; Forney 1973).

    They are the most probable ones too: a word's log probabilities are its scores less a number that is the same for
    all its tags.

    scores (array (words, sequences, tags)): At least one word of each.
    RETURNS: Array (words, sequences) of tag numbers.
    """
    words, sequences, count = scores.shape
    may_start, may_follow = legal_transitions(count)
    # The tag before last, so that its best one is looked for along the last axis.
    allowed = np.where(may_follow.T, 0.0, -np.inf)
    best = np.where(may_start, scores[0].astype(np.float64), -np.inf)
    came_from = np.zeros((words, sequences, count), np.min_scalar_type(count))
    for word in range(1, words):
        paths = best[:, None, :] + allowed
        came_from[word] = paths.argmax(axis=2)
        best = paths.max(axis=2) + scores[word]
    tags = np.zeros((words, sequences), np.int64)
    tags[-1] = best.argmax(axis=1)
    for word in range(words - 1, 0, -1):
        tags[word - 1] = came_from[word, np.arange(sequences), tags[word]]
    return tags


def entities_of(tags: Integers) -> Entities:
    """The entities of a legal sequence of tag numbers whose last one is `O`."""
    starts = np.flatnonzero(tags % 2)
    not_inside = np.flatnonzero((tags == 0) | (tags % 2 == 1))
    ends = not_inside[np.searchsorted(not_inside, starts, "right")]
    return Entities(starts, ends, tags[starts] // 2)


def spans_of(entities: Entities, labels: Sequence[str]) -> list[Span]:
    """Entities by the names of their labels."""
    starts, ends, numbers = (each.tolist() for each in entities)
    return [Span(start, end, labels[number]) for start, end, number in zip(starts, ends, numbers, strict=True)]


def confidences(scores: Floats, entities: Entities, temperature: float = 1.0) -> NDArray[np.float32]:
    """The probability that each entity is exactly right: its words, its label and its end.

    That is the product of the probabilities of its tags and of the next word not continuing it, words taken as
    independent given the text.

    scores (array (rows, tags)): The scores of `InARow` that the entities were decoded from.
    temperature (float): Scores are divided by it; see `multiner.calibration`.
    RETURNS: Array (entities,), between 0 and 1.
    """
    starts, ends, labels = entities
    if not len(starts):
        return np.zeros(0, np.float32)
    begin, inside = 2 * labels + 1, 2 * labels + 2
    lengths = ends - starts
    firsts = np.cumsum(lengths) - lengths
    rows = behind_each_other(starts, lengths)
    tags = np.repeat(inside, lengths)
    tags[firsts] = begin
    totals = np.add.reduceat(_log_probabilities(scores, rows, tags, temperature), firsts)
    going_on = np.exp(_log_probabilities(scores, ends, inside, temperature))
    result: NDArray[np.float32] = (np.exp(totals) * (1 - going_on)).astype(np.float32)
    return result


def _log_probabilities(scores: Floats, rows: Integers, tags: Integers, temperature: float) -> Floats:
    """The log probability of one tag in each of some rows."""
    result = np.empty(len(rows))
    for start in range(0, len(rows), WORDS_AT_ONCE):
        some = slice(start, start + WORDS_AT_ONCE)
        every_tag = log_softmax(scores[rows[some]].astype(np.float64) / temperature)
        result[some] = np.take_along_axis(every_tag, tags[some, None], axis=1)[:, 0]
    return result
