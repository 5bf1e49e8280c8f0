"""A long run's memory: what it does not need is given back, and what stays is not looked through for garbage.

A memory zone of spaCy frees the words that came in it. What it leaves are their places in the two hash tables of the
vocabulary: they are marked as deleted, never used again, and counted as full when a table is to grow. So in a long run
the tables grow with every zone, by some 60 bytes for each different word of it, although nothing is in them.

In a zone spaCy's tokenizer remembers nothing: a word that it has not met before is taken apart by regular expressions
each time it comes up, the most frequent ones too. So the first parts of a long run are in no zone.
"""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from spacy.language import Language
from spacy.vocab import Vocab

# In four languages nine of ten words are among so many that were met first, which take some 40 MB.
KEPT_WORDS = 60_000
# The places of so many words and forms of words take 3 MB.
MOST_FORGOTTEN = 50_000
WORDS_ALONE = ["vectors", "lookups"]


class LongRun:
    """A run of a pipeline in parts: it keeps the words that it meets first, and forgets all others after each part.

    nlp (Language): The pipeline.
    """

    def __init__(self, nlp: Language) -> None:
        self._nlp = nlp
        self._room = KEPT_WORDS
        self._forgotten = 0  # whose places are still there

    @contextmanager
    def part(self) -> Iterator[None]:
        """A part of the run, some thousands of documents as a rule, of which none may be used when it has ended."""
        vocab = self._nlp.vocab
        if self._room > 0:
            known = len(vocab)
            with _garbage_among_what_is_new():
                yield
            self._room -= len(vocab) - known
        else:
            with self._nlp.memory_zone(), _garbage_among_what_is_new():
                known = len(vocab.strings)
                yield
                self._forgotten += len(vocab.strings) - known
            if self._forgotten > MOST_FORGOTTEN:
                compact(vocab)
                self._forgotten = 0
        return_freed_memory()


@contextmanager
def _garbage_among_what_is_new() -> Iterator[None]:
    """Have Python not look for garbage in what is there already.

    Documents are so many objects that it does so every some thousand of them, and a pipeline with all that it needs is
    so much that this takes a quarter of a second each time.
    """
    if gc.get_freeze_count():  # somebody has seen to it, and for longer
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def compact(vocab: Vocab) -> None:
    """Make the hash tables of a vocabulary anew, with the words alone that are in it.

    It takes some milliseconds, and documents that are there stay as they are. Not to be called in a memory zone.
    """
    getters = dict(vocab.lex_attr_getters)  # type: ignore[attr-defined]
    # Reading a vocabulary from bytes is what makes new tables; these are its own bytes.
    vocab.from_bytes(vocab.to_bytes(exclude=WORDS_ALONE), exclude=WORDS_ALONE)
    # It wraps the one for norms once more each time, if there is a table of them.
    vocab.lex_attr_getters.update(getters)  # type: ignore[attr-defined]


def return_freed_memory() -> None:
    """Have the C library give memory that is free back to the system, where it can (glibc's `malloc_trim`).

    Left to itself it keeps pages in which something small is still alive, and with blocks of ever other sizes they get
    more and more. It takes some milliseconds.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
