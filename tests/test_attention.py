"""Attention for prediction is the softmax of scores, however long windows are and however great scores."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from multiner.attention import MOST_MULTIPLICATIONS, attend_at_once, attend_in_torch, query_scale

from .test_packed import run_limited


def vectors(windows, heads, length, width, greatest=1.0, seed=0):
    """Queries, keys and values as the product before gives them: behind each other in each row."""
    rows = torch.randn(windows * length, 3 * heads * width, generator=torch.Generator().manual_seed(seed))
    parts = (greatest * rows).chunk(3, dim=1)
    return tuple(part.view(windows, length, heads, width).transpose(1, 2) for part in parts)


def by_definition(queries, keys, values):
    """In twice as many bits, with the greatest score taken off."""
    queries, keys, values = (each.double() for each in (queries, keys, values))
    return (torch.softmax(queries @ keys.mT / math.sqrt(queries.shape[3]), -1) @ values).float()


def attend(function, queries, keys, values):
    with torch.inference_mode():
        return function(queries * query_scale(queries.shape[3]), keys, values)


@pytest.mark.parametrize("function", [attend_at_once, attend_in_torch])
@given(
    windows=st.integers(1, 3),
    heads=st.integers(1, 4),
    length=st.integers(1, 70),
    width=st.sampled_from([1, 8, 32, 64]),
    greatest=st.floats(0.01, 4),
    seed=st.integers(0, 10_000),
)
def test_values_are_weighed_by_the_softmax_of_scores(function, windows, heads, length, width, greatest, seed):
    read = vectors(windows, heads, length, width, greatest, seed)
    torch.testing.assert_close(attend(function, *read), by_definition(*read), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sign", [1, -1])
def test_scores_whose_powers_float32_cannot_hold_are_no_matter(sign):
    queries, keys, values = vectors(2, 2, 5, 8)
    keys = sign * (queries + 0.01 * keys) * 1000
    assert attend(attend_at_once, queries, keys, values).isfinite().all()
    torch.testing.assert_close(attend(attend_at_once, queries, keys, values), by_definition(queries, keys, values))


def test_a_window_whose_scores_are_far_below_those_of_another_loses_nothing():
    queries, keys, values = vectors(2, 1, 4, 8)
    queries[0], keys[0], keys[1] = queries[0].abs(), -200.0, 0.0
    torch.testing.assert_close(attend(attend_at_once, queries, keys, values), by_definition(queries, keys, values))


def test_the_longest_windows_that_are_read_at_once_and_longer_ones():
    width = 16
    longest = math.isqrt(MOST_MULTIPLICATIONS // width)
    for length in (longest, longest + 1):
        read = vectors(1, 1, length, width)
        torch.testing.assert_close(attend(attend_at_once, *read), by_definition(*read))


@pytest.mark.parametrize(("capability", "name"), [("avx2", "attend_in_torch"), ("avx512", "attend_at_once")])
def test_without_avx512_it_is_left_to_torch(capability, name):
    available = torch.backends.cpu.get_cpu_capability().lower()
    if capability == "avx512" and available != capability:
        pytest.skip(f"this processor has {available}")
    probe = "from multiner.attention import fastest_attention; print(fastest_attention().__name__)"
    assert run_limited(capability, probe, "ATEN_CPU_CAPABILITY") == name
