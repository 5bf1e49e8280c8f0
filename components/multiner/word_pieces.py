"""From which of its pieces a word is read, and how their vectors make the word's.

The first piece alone is the usual way (Devlin et al. 2019). Two ends tell of endings too; the mean of all pieces is
what is usually taken where a word has no place of its own in what is trained.
"""

from typing import Literal

import torch

WordPieces = Literal["first", "first_last", "mean"]
WORD_PIECES: tuple[WordPieces, ...] = ("first", "first_last", "mean")


def ends_named(word_pieces: WordPieces) -> int:
    """How many of its pieces a word is known by: its first, or its first and its last one, with all between them."""
    return 1 if word_pieces == "first" else 2


def vectors_of_word(word_pieces: WordPieces) -> int:
    """How many vectors of pieces, one behind the other, are as long as the word's."""
    return 2 if word_pieces == "first_last" else 1


def wanted_pieces(places: torch.Tensor, word_pieces: WordPieces) -> tuple[torch.Tensor, torch.Tensor]:
    """The pieces whose vectors words are made of.

    places (words, ends named): The pieces that each word is known by. No two words share any.
    RETURNS: Array (pieces wanted,), and where those that each word is known by stand among them, as `places`.
    """
    if word_pieces == "mean":
        counts = _counts(places)
        ends = counts.cumsum(0)
        return _ranges(places, counts), torch.stack([ends - counts, ends - 1], dim=1)
    # Only the first and the last piece of a word can be the same, and these stand next to each other.
    wanted, among = places.unique_consecutive(return_inverse=True)
    return wanted, among


def word_vectors(vectors: torch.Tensor, places: torch.Tensor, word_pieces: WordPieces) -> torch.Tensor:
    """The vectors of words.

    vectors (pieces, width): Of pieces.
    places (words, ends named): Which of them each word is known by.
    RETURNS (words, vectors of a word times width)
    """
    if word_pieces == "mean":
        counts = _counts(places)
        return torch.segment_reduce(vectors[_ranges(places, counts)], "mean", lengths=counts)
    return vectors[places].flatten(1)


def _counts(places: torch.Tensor) -> torch.Tensor:
    return places[:, 1] - places[:, 0] + 1


def _ranges(places: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """All pieces of each word, one word behind the other."""
    before = counts.cumsum(0) - counts
    every = torch.arange(int(counts.sum()), device=places.device)
    return every + (places[:, 0] - before).repeat_interleave(counts)
