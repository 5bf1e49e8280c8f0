"""Memory that a long run does not need is given back: spaCy's places of forgotten words, and what the C library keeps.

A memory zone of spaCy frees the words that came in it. What it leaves are their places in the two hash tables of the
vocabulary: they are marked as deleted, never used again, and counted as full when a table is to grow. So in a long run
the tables grow with every zone, by some 60 bytes for each different word of it, although nothing is in them.
"""

import ctypes
import sys

from spacy.vocab import Vocab

WORDS_ALONE = ["vectors", "lookups"]


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
