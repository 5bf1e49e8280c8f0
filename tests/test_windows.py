"""Windows over long documents, and batches by pieces."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from multiner.windows import WORTH_A_BATCH, Window, batches_beside_each_other, batches_by_pieces, plan_windows

CAPACITY, OVERLAP = 20, 6


@given(st.lists(st.integers(0, 5), max_size=120))
def test_every_word_is_scored_exactly_once_and_no_window_is_too_wide(counts):
    windows = plan_windows(np.array(counts, np.int64), CAPACITY, OVERLAP)
    kept = [word for window in windows for word in range(window.keep_start, window.keep_end)]
    assert kept == list(range(len(counts)))
    for window in windows:
        assert sum(counts[window.start : window.end]) <= CAPACITY
        assert window.start <= window.keep_start <= window.keep_end <= window.end


@given(st.lists(st.integers(1, 3), min_size=30, max_size=120))
def test_a_word_far_from_the_ends_has_context_on_both_sides(counts):
    windows = plan_windows(np.array(counts, np.int64), CAPACITY, OVERLAP)
    for window in windows:
        for word in range(window.keep_start, window.keep_end):
            assert window.start == 0 or sum(counts[window.start : word]) >= 1
            assert window.end == len(counts) or sum(counts[word + 1 : window.end]) >= 1


def test_a_short_document_is_one_window_and_an_empty_one_none():
    assert plan_windows(np.array([5, 5, 10]), CAPACITY, OVERLAP) == [Window(0, 3, 0, 3)]
    assert plan_windows(np.array([], np.int64), CAPACITY, OVERLAP) == []


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 100), st.integers(1, 9))
def test_batches_hold_every_sequence_once_within_the_budget(lengths, budget, least):
    batches = batches_by_pieces(lengths, budget, least)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget


def test_long_goes_with_long_and_comes_first():
    assert batches_by_pieces([1, 9, 2, 10], budget=20) == [[3, 1], [2, 0]]


@given(st.lists(st.integers(1, 40), min_size=10, max_size=60), st.integers(1, 9))
def test_as_many_batches_as_are_wanted_have_about_as_many_pieces_each(lengths, least):
    batches = batches_by_pieces(lengths, sum(lengths) * max(lengths), least)
    assert len(batches) == least
    for batch in batches:
        assert abs(sum(lengths[index] for index in batch) - sum(lengths) / least) < 2 * max(lengths)


def test_batches_beside_each_other_leave_nobody_without_one():
    lengths = [10] * 90  # a full batch of 60 and half of one
    assert [len(batch) for batch in batches_beside_each_other(lengths, 600, at_once=1)] == [60, 30]
    assert [len(batch) for batch in batches_beside_each_other(lengths, 600, at_once=2)] == [45, 45]
    assert [len(batch) for batch in batches_beside_each_other(lengths, 600, at_once=3)] == [30, 30, 30]


def test_what_is_hardly_worth_a_batch_stays_together():
    few = [8] * (2 * WORTH_A_BATCH // 8)
    assert len(batches_beside_each_other(few, 1024, at_once=2)) == 2
    assert len(batches_beside_each_other(few[1:], 1024, at_once=2)) == 1
    assert batches_beside_each_other([500], 1024, at_once=2) == [[0]]
    assert batches_beside_each_other([], 1024, at_once=2) == []
