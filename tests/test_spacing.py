"""Blanks rebuilt between words."""

import re
from importlib import import_module

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st

from multiner import spacing
from multiner.columns import open_columns
from multiner.spacing import join_words, spaces_after

from .conftest import PROJECT

LANGUAGES = [None, "de", "en", "fi", "fr", "it", "nl", "ro", "th", "tr", "zh"]
RUNNING_TEXT = ["bn", "cs", "da", "de", "en", "es", "eu", "fi", "he", "hi", "hu", "it", "lt", "ml", "nb", "nl", "ro"]
RUNNING_TEXT += ["sv", "ta", "te", "ur", "yo", "zh"]
# Letters of several scripts, and all that has a rule.
WORDS = st.lists(st.text(min_size=1, max_size=4) | st.text("'’\"`„“”«»()[]-–/:;,.!?…%$#19sSaAé京ก", max_size=4))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        (None, "( a ) , b .|(a), b."),
        (None, "[ ... ] ja ?! ...|[...] ja?!..."),
        ("en", "see you :) ok ;-) no :( then :|see you :) ok ;-) no :( then:"),
        # Quotes: low-high, guillemets either way, those of another language, straight ones, the Treebank's, wikis'.
        ("de", "„ Kein Kommentar “ , sagte sie ( leise ) .|„Kein Kommentar“, sagte sie (leise)."),
        ("de", "» Ja « , rief er .|»Ja«, rief er."),
        ("de", "« Ja » , rief er .|«Ja», rief er."),
        ("pl", "„ Tak ” i „ nie “ .|„Tak” i „nie“."),
        ("ru", "« Да » и „ нет “ .|«Да» и „нет“."),
        ("sv", "” Ja ” och » nej » sade hon|”Ja” och »nej» sade hon"),
        ("it", "« Sì » , disse .|«Sì», disse."),
        ("en", 'She said " no , I ca n\'t " and left .|She said "no, I can\'t" and left.'),
        ("en", "`` No , '' he said , `` no ''|``No,'' he said, ``no''"),
        ("en", "' '' Korea '' ' - '' Seoul ''|'''Korea''' - ''Seoul''"),
        ("it", 'il " " lama " " , poi|il ""lama"", poi'),
        ("en", "&quot; Fire &quot; , he said , &quot; go &quot; !|&quot;Fire&quot;, he said, &quot;go&quot;!"),
        ("de", "die ''Fledermaus '' von '' Strauß ''|die ''Fledermaus'' von ''Strauß''"),
        # An apostrophe as a quotation mark, of a plural, of a lost letter, of years.
        ("en", "It means ' person ' or ' people '|It means 'person' or 'people'"),
        ("en", "the members ' votes and the players ' rights|the members' votes and the players' rights"),
        ("en", "\" Singin ' the Blues \" in ' 98|\"Singin' the Blues\" in '98"),
        ("fr", "Conan O ' Brien et McDonald' s|Conan O'Brien et McDonald's"),
        ("it", "a mo ' di balcone , anni ' 60 , al 27 ' il gol|a mo' di balcone, anni '60, al 27' il gol"),
        ("de", "Davis ’ Alben , Val-d ’ Oise|Davis’ Alben, Val-d’Oise"),
        # Clitics, elisions and what tokenizers cut in two.
        ("en", "Nora 's , they ’ll , we 're|Nora's, they’ll, we're"),
        ("nl", "hij is 's avonds thuis|hij is 's avonds thuis"),
        ("en", "I can not , gon na , wan na , in the 1930 s|I cannot, gonna, wanna, in the 1930s"),
        ("fr", "L' Italie ? « Oui » , dit -elle à celui -ci !|L'Italie ? « Oui », dit-elle à celui-ci !"),
        ("it", "l' Università dell' Aquila è un po' lontana .|l'Università dell'Aquila è un po' lontana."),
        ("ro", "s- a , l- am , dă -mi|s-a, l-am, dă-mi"),
        ("tr", "Ankara 'da % 50|Ankara'da %50"),
        # Marks with a blank before them in French, but not between two of them.
        ("fr", "Quoi ? ! !|Quoi ?!!"),
        ("fr", "un ; deux : « trois » ... !|un ; deux : « trois »...!"),
        # Signs of numbers.
        ("en", "Nora 's price : £ 5 , 50 %|Nora's price: £5, 50%"),
        ("en", "# 3 , 5 °C , 90 ° , € 2|#3, 5 °C, 90°, €2"),
        ("de", "50 % , 59 $ 179 , 5 €|50 %, 59 $ 179, 5 €"),
        ("de", "mit 27 : 17 , 1990 : 12|mit 27:17, 1990: 12"),
        # Dashes and slashes.
        ("de", "1990 – 1995 – in Köln - Deutz|1990–1995 – in Köln - Deutz"),
        ("de", "ein 3:0 - Sieg in Haupt - und Nebenrollen|ein 3:0-Sieg in Haupt- und Nebenrollen"),
        ("de", "2016 - Bonn , D1 - FC|2016 - Bonn, D1 - FC"),
        (
            "en",
            "an 18-year - old , a 3.7 - inch gun in 2004 - no|an 18-year-old, a 3.7-inch gun in 2004 - no",
        ),
        ("de", "2011 / 12 , km / h , Anna Hahn / Otto Ruf|2011/12, km/h, Anna Hahn / Otto Ruf"),
        # Scripts without blanks, and marks of others.
        ("zh", "我 在 北京 。|我在北京。"),
        ("ja", "東京 で Windows Server 2019 、 iPhone 5|東京でWindows Server 2019、iPhone 5"),
        ("zh-yue", "R O M 喺 香 港 ， Smith , John|ROM喺香港，Smith, John"),
        ("th", "ผม ใช้ Google Maps ทุก วัน|ผมใช้Google Mapsทุกวัน"),
        ("en", "In 2013 ， Song|In 2013，Song"),
        ("es", "¿ Qué ? ¡ No !|¿Qué? ¡No!"),
        ("ar", "نعم ، أين ؟|نعم، أين؟"),
        ("hi", "यह घर है ।|यह घर है।"),
    ],
)
def test_each_language_is_written_by_its_own_rules(language, text):
    words, expected = text.split("|")
    assert join_words(words.split(" "), language) == expected


