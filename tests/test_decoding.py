"""Scores to legal tags, entities and confidences."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from multiner.decoding import best_legal_tags, confidences, is_legal, log_softmax, spans_of, viterbi
from multiner.tags import Span, legal_transitions, spans_from_tags, tag_names

LABELS = ["A", "B"]
COUNT = len(tag_names(LABELS))


def score_arrays(max_words: int) -> st.SearchStrategy[np.ndarray]:
    shape = st.integers(1, max_words).map(lambda words: (words, COUNT))
    return arrays.arrays(np.float32, shape, elements=st.floats(-5, 5, width=16))


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
    for tags in (viterbi(log_probabilities), best_legal_tags(scores.astype(np.float64))):
        assert is_legal(tags)
        assert log_probabilities[range(len(tags)), tags].sum() == pytest.approx(best)


@given(score_arrays(8))
def test_entities_are_those_that_the_tags_spell(scores):
    tags = best_legal_tags(scores)
    assert spans_of(tags, LABELS) == spans_from_tags([tag_names(LABELS)[tag] for tag in tags])


def test_the_best_tags_are_kept_where_they_are_legal():
    scores = np.eye(COUNT, dtype=np.float32)[[1, 2, 0, 3]] * 5
    assert best_legal_tags(scores).tolist() == [1, 2, 0, 3]


def test_a_document_without_words_has_no_tags():
    assert best_legal_tags(np.zeros((0, COUNT), np.float32)).tolist() == []
    assert confidences(np.zeros((0, COUNT), np.float32), [], LABELS).tolist() == []


@given(score_arrays(4))
def test_confidences_are_probabilities_of_the_whole_entity(scores):
    """Summed over all tag sequences of independent words that spell the entity exactly."""
    probabilities = np.exp(log_softmax(scores.astype(np.float64)))
    spans = spans_of(best_legal_tags(scores), LABELS)
    found = confidences(scores, spans, LABELS)
    for span, confidence in zip(spans, found, strict=True):
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
    scores = np.eye(COUNT, dtype=np.float32)[[1, 2, 0]] * 30
    assert confidences(scores, [Span(0, 2, "A")], LABELS) == pytest.approx([1.0])
