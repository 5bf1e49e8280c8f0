"""Scores that can be believed."""

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from nervaluate import Evaluator
from seqeval.metrics import classification_report
from seqeval.scheme import IOB2
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span

from multiner.evaluation import (
    SCHEMES,
    account,
    evaluate,
    evaluate_files,
    nervaluate_scores,
    seen_forms,
    seqeval_scores,
    spacy_scores,
)
from multiner.matching import KINDS, count_matches, macro_f1, match, precision_recall_f1
from multiner.predictions import WordsChanged, predict
from multiner.report_tables import score_tables
from multiner.tags import spans_from_tags

from .conftest import SENTENCES, make_doc

NLP = spacy.blank("en")
LABELS = ["LOC", "PER"]


def doc_of(tags: list[str], nlp: Language = NLP) -> Doc:
    """A document whose entities are those of some legal IOB2 tags."""
    return make_doc(nlp, [f"w{index}" for index in range(len(tags))], spans_from_tags(tags))


@st.composite
def tags(draw: st.DrawFn, count: int) -> list[str]:
    result: list[str] = []
    while len(result) < count:
        label = draw(st.sampled_from(["", *LABELS]))
        length = draw(st.integers(1, 3))
        result += [f"B-{label}"] + [f"I-{label}"] * (length - 1) if label else ["O"]
    return result[:count]