@pytest.mark.parametrize("language", RUNNING_TEXT)
def test_running_text_is_rebuilt_from_the_words_of_it(language):
    """The example sentences of spaCy, in which words hold what the language's tokenizer leaves together."""
    tokenizer = spacy.blank(language).tokenizer
    for text in import_module(f"spacy.lang.{language}.examples").sentences:
        words = [token.text for token in tokenizer(text) if not token.is_space]
        assert join_words(words, language) == " ".join(text.split())


def test_no_blank_follows_the_last_word():
    assert spaces_after(["a", "b"], "en") == [True, False]
    assert spaces_after([], "en") == []


@given(WORDS, st.sampled_from(LANGUAGES))
def test_any_words_are_joined_and_nothing_is_added_but_blanks(words, language):
    spaces = spaces_after(words, language)
    assert len(spaces) == len(words) and not any(spaces[-1:])
    text = join_words(words, language)
    assert text.replace(" ", "") == "".join(words).replace(" ", "")
    assert len(text) == len("".join(words)) + sum(spaces)


@given(WORDS, st.sampled_from(LANGUAGES))
def test_what_was_joined_before_changes_nothing(words, language):
    remembered = spaces_after(words, language)
    spacing._typography.cache_clear()
    assert spaces_after(words, language) == remembered


def test_no_more_words_are_remembered_than_allowed(monkeypatch):
    monkeypatch.setattr(spacing, "REMEMBERED_WORDS", 3)
    spacing._typography.cache_clear()
    assert join_words(["a", "b", ",", "c", ",", "d", "e", ","], "en") == "a b, c, d e,"
    assert len(spacing._typography("en").rules) <= 3


@pytest.mark.parametrize("language", ["de", "fr", "it", "en"])
def test_the_sample_reads_like_running_text(language):
    lines = [
        join_words(sentence.words, language)
        for sentence in open_columns(PROJECT / f"corpus/sample/{language}/train.conll").sentences()
    ]
    assert not [line for line in lines if re.search(r"\w ,|\( | \)|„ |\bl' ", line)]
