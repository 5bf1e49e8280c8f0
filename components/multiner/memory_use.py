"""How much memory a long stream of texts takes: nothing that grows with it, if each part has a memory zone.

The texts are made up of many different words, as texts of the world are: these are what could fill memory, in spaCy's
vocabulary and in what is remembered of how words are cut.
"""

import os
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.util import minibatch

from .files import new_file
from .pictures import BLUE, FAINT, INK, SETTINGS, check_matplotlib, png

SYLLABLES = [consonant + vowel for consonant in "bdfghklmnprstvwz" for vowel in "aeiou"]
DIFFERENT_WORDS = 1 << 20
WORDS_A_TEXT = 8
MEGABYTE = 1 << 20


def made_up_texts(count: int, seed: int = 0) -> Iterator[str]:
    """Short texts whose words are as frequent as by Zipf's law: half of them are among a thousand, others new."""
    draw = random.Random(seed)
    for _ in range(count):
        words = [_word(int(DIFFERENT_WORDS ** draw.random())) for _ in range(WORDS_A_TEXT)]
        yield " ".join([words[0].title(), *words[1:], "."])


def _word(number: int) -> str:
    syllables = []
    while number:
        number, syllable = divmod(number, len(SYLLABLES))
        syllables.append(SYLLABLES[syllable])
    return "".join(syllables)


def resident_bytes() -> int:
    """Memory of this process that is in use now, as Linux tells it."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def resident_sizes(nlp: Language, texts: Iterable[str], part: int) -> Iterator[tuple[int, int]]:
    """Process texts, each part of them in a memory zone of its own.

    YIELDS: After each part, how many texts were processed, and this process's memory in bytes.
    """
    done = 0
    for some in minibatch(texts, part):  # type: ignore[no-untyped-call]
        with nlp.memory_zone():
            for _ in nlp.pipe(some):
                done += 1
        yield done, resident_bytes()


def measure_memory(nlp: Language, count: int, part: int) -> dict[str, Any]:
    """Process made-up texts and say what memory they took.

    count, part (int): All texts, and those of one memory zone; at least ten parts.
    RETURNS: JSON-ready settings, those of the C library's memory among them (`MALLOC_*` of the environment),
        "seconds", "sizes" (texts, MB) after each part, "after_a_tenth_mb", "at_the_end_mb",
        "most_after_a_tenth_mb".
    """
    start = time.perf_counter()
    sizes = [(texts, round(size / MEGABYTE, 1)) for texts, size in resident_sizes(nlp, made_up_texts(count), part)]
    settled = [size for texts, size in sizes if texts >= count / 10]
    return {
        "texts": count,
        "words_a_text": WORDS_A_TEXT + 1,
        "texts_a_zone": part,
        "malloc": {name: value for name, value in os.environ.items() if name.startswith("MALLOC_")},
        "seconds": round(time.perf_counter() - start, 1),
        "after_a_tenth_mb": settled[0],
        "at_the_end_mb": settled[-1],
        "most_after_a_tenth_mb": max(settled),
        "sizes": sizes,
    }


def draw_memory(report: dict[str, Any], path: Path) -> None:
    """Draw memory over texts.

    report (dict): From `measure_memory`.
    path (Path): The PNG file.
    RAISES: PicturesNeedMatplotlib.
    """
    check_matplotlib()
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    sizes: Sequence[tuple[int, float]] = report["sizes"]
    texts, megabytes = zip(*sizes, strict=True)
    with rc_context(SETTINGS):
        figure = Figure(figsize=(7, 3.6), layout="constrained")
        axes = figure.subplots()
        axes.axvspan(0, report["texts"] / 10_000, color=FAINT, linewidth=0, zorder=0)
        axes.plot([number / 1000 for number in texts], megabytes, color=BLUE, linewidth=1.8)
        axes.set(
            xlabel="texts, thousands", ylabel="resident memory, MB", xlim=(0, None), ylim=(0, 1.25 * max(megabytes))
        )
        axes.set_title(
            f"{report['after_a_tenth_mb']:,.0f} MB after a tenth, {report['at_the_end_mb']:,.0f} MB at the end",
            loc="left",
            color=INK,
        )
        axes.spines[["top", "right"]].set_visible(False)
        picture = png(figure)
    with new_file(path) as unfinished:
        unfinished.write_bytes(picture)
