"""How fast corpora are converted and with how much memory, beside `spacy convert` on the same words."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from spacy.tokens import DocBin

from .columns import column_lines, open_columns
from .docbins import corpus_files
from .errors import UserError
from .sentences import Account, Sentence


class BenchmarkError(UserError, RuntimeError):
    """A program that is measured failed; the message has what it said."""


def measure_conversion(
    files: Sequence[Path], command: Sequence[str], *, sentences: int, spacy_sentences: int
) -> dict[str, Any]:
    """Convert a large corpus, and a smaller one by `spacy convert` too, in processes of their own.

    files (Sequence[Path]): Column files that are repeated until the corpus is large enough; illegal tag sequences in
        them are made legal first.
    command (Sequence[str]): What converts a column file to a .spacy file; the two are appended.
    sentences (int): Size of the large corpus.
    spacy_sentences (int): Size of the corpus for both, much smaller because `spacy convert` keeps it in memory.
    RETURNS: JSON-ready "large", "ours" and "spacy", each with sentences, words, seconds (starting Python included),
        words per second and peak memory in MB; and "ratio", how many times faster ours is than spaCy's.
    RAISES: CorpusError; BenchmarkError when a converter fails or loses words.
    """
    with tempfile.TemporaryDirectory() as folder:
        large, small = Path(folder) / "large.conll", Path(folder) / "small.conll"
        sizes = {path: _write(path, files, count) for path, count in ((large, sentences), (small, spacy_sentences))}
        theirs = [sys.executable, "-m", "spacy", "convert", "--converter", "ner", "--n-sents", "1"]
        report = {
            "large": _measure([*command, str(large), f"{large}.spacy"], Path(f"{large}.spacy"), *sizes[large]),
            "ours": _measure([*command, str(small), f"{small}.spacy"], Path(f"{small}.spacy"), *sizes[small]),
            "spacy": _measure([*theirs, str(small), folder], small.with_suffix(".spacy"), *sizes[small]),
        }
    speeds = [report[name]["words_per_second"] for name in ("ours", "spacy")]
    return {**report, "ratio": round(speeds[0] / speeds[1], 1)}


def _write(path: Path, files: Sequence[Path], count: int) -> tuple[int, int]:
    """A column file of so many sentences; returns these and their words."""
    words = 0
    with path.open("w", encoding="utf8") as out:
        for sentence in islice(_endless(files), count):
            words += len(sentence.words)
            out.writelines(column_lines([sentence]))
    return count, words


def _endless(files: Sequence[Path]) -> Iterator[Sentence]:
    opened = [open_columns(file) for file in files]
    while True:
        for file in opened:
            yield from file.sentences(repair=True, account=Account())


def _measure(command: Sequence[str], result: Path, sentences: int, words: int) -> dict[str, Any]:
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    found = sum(sum(map(len, DocBin().from_disk(file).tokens)) for file in corpus_files(result)) if not status else 0
    if found != words:
        raise BenchmarkError(f"'{' '.join(command)}' gave {found:,} of {words:,} words. {said[-500:]}")
    return {
        "sentences": sentences,
        "words": words,
        "seconds": round(seconds, 1),
        "words_per_second": round(words / seconds),
        "peak_memory_mb": round(usage.ru_maxrss / 1024),
    }
