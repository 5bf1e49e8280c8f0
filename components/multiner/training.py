"""What `spacy train` needs beside the pipe: the schedule of the learning rate, and batches."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any

from spacy.training import Example

from . import ranks
from .docbins import LANGUAGE

GROUPED_BATCHES = 50


def warmup_linear(
    peak: float, warmup: float, total_steps: int | str, few_steps: int = 0, most_raised: float = 2.0
) -> Iterator[float]:
    """A learning rate that rises linearly from 0 to `peak` and falls linearly to 0.

    Registered as `multiner.warmup_linear.v1`.

    warmup (float): The share of all steps in which it rises.
    total_steps (int | str): How many steps the training has. Text, which is what `${training.max_steps}` stays when
        `nlp.resume_training` reads this section of a trained pipeline's config alone, says that nobody knows: then it
        is always `peak`.
    few_steps (int): With fewer steps than this in all there is little way to go at such a rate: the peak is raised
        by the square root of how many times fewer they are. 0 never raises it.
    most_raised (float): The most that it is raised by; higher rates are known to diverge.
    """
    if isinstance(total_steps, str):
        yield from repeat(peak)
        return
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


def balanced_languages(size: int, exponent: float) -> Callable[[Iterable[Example]], Iterator[list[Example]]]:
    """Batches as `length_grouped_batches` makes them, of examples drawn so that small languages come more often.

    Registered as `multiner.BalancedLanguages.v1`. An epoch has as many examples as the corpus, and of a language with n
    sentences a share that goes with n to the power of the exponent (Conneau and Lample 2019, Conneau et al. 2020). The
    language is that of the documents' user data, which scripts/convert.py writes; those that say none count as one.

    size (int): Examples in a batch.
    exponent (float): 1 leaves the corpus as it is, 0 gives each language the same share.
    RAISES: ValueError for an exponent that is negative.
    """
    if exponent < 0:
        raise ValueError(f"[training.batcher] exponent = {exponent} must be 0 or more; 1 leaves the corpus as it is.")
    make_batches = length_grouped_batches(size)

    def batch(examples: Iterable[Example]) -> Iterator[list[Example]]:
        waiting = list(examples)
        languages = [str(example.reference.user_data.get(LANGUAGE, "")) for example in waiting]
        shares = language_shares(Counter(languages), exponent)
        return make_batches([waiting[number] for number in _drawn(languages, shares)])

    return batch


def language_shares(sentences: Mapping[str, int], exponent: float) -> dict[str, int]:
    """How many examples of each language an epoch has.

    sentences (Mapping): How many sentences there are of each language.
    exponent (float): As in `balanced_languages`.
    RETURNS: Numbers that add up to those of all sentences; what rounding leaves over goes to the largest remainders.
    """
    total = sum(sentences.values())
    weights = {language: number**exponent for language, number in sentences.items() if number}
    whole = sum(weights.values())
    exact = {language: total * weight / whole for language, weight in weights.items()}
    shares = {language: int(share) for language, share in exact.items()}
    by_remainder = sorted(exact, key=lambda language: (shares[language] - exact[language], language))
    for language in by_remainder[: total - sum(shares.values())]:
        shares[language] += 1
    return shares


def _drawn(languages: Sequence[str], shares: Mapping[str, int]) -> list[int]:
    """The numbers of the examples of an epoch, in their order.

    Of shuffled examples the first ones of a language are a random choice. The copies of one are spread evenly over
    the epoch, so that a batch seldom has it twice, and an epoch without copies keeps its order.
    """
    sizes = Counter(languages)
    met: Counter[str] = Counter()
    places = []
    for number, language in enumerate(languages):
        copies, more = divmod(shares[language], sizes[language])
        copies += met[language] < more
        met[language] += 1
        places += [((number / len(languages) + copy / copies) % 1, number) for copy in range(copies)]
    return [number for _, number in sorted(places)]
