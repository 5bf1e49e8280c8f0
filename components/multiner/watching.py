"""How whatever takes long can be watched: by a command that shows it, or by nobody."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

Thing = TypeVar("Thing")


class Watch(Protocol):
    """Is given a name for what is done and the things that it is done with, and passes these on."""

    def __call__(self, what: str, things: Iterable[Thing], /) -> Iterable[Thing]:
        """The things, as they are."""


def unwatched(_: str, things: Iterable[Thing], /) -> Iterable[Thing]:
    """The things as they are, where nobody watches the progress."""
    return things