@st.composite
def pairs(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Two annotations of the same words."""
    count = draw(st.integers(1, 9))
    return draw(tags(count)), draw(tags(count))


corpora = st.lists(pairs(), min_size=1, max_size=6)


def ruler(*patterns: tuple[str, str]) -> Language:
    """A pipeline that finds some words, without any network."""
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": label, "pattern": words} for words, label in patterns])
    return nlp


@given(corpora)
def test_counts_give_the_scores_of_seqeval_and_of_spacy(documents):
    gold, predicted = [pair[0] for pair in documents], [pair[1] for pair in documents]
    sides = [list(map(spans_from_tags, side)) for side in (gold, predicted)]
    counts = count_matches(match(*sides), len(documents))
    for mode, options in (("default", {}), ("strict", {"mode": "strict", "scheme": IOB2})):
        ours = seqeval_scores(*sides, gold, mode)
        assert [row["support"] for row in ours["per_type"].values()] == counts.totals[:, 2].tolist()
        if not counts.labels:
            continue
        theirs = classification_report(gold, predicted, output_dict=True, zero_division=0, **options)
        for label, row in zip(counts.labels, precision_recall_f1(counts.totals), strict=True):
            assert list(row) == pytest.approx([theirs[label][key] for key in ("precision", "recall", "f1-score")])
        assert macro_f1(counts.totals) == pytest.approx(theirs["macro avg"]["f1-score"])
        assert ours["micro"]["f1"] == pytest.approx(precision_recall_f1(counts.totals.sum(axis=0))[2])
    docs = [list(map(doc_of, side)) for side in (gold, predicted)]
    if all(any(doc.ents for doc in side) for side in docs):
        spacy_own = spacy_scores(*docs)
        micro = precision_recall_f1(counts.totals.sum(axis=0))
        assert [spacy_own[key] for key in ("ents_p", "ents_r", "ents_f")] == pytest.approx(list(micro))


@given(corpora)
def test_what_is_nearly_right_is_counted_as_nervaluate_counts_tags(documents):
    gold, predicted = [pair[0] for pair in documents], [pair[1] for pair in documents]
    sides = [list(map(spans_from_tags, side)) for side in (gold, predicted)]
    ours = nervaluate_scores(*sides, LABELS)
    theirs = Evaluator(gold, predicted, tags=LABELS, loader="list").evaluate()["overall"]
    matches = match(*sides)
    for name, way in SCHEMES.items():
        if ours:
            assert ours[way]["f1"] == pytest.approx(theirs[name].f1)
            assert ours[way]["missed"] == theirs[name].missed
        else:
            assert theirs[name].actual == theirs[name].possible == 0
    if ours:
        strict, blind = count_matches(matches, len(gold)), count_matches(matches, len(gold), borders_only=True)
        assert ours["strict"]["f1"] == pytest.approx(precision_recall_f1(strict.totals.sum(axis=0))[2])
        assert ours["exact"]["f1"] == pytest.approx(precision_recall_f1(blind.totals[0])[2])


@given(corpora)
def test_every_entity_is_in_exactly_one_match(documents):
    sides = [[spans_from_tags(pair[side]) for pair in documents] for side in (0, 1)]
    matches = match(*sides)
    for number in range(len(documents)):
        own = [each for each in matches if each.sentence == number]
        for side, found in zip(sides, zip(*[(each.gold, each.predicted) for each in own], strict=True), strict=False):
            assert sorted(span for span in found if span) == side[number]
    for _, gold, predicted, kind in matches:
        assert (kind == "right") == (gold == predicted)
        assert (kind == "type") == bool(gold and predicted and gold[:2] == predicted[:2] and gold != predicted)


def test_the_example_of_the_literature_is_scored_as_there():
    """MISC 0 of 1, PER 1 of 1: micro F1 .50."""
    gold = [["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    predicted = [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    sides = [list(map(spans_from_tags, side)) for side in (gold, predicted)]
    for mode in ("default", "strict"):
        scores = seqeval_scores(*sides, gold, mode)
        assert scores["micro"]["f1"] == 0.5
        assert scores["per_type"]["MISC"]["f1"] == 0.0 and scores["per_type"]["PER"]["f1"] == 1.0
        assert scores["micro"]["support"] == 2
    near = nervaluate_scores(*sides, ["MISC", "PER"])
    assert [near[way]["f1"] for way in ("strict", "exact", "partial", "type")] == [0.5, 0.5, 0.75, 1.0]
    assert [each.kind for each in match(*sides)] == ["borders", "right"]


def test_each_kind_of_error_has_its_name():
    gold = ["B-A", "O", "B-A", "I-A", "O", "B-A", "I-A", "O", "B-A", "O", "O"]
    predicted = ["B-B", "O", "B-A", "O", "O", "O", "B-B", "O", "O", "O", "B-A"]
    found = match([spans_from_tags(gold)], [spans_from_tags(predicted)])
    assert [each.kind for each in found] == ["type", "borders", "both", "missed", "spurious"]
    assert set(KINDS) == {"right", *(each.kind for each in found)}


def test_of_two_answers_the_one_with_more_common_words_counts():
    gold = ["B-A", "I-A", "I-A", "I-A"]
    predicted = ["B-A", "B-A", "I-A", "I-A"]
    (borders, spurious) = match([spans_from_tags(gold)], [spans_from_tags(predicted)])
    assert (borders.kind, borders.predicted.start, spurious.kind) == ("borders", 1, "spurious")


def test_raw_text_is_scored_by_characters_and_what_cannot_be_found_is_listed_with_the_reason():
    gold = Doc(NLP.vocab, words=["l'", "Italie", "Rome", "Bern"], spaces=[False, True, True, False])
    gold.set_ents([Span(gold, 1, 2, label="LOC"), Span(gold, 2, 3, label="LOC"), Span(gold, 3, 4, label="CITY")])
    nlp = ruler(("Italie", "LOC"), ("Rome", "LOC"))
    nlp.tokenizer = lambda text: Doc(nlp.vocab, words=text.split())
    report = evaluate(nlp, [gold])
    # The corpus has "l'" as a word of its own, so there Italie is found.
    assert report["strict"]["micro"]["true_positives"] == 2
    assert report["raw_text"] == report["raw_text"] | {"true_positives": 1, "false_positives": 0, "support": 3}
    lost = report["unreachable"]
    assert (lost["entities"], lost["of"]) == (2, 3)
    assert lost["reasons"] == {"it starts inside a word of the pipeline": 1, "the pipeline has no such type": 1}
    assert lost["examples"][0]["pipeline_words"] == ["l'Italie"]


def test_words_without_annotation_are_scored_as_outside_and_counted():
    gold = Doc(NLP.vocab, words=["Bern", "or", "Rome"], ents=["B-LOC", "", ""])
    report = evaluate(ruler(("Bern", "LOC"), ("Rome", "LOC")), [gold])
    assert report["words_without_annotation"] == 2
    assert report["strict"]["micro"]["false_positives"] == 1
    [table] = [table for table in score_tables(report) if table.title == "In one number"]
    assert table.rows[-1] == ("Words without annotation, scored as O", "2", "-")


def test_a_corpus_without_entities_can_be_scored():
    report = evaluate(ruler(("nothing", "LOC")), [doc_of(["O", "O"])])
    assert report["strict"]["micro"]["f1"] == 0.0 and report["nervaluate"] == {}
    assert report["intervals"]["scores"]["micro_f1"] == (0.0, 0.0)
    assert report["word_accuracy"] == 1.0
    assert evaluate(ruler(("nothing", "LOC")), [])["word_accuracy"] is None


def test_a_pipeline_is_scored_in_every_way_and_by_language(trained):
    gold = []
    for number, (words, entities) in enumerate(SENTENCES):
        doc = make_doc(trained, words, entities)
        doc.user_data["language"] = "en" if number % 2 else "de"
        gold.append(doc)
    report = evaluate(trained, gold, seen={"london"})
    assert report["strict"]["micro"]["f1"] == report["spacy"]["ents_f"] == report["default"]["micro"]["f1"] == 1.0
    assert report["raw_text"]["f1"] == report["type_blind"]["f1"] == report["word_accuracy"] == 1.0
    assert {language: row["docs"] for language, row in report["by_language"].items()} == {"de": 2, "en": 2}
    assert report["strict"]["micro"]["support"] == 6
    assert report["strict"]["per_type"]["LOC"]["true_positives"] == 2
    assert report["intervals"]["scores"]["micro_f1"][1] == 1.0
    assert sum(row["entities"] for row in report["calibration"]) == 6
    assert (report["seen"]["seen"]["entities"], report["seen"]["unseen"]["recall"]) == (1, 1.0)
    assert report["machine"]["cores"] >= 1


def test_seen_entities_are_known_by_their_words_whatever_their_case_and_type():
    train = [make_doc(NLP, ["NEW", "york", "is", "old"], [(0, 2, "ORG")])]
    gold = [make_doc(NLP, ["New", "York", "and", "Bern"], [(0, 2, "LOC"), (3, 4, "LOC")])]
    report = account(predict(ruler(("New York", "LOC")), gold), seen=seen_forms(train))
    assert report["seen"]["seen"] == {"entities": 1, "found": 1, "recall": 1.0}
    assert report["seen"]["unseen"] == {"entities": 1, "found": 0, "recall": 0.0}


def test_scores_by_length_add_up_to_all():
    gold = [make_doc(NLP, ["New", "York", "and", "Bern"], [(0, 2, "LOC"), (3, 4, "LOC")]), make_doc(NLP, ["x"] * 7, [])]
    report = evaluate(ruler(("York", "LOC"), ("x", "LOC")), gold)
    lengths = report["by_entity_length"]
    assert [lengths[name]["support"] for name in ("1", "2", "5+")] == [1, 1, 0]
    assert lengths["1"]["false_positives"] == 8 and lengths["2"]["false_negatives"] == 1
    sentences = report["by_sentence_length"]
    assert [(row["docs"], row["support"]) for row in sentences.values()] == [(1, 2), (1, 0), (0, 0), (0, 0), (0, 0)]
    assert sum(row["false_positives"] for row in sentences.values()) == 8
    assert {kind: count for kind, count in report["errors"]["kinds"].items() if count} == {
        "borders": 1,
        "missed": 1,
        "spurious": 7,
    }
    assert report["errors"]["confusion"]["LOC"] == {"LOC": 1, "missed": 1}


def test_one_prediction_serves_gold_words_and_texts_that_are_cut_alike(trained):
    gold = [make_doc(trained, *SENTENCES[0]), make_doc(trained, ["Alan's", "x-ray"], [])]
    predictions = predict(trained, gold)
    assert predictions.raw[0] is predictions.predicted[0]
    assert [token.text for token in predictions.raw[1]] == [token.text for token in trained("Alan's x-ray ")]
    expected = trained.get_pipe("ner").tag_scores(gold)
    for ours, theirs in zip(predictions.scores, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_words_that_are_joined_on_the_way_are_refused(trained):
    nlp = ruler(("Ada Lovelace", "PER"))
    nlp.add_pipe("merge_entities")
    with pytest.raises(WordsChanged, match="Of the 5 words of 'Ada Lovelace lives in London.*merge_entities"):
        predict(nlp, [make_doc(nlp, *SENTENCES[0])])


def test_the_seed_decides_the_intervals():
    gold = [doc_of(["B-LOC"]), doc_of(["B-LOC", "O"]), doc_of(["O"])] * 5
    predictions = predict(ruler(("w1", "LOC"), ("w0", "LOC")), gold)
    one, same, other = (account(predictions, resamples=200, seed=seed)["intervals"] for seed in (1, 1, 2))
    assert one == same and one["scores"] != other["scores"]


def test_a_corpus_and_a_training_corpus_are_read_from_files(saved, tmp_path):
    nlp = spacy.load(saved)
    for name in ("train", "test"):
        DocBin(docs=[make_doc(nlp, *sentence) for sentence in SENTENCES]).to_disk(tmp_path / f"{name}.spacy")
    report = evaluate_files(str(saved), tmp_path / "test.spacy", train=tmp_path / "train.spacy")
    assert report["seen"]["seen"]["entities"] == 6 and report["train"] == str(tmp_path / "train.spacy")


def test_a_model_that_is_nowhere_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no pipeline 'nothing_here' that can be loaded"):
        evaluate_files("nothing_here", tmp_path)
