"""How much memory a long stream of texts takes: nothing that grows with it, in parts of a `LongRun`.

What could fill memory are different words, in spaCy's vocabulary and in what is remembered of how words are cut.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from spacy.language import Language
from spacy.util import minibatch

from .compacting import LongRun
from .pictures import BLUE, FAINT, INK, drawing, write_png

MEGABYTE = 1 << 20
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def in_own_process(
    function: Callable[Arguments, Result], *arguments: Arguments.args, **options: Arguments.kwargs
) -> Result:
    """What a function returns that is called in a new process, whose memory and imports are its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments, **options).result()


def resident_bytes() -> int:
    """Memory of this process that is in use now, as Linux tells it."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_megabytes() -> int:
    """The most memory that this process ever had, as Linux tells it.

    Not as `getrusage` does: by that a process starts with the most of the one that started it.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return round(kilobytes / 1024)


def resident_sizes(nlp: Language, texts: Iterable[str], part: int) -> Iterator[tuple[int, int]]:
    """Process texts part by part, see `LongRun`.

    YIELDS: After each part, how many texts were processed, and this process's memory in bytes.
    """
    done = 0
    run = LongRun(nlp)
    for some in minibatch(texts, part):  # type: ignore[no-untyped-call]
        with run.part():
            for _ in nlp.pipe(some):
                done += 1
        yield done, resident_bytes()


def measure_memory(nlp: Language, texts: Iterable[str], part: int) -> dict[str, Any]:
    """Process texts and say what memory they took.

    part (int): Texts of one part; there have to be some for ten of these.
    RETURNS: JSON-ready settings, those of the C library's memory among them (`MALLOC_*` of the environment),
        "seconds", and what `describe_growth` gives, with a size after each part.
    """
    start = time.perf_counter()
    sizes = [(done, round(size / MEGABYTE, 1)) for done, size in resident_sizes(nlp, texts, part)]
    return {
        "texts_a_part": part,
        "malloc": {name: value for name, value in os.environ.items() if name.startswith("MALLOC_")},
        "seconds": round(time.perf_counter() - start, 1),
        **describe_growth(sizes),
    }


def describe_growth(sizes: Sequence[tuple[int, float]]) -> dict[str, Any]:
    """What memory did after the first tenth of some texts, by when whatever is remembered is there.

    sizes (Sequence): How many texts were done, and the memory then in MB, up to all of them.
    RETURNS: JSON-ready "texts", "after_a_tenth_mb", "at_the_end_mb", "most_after_a_tenth_mb", "sizes".
    """
    texts = sizes[-1][0]
    settled = [size for done, size in sizes if done >= texts / 10]
    return {
        "texts": texts,
        "after_a_tenth_mb": settled[0],
        "at_the_end_mb": settled[-1],
        "most_after_a_tenth_mb": max(settled),
        "sizes": sizes,
    }


def draw_memory(report: dict[str, Any], path: Path) -> None:
    """Draw memory over texts.

    report (dict): With what `describe_growth` gives.
    path (Path): The PNG file.
    RAISES: PicturesNeedMatplotlib.
    """
    sizes: Sequence[tuple[int, float]] = report["sizes"]
    texts, megabytes = zip(*sizes, strict=True)
    with drawing():
        from matplotlib.figure import Figure

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
        write_png(figure, path)
