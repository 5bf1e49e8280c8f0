"""Which of several processes this is, when `torchrun` has started them to train one model together."""

import os

STARTED_BY_TORCHRUN = "TORCHELASTIC_RUN_ID"


def count() -> int:
    """How many processes train together: 1 if `torchrun` has not started this one."""
    return int(os.environ["WORLD_SIZE"]) if STARTED_BY_TORCHRUN in os.environ else 1


def number() -> int:
    """Which one of them this is, from 0."""
    return int(os.environ["RANK"]) if STARTED_BY_TORCHRUN in os.environ else 0


def is_first() -> bool:
    """Whether this is the process that evaluates, prints and saves."""
    return number() == 0
