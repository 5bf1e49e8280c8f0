"""What was computed for windows of pieces, so that it is not computed again.

Windows that are computed together are rounded together: which others stood beside one decides on its last digits. So
it is also remembered which were together, and a run of training that was killed has what its checkpoint remembered
computed as it was then.
"""

from collections.abc import Callable, Sequence

import torch

# From the pieces of windows, array (pieces,) each, to their vectors, array (pieces, width) each.
Compute = Callable[[Sequence[torch.Tensor]], Sequence[torch.Tensor]]


class Remembered:
    """The vectors of windows, as long as there is room.

    room (int): The most pieces whose vectors are kept. Windows that are computed together are kept together or not
        at all.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self._free = room
        self._vectors: dict[bytes, torch.Tensor] = {}
        self._together: list[list[torch.Tensor]] = []
        self._to_come: dict[bytes, list[torch.Tensor]] = {}

    def __call__(self, windows: Sequence[torch.Tensor], compute: Compute) -> list[torch.Tensor]:
        """The vectors of windows; those that are not known are computed, each once."""
        keys = [_key(window) for window in windows]
        for key in keys:
            if key in self._to_come:
                self._compute_again(self._to_come[key], compute)
        new = {key: window for key, window in zip(keys, windows, strict=True) if key not in self._vectors}
        given = dict(zip(new, compute(list(new.values())), strict=True)) if new else {}
        found = [given[key] if key in given else self._vectors[key] for key in keys]
        pieces = sum(map(len, new.values()))
        if new and pieces <= self._free:
            self._free -= pieces
            self._vectors |= given
            self._together.append(list(new.values()))
        return found

    def _compute_again(self, together: Sequence[torch.Tensor], compute: Compute) -> None:
        for window, vectors in zip(together, compute(together), strict=True):
            key = _key(window)
            self._vectors[key] = vectors
            del self._to_come[key]

    def as_numbers(self) -> torch.Tensor:
        """Which windows are remembered and which were together, array (numbers,) for `compute_when_needed`."""
        numbers: list[torch.Tensor] = [torch.empty(0, dtype=torch.int64)]
        for together in self._together:
            numbers += [torch.tensor([len(together), *map(len, together)]), *together]
        return torch.cat(numbers)

    def compute_when_needed(self, numbers: torch.Tensor) -> None:
        """Remember what `as_numbers` gave at another time: what was together is computed when part of it is wanted."""
        self._vectors, self._to_come, self._together = {}, {}, []
        self._free = self.room
        at = 0
        while at < len(numbers):
            lengths_at = at + 1
            at = lengths_at + int(numbers[at])
            lengths = numbers[lengths_at:at].tolist()
            together = list(numbers[at : at + sum(lengths)].split(lengths))
            at += sum(lengths)
            self._free -= sum(lengths)
            self._together.append(together)
            self._to_come |= dict.fromkeys(map(_key, together), together)

    def emptied(self) -> "Remembered":
        """One with as much room that knows nothing yet."""
        return Remembered(self.room)


class RememberedAlone(Remembered):
    """The vectors of windows that are each computed by themselves.

    That takes longer, and what a window is given does not depend on what was asked for before: several trainings may
    have one memory, and one that goes on finds what it would have found.
    """

    def __call__(self, windows: Sequence[torch.Tensor], compute: Compute) -> list[torch.Tensor]:
        """The vectors of windows; those that are not known are computed, one by one."""
        return [vectors for window in windows for vectors in super(RememberedAlone, self).__call__([window], compute)]

    def as_numbers(self) -> torch.Tensor:
        """Nothing: no window was together with another."""
        return torch.empty(0, dtype=torch.int64)

    def compute_when_needed(self, numbers: torch.Tensor) -> None:
        """Keep what is known, which is what would be computed."""


def _key(window: torch.Tensor) -> bytes:
    return window.numpy().tobytes()
