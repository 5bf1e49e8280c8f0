"""Documents longer than the encoder can read, and batches that waste little.

What is too long is read through windows of whole words that overlap. Each word takes its scores from the one window in
which it stands farther from the border: the overlap is split in the middle. So every word is scored exactly
once, with context on both sides, and nothing is cut off.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .stretches import behind_each_other

# With fewer pieces, two batches beside each other take as long as one of both that all threads compute.
WORTH_A_BATCH = 64


class Window(NamedTuple):
    """A stretch of a document that the encoder reads at once, in words counted from the document's start.

    start, end: The words that are read.
    keep_start, keep_end: The words among them whose scores are taken from this window.
    """

    start: int
    end: int
    keep_start: int
    keep_end: int


def plan_windows(counts: NDArray[np.int64], capacity: int, overlap: int, keep_start: int = 0) -> list[Window]:
    """Cover a document with windows.

    A plan can be made in parts: the last window of a part that the document goes on after is dropped, and the next
    part begins where that window began. So the windows of a document do not depend on how it was parted.

    counts (array (words,)): Pieces of each word; none may have more than `capacity`.
    capacity (int): The most pieces of a window, special pieces not counted.
    overlap (int): About how many pieces two neighbouring windows share; less than half of `capacity`.
    keep_start (int): The words before this one are only read: a part before has their scores.
    RETURNS: Windows whose kept parts follow each other from `keep_start` to the last word. None for no words.
    """
    words = len(counts)
    if words == 0:
        return []
    ends = np.cumsum(counts)
    if ends[-1] <= capacity:
        return [Window(0, words, keep_start, words)]
    starts = ends - counts  # pieces before each word
    centers = (starts + ends) / 2
    windows: list[Window] = []
    start = 0
    while True:
        end = int(np.searchsorted(ends, starts[start] + capacity, side="right"))
        if end == words:
            windows.append(Window(start, words, keep_start, words))
            return windows
        # The next window begins so far back that about `overlap` pieces are read again, but never where this
        # one began, or the plan would not end.
        next_start = max(int(np.searchsorted(starts, ends[end - 1] - overlap, side="left")), start + 1)
        middle = (starts[min(next_start, end)] + ends[end - 1]) / 2
        keep_end = min(max(int(np.searchsorted(centers, middle, side="left")), next_start, keep_start), end)
        windows.append(Window(start, end, keep_start, keep_end))
        start, keep_start = next_start, keep_end


def plan_sentences(
    counts: NDArray[np.int64], ends: NDArray[np.bool_], capacity: int, overlap: int, keep_start: int = 0
) -> list[Window]:
    """Have each sentence of a document be a window of its own; one of more than `capacity` pieces is covered with some.

    It can be made in parts, as `plan_windows` can. What follows the last end is a sentence.

    ends (array (words,)): Which words a sentence ends with. The others: see `plan_windows`.
    RETURNS: Windows whose kept parts follow each other from `keep_start` to the last word. None for no words.
    """
    words = len(counts)
    borders = np.flatnonzero(ends[:-1]) + 1
    pieces = np.concatenate([[0], np.cumsum(counts)])
    windows: list[Window] = []
    for start, end in itertools.pairwise([0, *borders.tolist(), words] if words else []):
        kept = min(max(start, keep_start), end)
        if pieces[end] - pieces[start] <= capacity:
            windows.append(Window(start, end, kept, end))
        else:
            parts = plan_windows(counts[start:end], capacity, overlap, kept - start)
            windows.extend(Window(*(start + word for word in part)) for part in parts)
    return windows


def batches_by_pieces(lengths: Sequence[int], budget: int, least: int = 1) -> list[list[int]]:
    """Group sequences so that a batch, filled up to its longest, holds at most `budget` pieces.

    Long goes with long, so little is filled up. The longest come first: if memory does not suffice, that shows
    at once. A sequence longer than the budget is a batch of its own.

    lengths (Sequence[int]): Pieces of each sequence, special pieces included.
    least (int): How many batches of about as many pieces each there are at least, as far as sequences can be parted.
    RETURNS: The indices of the sequences of each batch.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    share = sum(lengths) / least
    before = 0
    batches: list[list[int]] = []
    for index in order:
        fits = batches and lengths[batches[-1][0]] * (len(batches[-1]) + 1) <= budget
        if fits and before < share * len(batches):
            batches[-1].append(index)
        else:
            batches.append([index])
        before += lengths[index]
    return batches


def batches_beside_each_other(lengths: Sequence[int], budget: int, at_once: int) -> list[list[int]]:
    """Group sequences as `batches_by_pieces` does, so that nobody waits where so many batches are computed at once.

    There are as many of about the same size as make whole turns, if that leaves each of them enough to compute.
    """
    batches = batches_by_pieces(lengths, budget)
    least = -(-len(batches) // at_once) * at_once
    if at_once == 1 or not batches or sum(lengths) < least * WORTH_A_BATCH:
        return batches
    return batches_by_pieces(lengths, budget, least)


def places_in_rows(lengths: Sequence[int]) -> NDArray[np.int64]:
    """Where pieces come to stand when sequences that follow each other become rows, filled up to the longest.

    lengths (Sequence[int]): Pieces of each sequence; there is at least one.
    RETURNS (pieces,): The place of each, counted through the rows one after the other.
    """
    counts = np.asarray(lengths, np.int64)
    return behind_each_other(np.arange(len(counts)) * counts.max(), counts)
