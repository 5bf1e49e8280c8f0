"""From documents to batches of pieces: what goes through an encoder at once, and which words it scores."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from spacy.attrs import ORTH
from spacy.tokens import Doc
from tokenizers import Tokenizer

from .devices import on_device
from .encoder import Reading
from .pieces import PieceCutter, Pieces
from .sentence_ends import may_have_several, sentence_ends
from .stretches import behind_each_other
from .windows import Window, batches_beside_each_other, places_in_rows, plan_sentences, plan_windows

# A word may take up at most this share of a window, so that it always has neighbours in view.
LONGEST_WORD = 4
# Words whose pieces and windows are held at once. Long windows go with long ones among so many.
WORDS_AT_ONCE = 20_000
# What of a batch goes from one operation to the next stays in a CPU's cache if these are the most pieces. A GPU is told
# what to do in as many steps for few as for many, and takes longer to be told than to compute fewer.
CPU_BATCH, GPU_BATCH = 1024, 16_384


class Batch(NamedTuple):
    """What goes through the network at once, and the rows of words (or pieces) of all documents that it scores.

    ids: Array (pieces,), the pieces of all windows, one window behind the other.
    lengths: How many pieces each window has.
    places: Array (words, ends named), the pieces that each word is known by, see `multiner.word_pieces`.
    rows: Array (words,), where their scores go.
    """

    ids: NDArray[np.int64]
    lengths: list[int]
    places: NDArray[np.int64]
    rows: NDArray[np.int64]


class Filled(NamedTuple):
    """A batch as Hugging Face encoders take it, see `WordTagger.forward`."""

    ids: torch.Tensor
    mask: torch.Tensor
    places: torch.Tensor


class DocBatcher:
    """Cuts documents into pieces, and these into windows, and groups windows by length.

    tokenizer (Tokenizer): Cuts words into pieces.
    reading (Reading): How text has to be put before the encoder.
    window (int): The most pieces of a window; less if the encoder cannot read so many.
    overlap (int): How many pieces two windows of a long document share.
    ends_named (int): By how many of its pieces a word is known: 1 is its first, 2 its first and its last one.
    whole_words (int | None): In documents of more words each sentence is a window of its own; None is no such limit.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        reading: Reading,
        *,
        window: int,
        overlap: int,
        ends_named: int,
        whole_words: int | None,
    ) -> None:
        self._reading = reading
        self.capacity = min(window, reading.capacity)
        # An encoder that reads less than `window` cannot have windows that share more than it reads.
        self.overlap = min(overlap, (self.capacity - 1) // 2)
        self._ends_named = ends_named
        self.whole_words = whole_words
        self.cutter = PieceCutter(tokenizer, reading.unknown, max(self.capacity // LONGEST_WORD, 1))

    def cut(self, docs: Sequence[Doc]) -> Pieces:
        """The pieces of documents, word by word."""
        return self.cutter([orth for doc in docs for orth in doc.to_array(ORTH).tolist()], _text_lookup(docs))

    def __call__(
        self,
        docs: Sequence[Doc],
        batch_pieces: int,
        piece_rows: NDArray[np.int64] | None = None,
        at_once: int = 1,
    ) -> Iterator[Batch]:
        """The batches of documents.

        batch_pieces (int): The most pieces of each, filling included.
        piece_rows (array (words,)): If every piece is to be scored, the row of the first piece of each word.
        at_once (int): How many of them are computed beside each other.

        They are made in turns of about `WORDS_AT_ONCE` words, wherever documents begin and end, so that what is held
        does not grow with them.
        """
        begins = np.cumsum([0, *map(len, docs)])
        first = keep_start = 0
        turn = WORDS_AT_ONCE
        while first < begins[-1]:
            last = min(first + turn, int(begins[-1]))
            pieces, windows, next_first, keep_start = self._windows(docs, begins, first, last, keep_start)
            if next_first == first:
                turn *= 2  # all of it is the start of one window, as long white space without pieces is
            else:
                yield from self._fill(pieces, windows, first, batch_pieces, piece_rows, at_once)
            first = next_first

    def _windows(
        self, docs: Sequence[Doc], begins: NDArray[np.int64], first: int, last: int, keep_start: int
    ) -> tuple[Pieces, list[Window], int, int]:
        """The pieces and windows of one turn.

        begins (array (docs + 1,)): How many words come before each document.
        first, last (int): The words of this turn, counted through all documents.
        keep_start (int): The first of them that has no scores yet, counted from `first`.
        RETURNS: Pieces; windows in words counted from `first`; and `first` and `keep_start` of the next turn.
        """
        numbers = range(int(np.searchsorted(begins, first, "right")) - 1, int(np.searchsorted(begins, last, "left")))
        arrays = [docs[number].to_array(ORTH) for number in numbers]
        arrays[-1] = arrays[-1][: last - begins[numbers[-1]]]
        arrays[0] = arrays[0][first - begins[numbers[0]] :]
        orths = [array.tolist() for array in arrays]
        pieces = self.cutter(list(chain.from_iterable(orths)), _text_lookup(docs))
        windows: list[Window] = []
        done = 0
        for number, words in zip(numbers, orths, strict=True):
            counts = pieces.counts[done : done + len(words)]
            planned = self._plan(docs[number], words, counts, max(first - int(begins[number]), 0), keep_start)
            keep_start = 0
            if last < begins[number + 1]:
                unfinished = planned.pop()
                last = first + done + unfinished.start
                keep_start = unfinished.keep_start - unfinished.start
            windows.extend(Window(*(done + word for word in window)) for window in planned)
            done += len(words)
        return pieces, windows, last, keep_start

    def _plan(self, doc: Doc, orths: list[int], counts: NDArray[np.int64], start: int, keep_start: int) -> list[Window]:
        """The windows over a document's words from `start` on, counted from there."""
        if self.whole_words is not None and len(doc) > self.whole_words and may_have_several(doc, orths, start):
            ends = sentence_ends(doc, start, start + len(counts))
            return plan_sentences(counts, ends, self.capacity, self.overlap, keep_start)
        return plan_windows(counts, self.capacity, self.overlap, keep_start)

    def _fill(
        self,
        pieces: Pieces,
        windows: list[Window],
        first: int,
        batch_pieces: int,
        piece_rows: NDArray[np.int64] | None,
        at_once: int,
    ) -> Iterator[Batch]:
        """Put windows into batches; `first` is added to the numbers of their words."""
        reading, counts = self._reading, pieces.counts
        before, special = len(reading.prefix), len(reading.prefix) + len(reading.suffix)
        begins = np.concatenate([[0], np.cumsum(counts)])  # of the pieces of each word, and where the last ones end
        start, end, keep_start, keep_end = np.array(windows, np.int64).reshape(-1, len(Window._fields)).T
        every_length, kept_words = begins[end] - begins[start], keep_end - keep_start
        scored = np.flatnonzero(begins[keep_start] < begins[keep_end])
        read = (every_length[scored] + special).tolist()
        for some in batches_beside_each_other(read, batch_pieces, at_once):
            members = scored[some]
            lengths, first_pieces = every_length[members], begins[start[members]]
            ends = np.cumsum(lengths + special)
            firsts = ends - len(reading.suffix) - lengths
            ids = np.empty(ends[-1], np.int64)
            ids[firsts[:, None] + np.arange(-before, 0)] = reading.prefix
            ids[behind_each_other(firsts, lengths)] = pieces.ids[behind_each_other(first_pieces, lengths)]
            ids[ends[:, None] + np.arange(-len(reading.suffix), 0)] = reading.suffix
            words = behind_each_other(keep_start[members], kept_words[members])
            moved = np.repeat(firsts - first_pieces, kept_words[members])  # how far their pieces are, into the batch
            visible = counts[words] > 0
            words, moved = words[visible], moved[visible]
            if piece_rows is None:
                known_by, rows = np.stack([begins[words], begins[words + 1] - 1][: self._ends_named], 1), first + words
            else:
                known_by, moved = behind_each_other(begins[words], counts[words])[:, None], moved.repeat(counts[words])
                rows = behind_each_other(piece_rows[first + words], counts[words])
            yield Batch(ids, (lengths + special).tolist(), known_by + moved[:, None], rows)


def usual_batch(device: torch.device) -> int:
    """The most pieces of a batch that this device computes without waste."""
    return GPU_BATCH if device.type == "cuda" else CPU_BATCH


def fill_up(batch: Batch, pad: int, device: torch.device) -> Filled:
    """A batch with its windows as rows that are filled up to the longest, on the device.

    pad (int): The piece that rows are filled up with.
    """
    shape = (len(batch.lengths), max(batch.lengths))
    places = places_in_rows(batch.lengths)
    ids = np.full(shape, pad, np.int64)
    mask = np.zeros(shape, np.int64)
    ids.flat[places] = batch.ids
    mask.flat[places] = 1
    return Filled(*(on_device(torch.from_numpy(array), device) for array in (ids, mask, places[batch.places])))


def halves(batch: Batch) -> tuple[Batch, Batch]:
    """The first half of a batch's windows and the others; it has at least two."""
    middle = len(batch.lengths) // 2
    pieces = sum(batch.lengths[:middle])
    words = int(np.searchsorted(batch.places[:, 0], pieces))
    return (
        Batch(batch.ids[:pieces], batch.lengths[:middle], batch.places[:words], batch.rows[:words]),
        Batch(batch.ids[pieces:], batch.lengths[middle:], batch.places[words:] - pieces, batch.rows[words:]),
    )


def _text_lookup(docs: Sequence[Doc]) -> Callable[[int], str]:
    """From a word's hash to its text, in the vocabularies of these documents; other pipelines may have made some."""
    stores: list[Any] = list({id(doc.vocab): doc.vocab.strings for doc in docs}.values())
    if len(stores) == 1:
        lookup: Callable[[int], str] = stores[0].__getitem__
        return lookup
    return lambda orth: next(store[orth] for store in stores if orth in store)
