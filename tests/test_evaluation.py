"""Scores that can be believed."""

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc, Span

from multiner.evaluation import evaluate, evaluate_files, raw_text_scores, seqeval_scores, spacy_scores

from .conftest import SENTENCES, make_doc

NLP = spacy.blank("en")


def doc_of(tags: list[str]) -> Doc:
    """A document whose entities are those of some legal IOB2 tags."""
    from multiner.tags import spans_from_tags

    doc = Doc(NLP.vocab, words=[f"w{index}" for index in range(len(tags))])
    doc.set_ents([Span(doc, start, end, label=label) for start, end, label in spans_from_tags(tags)])
    return doc


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Doc, Doc]:
    """Two annotations of the same words."""
    count = draw(st.integers(1, 8))
    result = []
    for _ in range(2):
        tags: list[str] = []
        while len(tags) < count:
            label = draw(st.sampled_from(["", "PER", "LOC"]))
            length = draw(st.integers(1, 3))
            tags += [f"B-{label}"] + [f"I-{label}"] * (length - 1) if label else ["O"]
        result.append(doc_of(tags[:count]))
    return result[0], result[1]


@given(st.lists(pairs(), min_size=1, max_size=5))
def test_strict_scores_equal_those_of_spacy(documents):
    gold, predicted = [pair[0] for pair in documents], [pair[1] for pair in documents]
    strict = seqeval_scores(gold, predicted, "strict")["micro"]
    own = spacy_scores(gold, predicted)
    if any(doc.ents for doc in gold) and any(doc.ents for doc in predicted):
        assert (strict["precision"], strict["recall"], strict["f1"]) == pytest.approx(
            (own["ents_p"], own["ents_r"], own["ents_f"])
        )


def test_the_example_of_the_literature_is_scored_as_there():
    """MISC 0 of 1, PER 1 of 1: micro F1 .50."""
    gold = [doc_of(["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"]), doc_of(["B-PER", "I-PER", "O"])]
    predicted = [doc_of(["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"]), doc_of(["B-PER", "I-PER", "O"])]
    for mode in ("default", "strict"):
        scores = seqeval_scores(gold, predicted, mode)
        assert scores["micro"]["f1"] == 0.5
        assert scores["per_type"]["MISC"]["f1"] == 0.0 and scores["per_type"]["PER"]["f1"] == 1.0
        assert scores["micro"]["support"] == 2


def test_raw_text_is_scored_by_characters():
    gold = Doc(NLP.vocab, words=["l'", "Italie", "."], spaces=[False, False, False])
    gold.set_ents([Span(gold, 1, 2, label="LOC")])
    glued = Doc(NLP.vocab, words=["l'Italie", "."], spaces=[False, False])
    glued.set_ents([Span(glued, 0, 1, label="LOC")])
    assert raw_text_scores([gold], [gold])["f1"] == 1.0
    assert raw_text_scores([gold], [glued])["f1"] == 0.0


def test_a_corpus_without_entities_can_be_scored():
    report = seqeval_scores([doc_of(["O", "O"])], [doc_of(["O", "O"])], "strict")
    assert report["micro"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}


def test_a_pipeline_is_scored_in_every_way_and_by_language(trained):
    gold = []
    for number, (words, entities) in enumerate(SENTENCES):
        doc = make_doc(trained, words, entities)
        doc.user_data["language"] = "en" if number % 2 else "de"
        gold.append(doc)
    report = evaluate(trained, gold)
    assert report["strict"]["micro"]["f1"] == report["spacy"]["ents_f"] == report["default"]["micro"]["f1"] == 1.0
    assert report["raw_text"]["f1"] == 1.0
    assert {language: row["docs"] for language, row in report["by_language"].items()} == {"de": 2, "en": 2}
    assert report["strict"]["micro"]["support"] == 6
    assert report["machine"]["cores"] >= 1


def test_a_model_that_is_nowhere_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no pipeline 'nothing_here' that can be loaded"):
        evaluate_files("nothing_here", tmp_path)
