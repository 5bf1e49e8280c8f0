"""From scores to entities: legal tags, and how sure the model is of each entity.

The best tag of every word is taken. Where that is legal IOB2 it already is the best legal sequence; only
documents where it is not go through Viterbi's algorithm. So legality costs almost nothing.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from .tags import Span, legal_transitions

Floats = NDArray[np.floating]
Integers = NDArray[np.int64]
# Probabilities of about so many words are held at once, so that a long document takes no more memory than a short one.
WORDS_AT_ONCE = 4096


def log_softmax(scores: Floats) -> Floats:
    """Log probabilities along the last axis."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def best_legal_tags(scores: Floats) -> Integers:
    """The most probable legal IOB2 sequence of one document.

    scores (array (words, tags)): Scores of each word, tags ordered as `tag_names` orders them.
    RETURNS: Array (words,) of tag numbers.
    """
    tags = scores.argmax(axis=1) if len(scores) else np.zeros(0, np.int64)
    return tags if is_legal(tags) else viterbi(scores)


def is_legal(tags: Integers) -> bool:
    """Whether every `I-` continues an entity of its label."""
    numbers = np.flatnonzero(tags)
    numbers = numbers[tags[numbers] % 2 == 0]
    inside = tags[numbers]
    previous = np.where(numbers > 0, tags[numbers - 1], 0)
    return bool(((previous == inside) | (previous == inside - 1)).all())


def viterbi(scores: Floats) -> Integers:
    """The legal sequence with the greatest sum of scores (Viterbi 1967; Forney 1973).

    That is the most probable one too: a word's log probabilities are its scores less a number that is the same for
    all its tags.

    scores (array (words, tags)): At least one word.
    """
    words, count = scores.shape
    may_start, may_follow = legal_transitions(count)
    allowed = np.where(may_follow, 0.0, -np.inf)
    best = np.where(may_start, scores[0].astype(np.float64), -np.inf)
    came_from = np.zeros((words, count), np.min_scalar_type(count))
    for word in range(1, words):
        paths = best[:, None] + allowed
        came_from[word] = paths.argmax(axis=0)
        best = paths.max(axis=0) + scores[word]
    tags = np.zeros(words, np.int64)
    tags[-1] = best.argmax()
    for word in range(words - 1, 0, -1):
        tags[word - 1] = came_from[word, tags[word]]
    return tags


def spans_of(tags: Integers, labels: Sequence[str]) -> list[Span]:
    """The entities of a legal sequence of tag numbers."""
    spans: list[Span] = []
    for word in np.flatnonzero(tags).tolist():
        tag = int(tags[word])
        if tag % 2:
            spans.append(Span(word, word + 1, labels[tag // 2]))
        else:
            spans[-1] = spans[-1]._replace(end=word + 1)
    return spans


def confidences(
    scores: Floats, spans: Sequence[Span], labels: Sequence[str], temperature: float = 1.0
) -> NDArray[np.float32]:
    """The probability that each entity is exactly right: its words, its label and its end.

    That is the product of the probabilities of its tags and of the next word not continuing it, words taken as
    independent given the text.

    scores (array (words, tags)): The scores that the entities were decoded from.
    spans: These entities, in their order.
    temperature (float): Scores are divided by it; see `multiner.calibration`.
    RETURNS: Array (spans,), between 0 and 1.
    """
    result = []
    for some in _near_each_other(spans):
        first = some[0].start
        log_probabilities = log_softmax(scores[first : some[-1].end + 1].astype(np.float64) / temperature)
        for start, end, label in some:
            begin = 2 * labels.index(label) + 1
            of_span = log_probabilities[start - first : end - first + 1]
            total = of_span[0, begin] + of_span[1 : end - start, begin + 1].sum()
            if end < len(scores):
                total += math.log1p(-min(math.exp(of_span[-1, begin + 1]), 1 - 1e-12))
            result.append(math.exp(total))
    return np.array(result, np.float32)


def _near_each_other(spans: Sequence[Span]) -> Iterator[list[Span]]:
    """Spans in their order, as many at a time as reach over few words; one alone may reach over more."""
    some: list[Span] = []
    for span in spans:
        if some and span.end - some[0].start > WORDS_AT_ONCE:
            yield some
            some = []
        some.append(span)
    if some:
        yield some
