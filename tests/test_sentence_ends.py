"""Where sentences end; and documents of several, each of which is read by itself if that is how the pipeline learnt."""

import itertools
import json
import shutil

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from multiner.manifest import ModelFilesError, write_manifest
from multiner.sentence_ends import sentence_ends
from multiner.windows import plan_sentences, plan_windows

from .conftest import SENTENCES, run_script, write_corpus
from .test_pipe import predict_scores

ADA = SENTENCES[0][0]
# Words between blanks; where a sentence ends and another one follows there is a bar.
TEXTS = [
    "Sie wohnt in Chur . | Er nicht !",
    "Why ? | Because . | No !!! | Yes … | Well ... | Then ? ! | So",
    "Dr . Meier kam am 3 . Oktober nach St . Gallen . | Es war 1998 . | Dann ging er .",
    "J . Tolkien lebte im 19 . Jahrhundert . | Das weiss man .",
    'Er sagte : " Komm ! " | Dann ging er ( nach Bern . ) | Und sie blieb .',
    "« Oui ! » dit-il . | Jamais . » | ¿ Qué ? | — Nada .",
    "Der Preis ( 5 Fr . ) war , wie er sagt ! , hoch . | 3 kamen .",
    "er kam ... und ging . \n | Fertig",
    "A title \n\n | A text \n over two lines . \n\n | And more . \r\n\r\n | End",
    "他 住 在 北京 。 | 她 住 在 上海 ！",
    "वह दिल्ली में रहता है । | वह नहीं ।",
    "Nothing at the end",
]
MARKS = [".", "...", "!", "?", "“", "»", ")", "(", ",", "-", "\n", "\n\n"]
WORDS = st.sampled_from(["Ada", "Rom", "St", "3", "1998", "lebt", *MARKS])


@pytest.mark.parametrize("text", TEXTS)
def test_marks_and_empty_lines_end_sentences_but_for_abbreviations_and_ordinals(text):
    sentences = [sentence.split(" ") for sentence in text.split(" | ")]
    doc = Doc(spacy.blank("xx").vocab, words=[word for sentence in sentences for word in sentence])
    assert np.flatnonzero(sentence_ends(doc)).tolist() == (np.cumsum([len(words) for words in sentences]) - 1).tolist()


@given(st.lists(WORDS, max_size=40), st.data())
def test_a_part_of_a_document_has_the_ends_that_it_has_in_the_whole(words, data):
    doc = Doc(spacy.blank("xx").vocab, words=words)
    start = data.draw(st.integers(0, len(words)))
    end = data.draw(st.integers(start, len(words)))
    whole, part = sentence_ends(doc)[start:end], sentence_ends(doc, start, end)
    assert len(part) == end - start
    # What ends at the border of the part shows in the words behind it.
    sure = max((word for word in range(end - start) if doc[start + word].is_alpha), default=0)
    assert part[:sure].tolist() == whole[:sure].tolist()


def test_a_pipeline_that_knows_the_sentences_is_believed():
    starts = [True, False, False, True, False, False, False]
    doc = Doc(spacy.blank("xx").vocab, words=["Rom", ".", "Ulm", "lebt", ".", "Bern", "lebt"], sent_starts=starts)
    assert sentence_ends(doc).tolist() == [False, False, True, False, False, False, True]
    assert sentence_ends(doc, 1, 3).tolist() == [False, True]
    assert sentence_ends(doc, 3, 6).tolist() == [False, False, False]


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=120))
def test_sentences_are_windows_of_their_own_and_only_long_ones_have_several(words):
    counts, ends = np.array([count for count, _ in words], np.int64), np.array([end for _, end in words], bool)
    windows = plan_sentences(counts, ends, capacity=20, overlap=6)
    kept = [word for window in windows for word in range(window.keep_start, window.keep_end)]
    assert kept == list(range(len(words)))
    borders = [0, *(np.flatnonzero(ends[:-1]) + 1).tolist(), len(words)] if words else []
    for start, end in itertools.pairwise(borders):
        own = [tuple(window) for window in windows if start <= window.keep_start < end]
        planned = plan_windows(counts[start:end], capacity=20, overlap=6)
        assert own == [tuple(start + word for word in window) for window in planned]


