"""How vectors of pieces make those of words, whichever of the pieces are there."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from multiner.word_pieces import WORD_PIECES, ends_named, vectors_of_word, wanted_pieces, word_vectors

WIDTH = 3
COUNTS = st.lists(st.integers(1, 5), min_size=1, max_size=8)


def words_of(counts: list[int], between: int) -> tuple[torch.Tensor, list[list[int]]]:
    """Vectors of pieces, and the pieces of words that have so many, behind as many others each."""
    pieces, at = [], 0
    for count in counts:
        at += between
        pieces.append(list(range(at, at + count)))
        at += count
    return torch.randn(at, WIDTH, generator=torch.Generator().manual_seed(len(counts))), pieces


@pytest.mark.parametrize("word_pieces", WORD_PIECES)
@given(counts=COUNTS, between=st.integers(0, 2))
def test_words_are_made_of_the_pieces_that_are_wanted_and_of_no_others(word_pieces, counts, between):
    vectors, pieces = words_of(counts, between)
    made_of = {
        "first": lambda own: vectors[own[0]],
        "first_last": lambda own: torch.cat([vectors[own[0]], vectors[own[-1]]]),
        "mean": lambda own: vectors[own].mean(dim=0),
    }[word_pieces]
    expected = torch.stack([made_of(own) for own in pieces])
    places = torch.tensor([[own[0], own[-1]] for own in pieces])[:, : ends_named(word_pieces)]

    assert expected.shape[1] == vectors_of_word(word_pieces) * WIDTH
    torch.testing.assert_close(word_vectors(vectors, places, word_pieces), expected)
    wanted, among = wanted_pieces(places, word_pieces)
    assert len(wanted) == len(set(wanted.tolist()))
    torch.testing.assert_close(word_vectors(vectors[wanted], among, word_pieces), expected)


@given(counts=COUNTS)
def test_each_piece_learns_its_share_of_what_the_mean_learns(counts):
    vectors, pieces = words_of(counts, between=1)
    vectors.requires_grad_()
    word_vectors(vectors, torch.tensor([[own[0], own[-1]] for own in pieces]), "mean").sum().backward()
    expected = torch.zeros(len(vectors))
    for own in pieces:
        expected[own] = 1 / len(own)
    torch.testing.assert_close(vectors.grad, expected[:, None].expand(-1, WIDTH))
