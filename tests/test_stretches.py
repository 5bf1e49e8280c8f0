"""Stretches behind each other are those that a loop would make."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from multiner.stretches import behind_each_other


@given(stretches=st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 9))))
def test_stretches_stand_behind_each_other(stretches):
    starts, lengths = np.array(stretches, np.int64).reshape(-1, 2).T
    expected = [number for start, length in stretches for number in range(start, start + length)]
    assert behind_each_other(starts, lengths).tolist() == expected
