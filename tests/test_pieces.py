"""Words to pieces."""

import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spacy.strings import StringStore
from tokenizers import Tokenizer

from multiner.encoder import load_tokenizer
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


@pytest.mark.parametrize("word", ["x" * 1_000_000, "unbelievably" * 80_000, "…" * 1_000_000, "a\u0301" * 500_000])
def test_a_word_of_a_megabyte_takes_no_longer_than_its_first_pieces(tokenizer, word):
    start = time.perf_counter()
    pieces = cut(PieceCutter(tokenizer, UNKNOWN, 64), [word])[0]
    assert time.perf_counter() - start < 0.5
    assert pieces == cut(PieceCutter(tokenizer, UNKNOWN, 64), [word[:20_000]])[0]


@pytest.mark.parametrize("word", ["<s>", "</s>", "<pad>", "a</s>b", "</s></s>", "＜/s＞"])
def test_a_special_piece_written_in_a_text_is_text(tokenizer, word):
    special = {0, 1, 2}
    assert special & set(tokenizer.encode([word], is_pretokenized=True, add_special_tokens=False).ids)
    pieces = cut(PieceCutter(tokenizer, UNKNOWN, 64), [word])[0]
    assert pieces and not special & set(pieces)


def test_the_lengths_that_a_tokenizer_was_made_with_do_not_count(tiny_encoder, tmp_path):
    """Encoders for sentence vectors come with a tokenizer.json that cuts sentences off and fills them up."""
    shutil.copytree(tiny_encoder, tmp_path / "encoder")
    file = tmp_path / "encoder" / "tokenizer.json"
    limited = Tokenizer.from_file(str(file))
    limited.enable_truncation(4)
    limited.enable_padding(pad_id=1, pad_token="<pad>")
    limited.save(str(file))
    words = ["unbelievably", "in", "Philadelphia"]
    loaded, reading = load_tokenizer(str(tmp_path / "encoder"))
    plain, expected = load_tokenizer(tiny_encoder)
    assert (reading.prefix, reading.suffix) == (expected.prefix, expected.suffix)
    assert cut(PieceCutter(loaded, UNKNOWN, 64), words) == cut(PieceCutter(plain, UNKNOWN, 64), words)


def test_words_of_white_space_however_long_are_white_space_and_no_others(tokenizer):
    words = [" " * 100_000, " " * 100_000 + "Ada", "\u3000", "\x1c"]
    assert [bool(pieces) for pieces in cut(PieceCutter(tokenizer, UNKNOWN, 64), words)] == [False, True, False, False]


def test_words_are_forgotten_rather_than_memory_filled(tokenizer, monkeypatch):
    monkeypatch.setattr("multiner.pieces.REMEMBERED_WORDS", 3)
    cutter = PieceCutter(tokenizer, UNKNOWN, 64)
    words = ["Ada", "in", "London", "Grace", "Hopper", "Ada"]
    for word in words:
        assert cut(cutter, [word]) == cut(PieceCutter(tokenizer, UNKNOWN, 64), [word])
        assert len(cutter._cuts) <= 3


def test_words_that_come_again_are_not_cut_anew(tokenizer, monkeypatch):
    monkeypatch.setattr("multiner.pieces.REMEMBERED_WORDS", 3)
    cutter = PieceCutter(tokenizer, UNKNOWN, 64)
    looked_up = []
    for turn in range(9):
        cutter([1, 100 + turn], lambda orth: looked_up.append(orth) or str(orth))
        assert len(cutter._cuts.keys() | cutter._earlier.keys()) <= 6
    assert looked_up.count(1) == 1
    assert len(looked_up) == 1 + 9


def test_more_words_at_once_than_are_remembered_are_cut_all_the_same(tokenizer, monkeypatch):
    words = ["Ada", "in", "London", "Grace", "Hopper", "Ada"]
    expected = cut(PieceCutter(tokenizer, UNKNOWN, 64), words)
    monkeypatch.setattr("multiner.pieces.REMEMBERED_WORDS", 3)
    cutter = PieceCutter(tokenizer, UNKNOWN, 64)
    assert cut(cutter, words) == cut(cutter, words) == expected
    cut(cutter, ["nobody"])
    assert len(cutter._cuts) <= 3