def learnt_from(encoder: str, words: list[list[str]], by_sentence: bool | None = None) -> Language:
    """A pipeline that begins to learn from such documents."""
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("multiner", name="ner", config={"model": {"by_sentence": by_sentence}})
    examples = [Example(Doc(nlp.vocab, words=some), Doc(nlp.vocab, words=some)) for some in words]
    pipe.initialize(lambda: examples, nlp=nlp, encoder=encoder, labels=["PER"])
    return nlp


def reads_by_sentence(nlp: Language) -> bool:
    """Whether the scores of two sentences are those that each has by itself."""
    together = predict_scores(nlp, [*ADA, ".", *ADA])
    alone = np.concatenate([predict_scores(nlp, [*ADA, "."]), predict_scores(nlp, ADA)])
    return np.allclose(together, alone, atol=1e-4)


def test_who_has_learnt_from_single_sentences_reads_each_by_itself(tiny_encoder, tmp_path):
    single, several = [*ADA, "."], [*ADA, ".", *ADA]
    for documents, expected in (
        ([single] * 9 + [several], True),
        ([single] * 7 + [several] * 3, False),
        ([several], False),
    ):
        nlp = learnt_from(tiny_encoder, documents)
        assert reads_by_sentence(nlp) == expected
        nlp.to_disk(tmp_path)
        assert reads_by_sentence(spacy.load(tmp_path)) == expected
        other = spacy.load(tmp_path, config={"components.ner.model.by_sentence": not expected})
        assert reads_by_sentence(other) != expected
        assert reads_by_sentence(learnt_from(tiny_encoder, documents, not expected)) != expected


def test_who_has_learnt_from_short_documents_reads_longer_ones_by_sentence(tiny_encoder):
    # One that is far longer than the others is none to go by.
    documents = [[*ADA, ".", *ADA]] * 200 + [[*ADA, "."] * 50]
    nlp = learnt_from(tiny_encoder, documents)
    assert not reads_by_sentence(nlp)
    longer = predict_scores(nlp, [*ADA, ".", *ADA, ".", *ADA])
    np.testing.assert_allclose(longer[-len(ADA) :], predict_scores(nlp, ADA), atol=1e-4)


def test_entities_of_several_sentences_are_those_of_each(trained):
    starts = [word == 0 for words, _ in SENTENCES for word in range(len(words))]
    doc = Doc(trained.vocab, words=[word for words, _ in SENTENCES for word in words], sent_starts=starts)
    expected, begin = [], 0
    for words, entities in SENTENCES:
        expected += [(begin + start, begin + end, label) for start, end, label in entities]
        begin += len(words)
    assert [(entity.start, entity.end, entity.label_) for entity in trained.get_pipe("ner")(doc).ents] == expected


def test_a_pipeline_that_was_saved_before_there_was_a_choice_reads_documents_as_a_whole(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "old")
    path = tmp_path / "old" / "ner" / "model" / "reading.json"
    reading = json.loads(path.read_text())
    assert reading.pop("whole_words") == 0
    path.write_text(json.dumps(reading))
    write_manifest(tmp_path / "old" / "ner")
    assert reads_by_sentence(spacy.load(saved))
    assert not reads_by_sentence(spacy.load(tmp_path / "old"))
    path.write_text(json.dumps({**reading, "whole_words": "none"}))
    write_manifest(tmp_path / "old" / "ner")
    with pytest.raises(ModelFilesError, match=r"reading\.json is damaged"):
        spacy.load(tmp_path / "old")


def test_documents_are_scored_in_both_ways(saved, tmp_path):
    corpus = write_corpus(tmp_path, SENTENCES)["paths.dev"]
    arguments = ["--words", "1", "--words", "12", "--output", tmp_path / "out.json"]
    ran = run_script("scripts/benchmark.py", "documents", saved, corpus, *arguments)
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    ways = [(row["words_of_a_document"], row["by_sentence"]) for row in rows]
    assert ways == [(1, False), (1, True), (12, False), (12, True)]
    assert [row["mean_f1"] for row in rows[:2]] == [1.0, 1.0]
    assert all(row["words_per_second"] > 0 for row in rows)
    assert "by sentence" in ran.stdout
