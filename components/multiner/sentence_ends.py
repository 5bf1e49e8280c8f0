"""Where sentences end, so that each can be read by itself.

An encoder that has learnt from single sentences finds more names in a sentence by itself than in one among others, and
one that has learnt from short documents finds more in the sentences of a long one than in all of it at once. A
pipeline that knows the sentences, by a parser or a `senter` before this component, is believed. Where nothing says
them, marks do: those that spaCy's `sentencizer` goes by, in many scripts, and empty lines. A full stop counts only if
the word before it looks like no abbreviation and no ordinal, and the one behind it like a first one: a name that is
cut in two is worse than two sentences in one.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.attrs import (
    IS_ALPHA,
    IS_DIGIT,
    IS_LEFT_PUNCT,
    IS_LOWER,
    IS_PUNCT,
    IS_QUOTE,
    IS_RIGHT_PUNCT,
    IS_SPACE,
    IS_TITLE,
    LENGTH,
    ORTH,
    SENT_START,
)
from spacy.pipeline import Sentencizer
from spacy.strings import get_string_id
from spacy.tokens import Doc

Mask = NDArray[np.bool_]
Hashes = NDArray[np.uint64]


def _hashes(words: Iterable[str]) -> Hashes:
    """Words as documents name them, whatever their vocabulary."""
    return np.array(sorted({get_string_id(word) for word in words}), np.uint64)


# As often as a tokenizer may leave them together.
MARKS = _hashes(times * mark for mark in (*Sentencizer.default_punct_chars, "…") for times in (1, 2, 3, 4))
STOP = get_string_id(".")
EMPTY_LINES = _hashes(["\r\n\r\n", "\n \n", *(times * "\n" for times in range(2, 9))])
OPENING = _hashes("¿¡-–—•*")  # beside brackets and quotes
BORDERS = frozenset(np.concatenate([MARKS, EMPTY_LINES]).tolist())
# Numbers and names so short before a full stop are taken for ordinals and abbreviations: `3. Oktober`, `St. Gallen`.
LONGEST_ORDINAL = 2
LONGEST_ABBREVIATION = 3
# Of so many documents so large a share has to have several sentences for any to be read as a whole.
DOCUMENTS_LOOKED_AT = 1000
SEVERAL_SENTENCES = 0.2
ALL_BUT_THE_LONGEST = 0.99
# How many words before the first one are looked at: those that a full stop is judged by.
BEFORE = 20
KINDS = (IS_PUNCT, IS_QUOTE, IS_LEFT_PUNCT, IS_RIGHT_PUNCT, IS_LOWER, IS_TITLE, IS_ALPHA, IS_DIGIT)


def sentence_ends(doc: Doc, start: int = 0, end: int | None = None) -> Mask:
    """Which of a document's words a sentence ends with, white space behind it included.

    start, end: The words that are asked for; all by default.
    RETURNS: Array (end - start,). The last word is one that a sentence ends with if the document ends there, or the
        pipeline has said so; whether a mark at the end of a part ends a sentence is for the word behind it to say.
    """
    end = len(doc) if end is None else end
    if start == end:
        return np.zeros(0, bool)
    if doc.has_annotation("SENT_START"):
        (starts,) = _columns(doc, start, min(end + 1, len(doc)), (SENT_START,))
        ends = np.append(starts[1:] == 1, True)[: end - start]
    else:
        context = max(start - BEFORE, 0)
        ends = _by_marks(doc, context, end)[start - context :]
    if end == len(doc):
        ends[-1] = True
    return ends


def may_have_several(doc: Doc, orths: Sequence[int], start: int) -> bool:
    """Whether it takes `sentence_ends` to tell that a part of a document is one sentence; most are without it.

    orths (Sequence[int]): The hashes of the part's words, from the word `start` on.
    """
    return start > 0 or not BORDERS.isdisjoint(orths[:-1]) or doc.has_annotation("SENT_START")


def words_read_as_a_whole(docs: Iterable[Doc]) -> int:
    """Up to how many words a document is best read as a whole by who has learnt from such ones.

    docs (Iterable): Some of these are looked at.
    RETURNS: 0 if nearly all are single sentences, so that several beside each other have not been learnt; else how
        long all but the longest are.
    """
    looked_at = list(islice(docs, DOCUMENTS_LOOKED_AT))
    several = sum(int(sentence_ends(doc).sum()) > 1 for doc in looked_at)
    if several < SEVERAL_SENTENCES * max(len(looked_at), 1):
        return 0
    return int(np.quantile([len(doc) for doc in looked_at], ALL_BUT_THE_LONGEST))


def _by_marks(doc: Doc, start: int, end: int) -> Mask:
    orths, space, lengths, *kinds = _columns(doc, start, end, (ORTH, IS_SPACE, LENGTH, *KINDS))
    found = np.isin(orths, EMPTY_LINES)
    visible = np.flatnonzero(space == 0)
    orths, lengths = orths[visible], lengths[visible]
    punct, quote, left, right, lower, title, alpha, digit = (kind[visible] != 0 for kind in kinds)
    short = (alpha & (lengths == 1)) | (title & (lengths <= LONGEST_ABBREVIATION))
    short |= digit & (lengths <= LONGEST_ORDINAL)
    mark = np.isin(orths, MARKS)
    mark[1:] &= (orths[1:] != STOP) | ~short[:-1]
    # More marks, closing brackets and quotes that follow a mark belong to its sentence; which quotes close differs.
    within = mark | quote | right
    nearest = np.where(within, len(within), np.arange(len(within)))
    behind = np.minimum.accumulate(nearest[::-1])[::-1][mark]
    behind = behind[behind < len(within)]
    begins = ~lower & (~punct | left | np.isin(orths, OPENING))
    found[visible[behind[begins[behind]]] - 1] = True
    return found


def _columns(doc: Doc, start: int, end: int, attributes: Sequence[int]) -> Iterator[Hashes]:
    """Attributes of a part of a document's words, without an array of all of them; spaCy's stubs do not know of it."""
    part: Any = doc[start:end]
    return iter(part.to_array(list(attributes)).T)
