"""A pipeline annotates sentences for the next one, as far as it is sure."""

import pytest
import spacy
from spacy.tokens import Doc

from multiner.docbins import read_docs, write_docs
from multiner.self_training import NoTeacher, Taken, Threshold, annotate_confidently, read_unlabelled
from multiner.sentences import MISSING, Sentence
from multiner.tags import Span, tags_from_spans

from .conftest import SENTENCES

LEARNT = [Sentence(words, [MISSING] * len(words), "en", "here", None) for words, _ in SENTENCES]
RIGHT = [tags_from_spans([Span(*entity) for entity in entities], len(words)) for words, entities in SENTENCES]
STRANGE = Sentence(["London", "Ada", "for", "knows", "Rand", "in"], [MISSING] * 6, "en", "here", None)


def test_sentences_that_a_pipeline_is_sure_of_get_its_entities(trained):
    taken = Taken()
    found = list(annotate_confidently(trained, LEARNT, Threshold(0.9, 0.9), taken))
    assert [sentence.tags for sentence in found] == RIGHT
    assert [sentence.words for sentence in found] == [words for words, _ in SENTENCES]
    assert (taken.read, taken.kept, taken.without_entity, taken.entities) == (4, 4, 1, 6)
    assert (taken.words, taken.unsaid) == (sum(len(words) for words, _ in SENTENCES), 0)


def test_one_doubtful_entity_leaves_the_sentence_out(trained):
    doc = next(trained.pipe([Doc(trained.vocab, words=STRANGE.words)]))
    least, most = min(doc.spans["ner"].attrs["scores"]), max(doc.spans["ner"].attrs["scores"])
    assert least < most
    taken = Taken()
    between = Threshold(float(least + most) / 2, 0.0)
    assert list(annotate_confidently(trained, [STRANGE, *LEARNT], between, taken)) != []
    assert (taken.read, taken.kept) == (5, 4)
    # With a threshold of nothing every sentence is kept, also this one.
    assert len(list(annotate_confidently(trained, [STRANGE], Threshold(0.0, 0.0), Taken()))) == 1


def test_words_that_might_be_in_an_entity_are_neither_in_one_nor_outside(trained, tmp_path):
    # Nothing is as sure as that: every word outside of entities is left open, and entities stay.
    taken = Taken()
    found = list(annotate_confidently(trained, LEARNT, Threshold(0.0, 1.1), taken))
    assert [sentence.tags for sentence in found] == [[MISSING if tag == "O" else tag for tag in tags] for tags in RIGHT]
    assert taken.unsaid == sum(tags.count("O") for tags in RIGHT)
    # Written and read by spaCy they are missing annotation, which teaches nothing.
    write_docs(found, tmp_path / "train.spacy")
    doc = next(read_docs(tmp_path / "train.spacy", trained.vocab))
    assert [token.ent_iob_ for token in doc] == ["B", "I", "", "", "B"]


def test_no_gold_annotation_is_read(tmp_path):
    gold = [Sentence(words, ["B-SECRET"] * len(words), "en", "here") for words, _ in SENTENCES]
    write_docs(gold, tmp_path / "gold.spacy")
    read = list(read_unlabelled(tmp_path / "gold.spacy"))
    assert [sentence.words for sentence in read] == [words for words, _ in SENTENCES]
    assert {tag for sentence in read for tag in sentence.tags} == {MISSING}


def test_whatever_tags_come_in_the_same_ones_come_out(trained):
    other = [sentence._replace(tags=["B-SECRET"] * len(sentence.words)) for sentence in LEARNT]
    threshold = Threshold(0.5, 0.5)
    assert list(annotate_confidently(trained, other, threshold, Taken())) == list(
        annotate_confidently(trained, LEARNT, threshold, Taken())
    )


def test_a_pipeline_without_confidences_is_no_teacher():
    with pytest.raises(NoTeacher, match="The pipeline \\(empty\\) has no component `multiner`"):
        list(annotate_confidently(spacy.blank("en"), LEARNT, Threshold(0.5, 0.5), Taken()))
