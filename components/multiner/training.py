"""What `spacy train` needs beside the pipe: the schedule of the learning rate, and batches."""

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from spacy.training import Example

from . import ranks

GROUPED_BATCHES = 50


def warmup_linear(
    peak: float, warmup: float, total_steps: int, few_steps: int = 0, most_raised: float = 2.0
) -> Iterator[float]:
    """A learning rate that rises linearly from 0 to `peak` and falls linearly to 0.

    Registered as `multiner.warmup_linear.v1`.

    warmup (float): The share of all steps in which it rises.
    few_steps (int): With fewer steps than this in all there is little way to go at such a rate: the peak is raised
        by the square root of how many times fewer they are. 0 never raises it.
    most_raised (float): The most that it is raised by; higher rates are known to diverge.
    """
    peak *= min(max((few_steps / max(total_steps, 1)) ** 0.5, 1.0), most_raised)
    rising = max(1, round(warmup * total_steps))
    step = 0
    while True:
        step += 1
        fallen = (total_steps - step + 1) / max(1, total_steps - rising + 1)
        yield peak * max(0.0, min(step / rising, fallen))


def length_grouped_batches(size: int) -> Callable[[Iterable[Example]], Iterator[list[Example]]]:
    """Batches of `size` examples of about the same length, in random order.

    Registered as `multiner.LengthGroupedBatches.v1`. The examples are expected shuffled, as `spacy train` gives
    them; within stretches of fifty batches they are sorted by length, and then the batches are shuffled. Where several
    processes train together, each gets that many examples at a step, and no two get the same; in the last batch of an
    epoch there may be fewer for some, or none.
    """

    def batch(examples: Iterable[Example]) -> Iterator[list[Example]]:
        waiting = list(examples)
        batches: list[list[Example]] = []
        of_all = size * ranks.count()
        stretch = of_all * GROUPED_BATCHES
        for start in range(0, len(waiting), stretch):
            group = sorted(waiting[start : start + stretch], key=_characters)
            batches += [group[at : at + of_all] for at in range(0, len(group), of_all)]
        random.shuffle(batches)
        for whole in batches:
            yield whole[ranks.number() :: ranks.count()]

    return batch


def _characters(example: Example) -> int:
    # Characters tell the number of pieces better than words do, and cost nothing to count.
    doc: Any = example.predicted
    return int(doc[-1].idx + len(doc[-1])) if len(doc) else 0
