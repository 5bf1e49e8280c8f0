"""The sentences of an experiment: converted once, told apart by their content, drawn so that smaller draws are in
larger ones.

What is converted lies in a folder that is named after all that went into it, so that nothing old is taken for new.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import srsly

from ..corpora import convert, find_files
from ..docbins import read_sentences
from ..files import new_folder, write_json
from ..fingerprints import digest_of
from ..recipes import Recipe
from ..self_training import read_unlabelled
from ..sentences import Sentence
from .recipe import Experiment

DOCS, CONTENT = "docs.spacy", "content.json"
FIXED_SEED = 0  # of draws that are the same whatever is trained: dev, and the test sentences
DIGITS = 32


class Part(NamedTuple):
    """A part of the corpus in one language.

    docs (Path): A `.spacy` file or a folder of them.
    words, annotated (list[str]): For each sentence what tells its words, and its words and tags, from any other's.
    changes (int): Tags that were repaired in reading.
    """

    docs: Path
    words: list[str]
    annotated: list[str]
    changes: int


class Draw(NamedTuple):
    """Sentences of a part, by their numbers in ascending order."""

    part: Part
    rows: list[int]

    @property
    def digest(self) -> str:
        """What tells these sentences with their annotation from any others."""
        return _digest(self.part.annotated[row] for row in self.rows)

    @property
    def digest_of_words(self) -> str:
        """What tells these sentences from any others, whatever their annotation."""
        return _digest(self.part.words[row] for row in self.rows)

    def sentences(self) -> Iterator[Sentence]:
        """The sentences as they are annotated."""
        return _chosen(read_sentences(self.part.docs), self.rows)

    def unlabelled(self) -> Iterator[Sentence]:
        """The sentences without their annotation."""
        return _chosen(read_unlabelled(self.part.docs), self.rows)


class Material:
    """The sentences of an experiment, read when they are asked for: what is not asked for need not be there.

    folder (Path): Where converted corpora are kept.
    """

    def __init__(self, experiment: Experiment, folder: Path) -> None:
        self.experiment = experiment
        self.folder = folder
        self._parts: dict[tuple[str, str], Part] = {}

    def train(self, language: str, sentences: int | None = None, seed: int = FIXED_SEED) -> Draw:
        """Sentences to train on, without those that are held out.

        sentences (int | None): The first so many in an order that the seed says; None for the language's share.
        """
        part = self.part(language, self.experiment.parts.train)
        held_out = set(self.dev(language).rows) if self.experiment.parts.dev is None else set()
        pool = np.array([row for row in range(len(part.words)) if row not in held_out], np.int64)
        wanted = int(self.experiment.shares.get(language, 1) * len(pool)) if sentences is None else sentences
        # The rows that `datasets.Dataset.shuffle(seed).select(range(wanted))` takes.
        return Draw(part, sorted(pool[np.random.default_rng(seed).permutation(len(pool))[:wanted]].tolist()))

    def dev(self, language: str) -> Draw:
        """Sentences to choose the epoch by."""
        parts = self.experiment.parts
        return self._first(self.part(language, parts.dev or parts.train), parts.dev_sentences)

    def test(self, language: str) -> Draw:
        """Sentences to test on."""
        return self._first(self.part(language, self.experiment.parts.test), self.experiment.parts.test_sentences)

    def _first(self, part: Part, wanted: int) -> Draw:
        order = np.random.default_rng(FIXED_SEED).permutation(len(part.words))
        return Draw(part, sorted(order[: wanted or None].tolist()))

    def part(self, language: str, split: str) -> Part:
        """A part of the corpus in one language, converted if it was not yet.

        RAISES: What `corpora.convert` does.
        """
        if (language, split) not in self._parts:
            self._parts[language, split] = self._read(language, split)
        return self._parts[language, split]

    def _read(self, language: str, split: str) -> Part:
        source = self.experiment.source_of(language)
        origin = Path(source.origin)
        files = [origin] if origin.is_file() else _files(origin, split)
        about = {**asdict(source), "origin": "" if files else source.origin, "labels": self.experiment.labels}
        content = [digest_of(file) for file in files]
        name = _digest([json.dumps(about, sort_keys=True, default=str), split, *content])[:DIGITS]
        folder = self.folder / f"{language}-{split}-{name}"
        if not folder.exists():
            with new_folder(folder) as unfinished:
                conversion = convert(
                    Recipe((source,), self.experiment.labels),
                    unfinished / DOCS,
                    split=None if origin.is_file() else split,
                )
                sentences = list(read_sentences(unfinished / DOCS))
                found = {
                    "words": [_digest([*each.words, each.language or ""])[:DIGITS] for each in sentences],
                    "annotated": [
                        _digest([*each.words, *each.tags, each.language or ""])[:DIGITS] for each in sentences
                    ],
                    "changes": len(conversion.changes),
                }
                write_json(found, unfinished / CONTENT)
        return Part(folder / DOCS, **srsly.read_json(folder / CONTENT))


def join(draws: Iterable[Draw]) -> Iterator[Sentence]:
    """The sentences of several draws, one after the other."""
    return chain.from_iterable(draw.sentences() for draw in draws)


def _files(folder: Path, split: str) -> Sequence[Path]:
    """The files of a part; none of a dataset, which its name has to tell from others."""
    if not folder.is_dir():
        return []
    parquet = sorted(folder.rglob("*.parquet"))
    return parquet or find_files(folder, split)


def _chosen(sentences: Iterator[Sentence], rows: Sequence[int]) -> Iterator[Sentence]:
    wanted = set(rows)
    return (sentence for row, sentence in enumerate(sentences) if row in wanted)


def _digest(texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode())
        digest.update(b"\0")
    return digest.hexdigest()
