"""Blanks rebuilt between words."""

import re

import pytest

from multiner.columns import open_columns
from multiner.spacing import join_words, spaces_after

from .conftest import PROJECT


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("de", "„ Kein Kommentar “ , sagte sie ( leise ) .|„Kein Kommentar“, sagte sie (leise)."),
        ("de", "» Ja « , rief er .|»Ja«, rief er."),
        ("fr", "L' Italie ? « Oui » , dit -elle !|L'Italie ? « Oui », dit -elle !"),
        ("fr", "Quoi ? ! !|Quoi ?!!"),
        ("it", "l' Università dell' Aquila è un po' lontana .|l'Università dell'Aquila è un po' lontana."),
        ("it", "« Sì » , disse .|«Sì», disse."),
        ("en", 'She said " no , I ca n\'t " and left .|She said "no, I can\'t" and left.'),
        ("en", "Nora 's price : £ 5 , 50 %|Nora's price: £ 5, 50%"),
        ("zh", "我 在 北京 。|我在北京。"),
        (None, "( a ) , b .|(a), b."),
    ],
)
def test_each_language_is_written_by_its_own_rules(language, text):
    words, expected = text.split("|")
    assert join_words(words.split(" "), language) == expected


def test_no_blank_follows_the_last_word():
    assert spaces_after(["a", "b"], "en") == [True, False]
    assert spaces_after([], "en") == []


@pytest.mark.parametrize("language", ["de", "fr", "it", "en"])
def test_the_sample_reads_like_running_text(language):
    lines = [
        join_words(sentence.words, language)
        for sentence in open_columns(PROJECT / f"corpus/sample/{language}/train.conll").sentences()
    ]
    assert not [line for line in lines if re.search(r"\w ,|\( | \)|„ |\bl' ", line)]
