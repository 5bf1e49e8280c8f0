"""Intervals and p-values that mean what they say."""

import numpy as np
import pytest

from multiner.intervals import compare_paired, interval, resampled_sums


def test_a_resample_has_as_many_sentences_as_there_are_and_draws_all_columns_together():
    counts = np.stack([np.ones(50, np.int64), np.arange(50), 2 * np.arange(50)], axis=1)
    sums = resampled_sums(counts, 100, seed=0)
    assert sums.shape == (100, 3)
    assert (sums[:, 0] == 50).all()
    assert (sums[:, 2] == 2 * sums[:, 1]).all()
    assert len(set(sums[:, 1])) > 50
    assert (sums == resampled_sums(counts, 100, seed=0)).all()


def test_the_interval_of_a_share_is_the_one_of_the_textbook():
    """Of 400 sentences 320 are right: .8, give or take 1.96 standard errors."""
    right = (np.arange(400) < 320).astype(np.int64)
    low, high = interval(resampled_sums(right, 2000, seed=0) / 400)
    error = 1.96 * np.sqrt(0.8 * 0.2 / 400)
    assert (low, high) == pytest.approx((0.8 - error, 0.8 + error), abs=0.006)


def test_nothing_to_resample_is_no_error():
    assert resampled_sums(np.zeros((0, 2), np.int64), 10, seed=0).tolist() == [[0.0, 0.0]] * 10


def test_pipelines_that_are_alike_do_not_differ():
    scores = resampled_sums(np.arange(30), 200, seed=0)
    same = compare_paired(1.0, 1.0, np.stack([scores, scores], axis=1))
    assert same == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(("better", "significant"), [(40, True), (3, False)])
def test_a_difference_counts_if_chance_seldom_makes_it(better, significant):
    """One is right in `better` sentences more than the other, and the other in 2 that the first has not."""
    generator = np.random.default_rng(0)
    base = generator.integers(0, 2, 300)
    first, second = base.copy(), base.copy()
    first[:better], second[:better] = 0, 1
    first[better : better + 2], second[better : better + 2] = 1, 0
    counts = np.stack([first, second], axis=1)
    found = compare_paired(first.mean(), second.mean(), resampled_sums(counts, 1000, seed=0) / 300)
    assert found.difference == pytest.approx((better - 2) / 300)
    assert (found.p_value < 0.01) == significant == (found.low > 0)


def test_the_p_value_of_chance_is_spread_evenly():
    """Where nothing differs but chance, about one comparison in ten has a p-value below .1."""
    generator = np.random.default_rng(0)
    below = 0
    for number in range(200):
        counts = generator.integers(0, 2, (80, 2))
        first, second = counts.mean(axis=0)
        below += compare_paired(first, second, resampled_sums(counts, 200, seed=number) / 80).p_value < 0.1
    assert 8 <= below <= 35
