"""Texts to measure with: the same ones in every run."""

from collections import Counter

from multiner.benchmark_texts import made_up_texts, shuffled_texts, texts_of


def test_texts_that_are_made_up_have_many_different_words():
    texts = list(made_up_texts(1000))
    assert texts == list(made_up_texts(1000)) and texts != list(made_up_texts(1000, seed=1))
    words = " ".join(texts).lower().split()
    assert len(words) == 9000
    assert 3000 < len(set(words)) < 7000


def test_texts_have_blanks_where_people_write_them(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text("Ada B-PER\nlives O\nin O\nLondon B-LOC\n. O\n\nnobody O\nknows O\n")
    assert texts_of([path]) == ["Ada lives in London.", "nobody knows"]


def test_texts_come_in_an_order_by_chance_and_again_when_there_are_too_few():
    texts = [f"text {number}" for number in range(20)]
    stream = list(shuffled_texts(texts, 50))
    assert stream == list(shuffled_texts(texts, 50)) and stream != list(shuffled_texts(texts, 50, seed=1))
    first, second, rest = stream[:20], stream[20:40], stream[40:]
    assert sorted(first) == sorted(second) == sorted(texts) and len({*map(tuple, (first, second, texts))}) == 3
    assert len(rest) == 10 and max(Counter(rest).values()) == 1
    assert len(list(shuffled_texts(texts, 3))) == 3
