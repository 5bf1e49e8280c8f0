"""Scores to legal tags, entities and confidences."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from multiner.decoding import (
    InARow,
    best_legal_tags,
    confidences,
    entities_of,
    illegal_rows,
    in_a_row,
    log_softmax,
    spans_of,
    viterbi,
)
from multiner.tags import Span, legal_transitions, spans_from_tags, tag_names

LABELS = ["A", "B"]
COUNT = len(tag_names(LABELS))


def score_arrays(max_words: int) -> st.SearchStrategy[np.ndarray]:
    shape = st.integers(1, max_words).map(lambda words: (words, COUNT))
    return arrays.arrays(np.float32, shape, elements=st.floats(-5, 5, width=16))


def alone(scores: np.ndarray) -> InARow:
    return in_a_row(scores, [len(scores)])


def legal_sequences(words: int) -> list[tuple[int, ...]]:
    start, follow = legal_transitions(COUNT)
    return [
        tags
        for tags in product(range(COUNT), repeat=words)
        if start[tags[0]] and all(follow[a, b] for a, b in pairwise(tags))
    ]


@given(score_arrays(4))
def test_no_legal_sequence_is_more_probable(scores):
    log_probabilities = log_softmax(scores.astype(np.float64))
    best = max(log_probabilities[range(len(tags)), tags].sum() for tags in legal_sequences(len(scores)))
    for tags in (viterbi(log_probabilities[:, None])[:, 0], best_legal_tags(alone(scores.astype(np.float64)))[:-1]):
        assert not len(illegal_rows(tags))
        assert log_probabilities[range(len(tags)), tags].sum() == pytest.approx(best)


@given(score_arrays(8))
def test_entities_are_those_that_the_tags_spell(scores):
    tags = best_legal_tags(alone(scores))
    spelt = spans_from_tags([tag_names(LABELS)[tag] for tag in tags])
    assert spans_of(entities_of(tags), LABELS) == spelt


def test_the_best_tags_are_kept_where_they_are_legal():
    scores = np.eye(COUNT, dtype=np.float32)[[1, 2, 0, 3]] * 5
    assert best_legal_tags(alone(scores)).tolist() == [1, 2, 0, 3, 0]


@given(st.lists(st.one_of(score_arrays(5), st.just(np.zeros((0, COUNT), np.float32))), max_size=5))
def test_documents_in_a_row_are_decoded_as_each_alone(documents):
    together = in_a_row(np.concatenate([np.zeros((0, COUNT), np.float32), *documents]), list(map(len, documents)))
    entities = entities_of(best_legal_tags(together))
    found = list(zip(spans_of(entities, LABELS), confidences(together.scores, entities).tolist(), strict=True))
    expected = []
    for scores, end in zip(documents, together.ends.tolist(), strict=True):
        own = alone(scores)
        entities = entities_of(best_legal_tags(own))
        first = end - len(scores)
        for (start, last, label), sure in zip(
            spans_of(entities, LABELS), confidences(own.scores, entities), strict=True
        ):
            expected.append((Span(first + start, first + last, label), pytest.approx(sure)))
    assert found == expected


@given(score_arrays(4))
def test_confidences_are_probabilities_of_the_whole_entity(scores):
    """Summed over all tag sequences of independent words that spell the entity exactly."""
    probabilities = np.exp(log_softmax(scores.astype(np.float64)))
    rows = alone(scores)
    entities = entities_of(best_legal_tags(rows))
    found = confidences(rows.scores, entities)
    for span, confidence in zip(spans_of(entities, LABELS), found, strict=True):
        begin = 1 + 2 * LABELS.index(span.label)
        expected = sum(
            np.prod([probabilities[word, tag] for word, tag in enumerate(tags)])
            for tags in product(range(COUNT), repeat=len(scores))
            if tags[span.start] == begin
            and all(tag == begin + 1 for tag in tags[span.start + 1 : span.end])
            and (span.end == len(tags) or tags[span.end] != begin + 1)
        )
        assert confidence == pytest.approx(expected, abs=1e-5)


def test_a_sure_entity_has_a_confidence_near_one():
    rows = alone(np.eye(COUNT, dtype=np.float32)[[1, 2, 0]] * 30)
    entities = entities_of(best_legal_tags(rows))
    assert spans_of(entities, LABELS) == [Span(0, 2, "A")]
    assert confidences(rows.scores, entities) == pytest.approx([1.0])


def test_a_long_entity_has_the_confidence_of_all_of_its_words():
    rows = alone(np.tile(np.array([0, 9, 9.5, 0, 0], np.float32), (10_000, 1)))
    entities = entities_of(np.array([1] + [2] * 9_999 + [0]))
    per_word = log_softmax(rows.scores[:1].astype(np.float64))[0]
    assert confidences(rows.scores, entities) == pytest.approx([np.exp(per_word[1] + 9_999 * per_word[2])])
