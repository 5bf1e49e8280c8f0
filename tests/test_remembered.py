"""What frozen layers gave for windows is computed once, and after a kill as it was computed before."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from multiner.remembered import Remembered, RememberedAlone

Batch = list[list[int]]
WINDOWS = st.lists(st.integers(0, 3), min_size=1, max_size=3)
BATCHES = st.lists(st.lists(WINDOWS, min_size=1, max_size=4), min_size=1, max_size=8)


def together(windows: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Vectors that depend on which windows were computed together, as their rounding does."""
    mark = hash(tuple(tuple(window.tolist()) for window in windows)) % 1_000_003
    return [torch.stack([window, torch.full_like(window, mark)], dim=1) for window in windows]


def read(remembered: Remembered, batches: list[Batch]) -> list[list[list[list[int]]]]:
    return [
        [vectors.tolist() for vectors in remembered([torch.tensor(window) for window in batch], together)]
        for batch in batches
    ]


@pytest.mark.parametrize("kind", [Remembered, RememberedAlone])
@given(batches=BATCHES, room=st.integers(0, 30))
def test_every_window_of_a_batch_gets_its_own_vectors(kind, batches, room):
    for batch, found in zip(batches, read(kind(room), batches), strict=True):
        assert [[piece for piece, _ in vectors] for vectors in found] == batch


@pytest.mark.parametrize("kind", [Remembered, RememberedAlone])
@given(batches=BATCHES)
def test_with_room_for_all_no_window_is_computed_twice(kind, batches):
    computed: list[tuple[int, ...]] = []

    def compute(windows: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        computed.extend(tuple(window.tolist()) for window in windows)
        return together(windows)

    remembered = kind(1000)
    for batch in [*batches, *batches]:
        remembered([torch.tensor(window) for window in batch], compute)
    assert sorted(computed) == sorted({tuple(window) for batch in batches for window in batch})


@given(batches=BATCHES, room=st.integers(0, 30), data=st.data())
def test_one_that_goes_on_gives_what_one_that_was_never_stopped_gives(batches, room, data):
    stop = data.draw(st.integers(0, len(batches)))
    undisturbed, stopped, going_on = Remembered(room), Remembered(room), Remembered(room)
    expected = read(undisturbed, [*batches, *batches])
    read(stopped, batches[:stop])
    going_on.compute_when_needed(stopped.as_numbers())
    assert read(going_on, [*batches, *batches][stop:]) == expected[stop:]
    assert going_on.as_numbers().equal(undisturbed.as_numbers())


@given(batches=BATCHES, others=BATCHES, room=st.integers(0, 30))
def test_what_is_computed_alone_does_not_depend_on_what_was_asked_for_before(batches, others, room):
    shared = RememberedAlone(room)
    read(shared, others)
    shared.compute_when_needed(shared.as_numbers())
    assert read(shared, batches) == read(RememberedAlone(0), batches)
