"""Words to pieces."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spacy.strings import StringStore
from tokenizers import Tokenizer

from multiner.pieces import PieceCutter

STRINGS = StringStore()
UNKNOWN = 3


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder: str) -> Tokenizer:
    return Tokenizer.from_file(str(Path(tiny_encoder) / "tokenizer.json"))


def cut(cutter: PieceCutter, words: list[str]) -> list[list[int]]:
    pieces = cutter([STRINGS.add(word) for word in words], STRINGS.__getitem__)
    ids = pieces.ids.tolist()
    result, at = [], 0
    for count in pieces.counts.tolist():
        result.append(ids[at : at + count])
        at += count
    assert at == len(ids)
    return result


def test_a_sentence_has_the_pieces_that_transformers_gives_it(tokenizer):
    words = ["Grace", "unbelievably", "worked", ",", "London", "in", "Grace"]
    together = tokenizer.encode(words, is_pretokenized=True, add_special_tokens=False)
    assert [piece for word in cut(PieceCutter(tokenizer, UNKNOWN, 64), words) for piece in word] == together.ids


@given(st.lists(st.text(st.characters(codec="utf8"), min_size=1, max_size=12), max_size=8))
def test_every_word_has_pieces_but_white_space_has_none(tokenizer, words):
    for word, pieces in zip(words, cut(PieceCutter(tokenizer, UNKNOWN, 64), words), strict=True):
        assert bool(pieces) is not word.isspace()


@given(st.lists(st.sampled_from(["Ada", "…", "\u200d", "▁", "<s>", "naïve", "東京", "👩\u200d👩", " \t"]), max_size=8))
def test_a_cut_does_not_depend_on_neighbours_nor_on_being_remembered(tokenizer, words):
    cutter = PieceCutter(tokenizer, UNKNOWN, 64)
    together = cut(cutter, words)
    assert together == [cut(PieceCutter(tokenizer, UNKNOWN, 64), [word])[0] for word in words]
    assert together == cut(cutter, words)


def test_a_word_that_leaves_nothing_gets_the_unknown_piece(tokenizer):
    from tokenizers import normalizers

    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    tokenizer.normalizer = normalizers.Replace("☃", "")
    assert cut(PieceCutter(tokenizer, UNKNOWN, 64), ["☃"]) == [[UNKNOWN]]


def test_a_long_word_keeps_its_first_pieces(tokenizer):
    whole = cut(PieceCutter(tokenizer, UNKNOWN, 10_000), ["unbelievably" * 50])[0]
    assert len(whole) > 20
    assert cut(PieceCutter(tokenizer, UNKNOWN, 20), ["unbelievably" * 50]) == [whole[:20]]


def test_words_are_forgotten_rather_than_memory_filled(tokenizer, monkeypatch):
    monkeypatch.setattr("multiner.pieces.REMEMBERED_WORDS", 3)
    cutter = PieceCutter(tokenizer, UNKNOWN, 64)
    words = ["Ada", "in", "London", "Grace", "Hopper", "Ada"]
    for word in words:
        assert cut(cutter, [word]) == cut(PieceCutter(tokenizer, UNKNOWN, 64), [word])
        assert len(cutter._cuts) <= 3
