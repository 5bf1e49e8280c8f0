"""Words found again in text that was made of them."""

import json

import pytest
import spacy
from typer.testing import CliRunner

from multiner.rejoining import TokenizerError, found_again, language_tokenizers, rejoin

from .conftest import PROJECT

# spaCy's English tokenizer cuts `Smith-Jones` in three wherever it stands.
SENTENCES = [["Ann", "Smith-Jones", "won", "(", "twice", ")", "."], ["In", "2011", "/", "12", "."]]


@pytest.fixture(scope="module")
def english():
    return spacy.blank("en").tokenizer


def test_a_word_is_found_where_a_token_begins_and_ends_with_it(english):
    words = ["Ann", "Smith-Jones", "slept", "."]
    assert found_again(words, [True] * 4, english) == [True, False, True, True]
    assert found_again(words, [True, True, False, False], english) == [True, False, True, True]
    assert found_again(["a", "b", "c"], [False, True, False], english) == [False, False, True]
    assert found_again([], [], english) == []


def test_words_and_sentences_are_counted_in_both_texts(english):
    counts = rejoin(SENTENCES, "en", english)
    assert (counts.words, counts.sentences) == (12, 2)
    assert (counts.blank.words, counts.blank.sentences) == (11, 1)
    # `2011/12` is one token for spaCy.
    assert (counts.rebuilt.words, counts.rebuilt.sentences) == (8, 0)
    assert counts.lost == {"2011": 1, "/": 1, "12": 1}
    report = counts.report()
    assert report["share_blank"] == pytest.approx(11 / 12, abs=1e-6)
    assert report["share_rebuilt"] == pytest.approx(8 / 12, abs=1e-6)
    assert (report["sentence_share_blank"], report["sentence_share_rebuilt"]) == (0.5, 0.0)
    json.dumps(report)


def test_nothing_has_no_share(english):
    assert rejoin([], "en", english).report()["share_rebuilt"] is None


def test_a_language_without_a_tokenizer_is_one_plain_sentence():
    with pytest.raises(TokenizerError, match="spaCy has no tokenizer for 'qq' here"):
        language_tokenizers("qq")


def test_the_command_measures_several_corpora(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(PROJECT / "scripts")
    from benchmark import app

    corpora = [f"{language}={PROJECT}/corpus/sample/{language}/dev.conll" for language in ("de", "fr")]
    result = CliRunner().invoke(app, ["spacing", *corpora, "--output", str(tmp_path / "spacing.json")])
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "spacing.json").read_text(encoding="utf8"))
    assert [(row["language"], row["tokenizer"]) for row in content["corpora"]] == [
        ("de", "spacy"),
        ("de", "multilingual"),
        ("fr", "spacy"),
        ("fr", "multilingual"),
    ]
    assert all(0.9 < row["share_rebuilt"] <= 1 for row in content["corpora"])
    assert CliRunner().invoke(app, ["spacing", "de"]).exit_code == 2
