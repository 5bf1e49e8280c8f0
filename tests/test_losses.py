"""What words cost, on scores that were written by hand."""

from dataclasses import replace

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc

from multiner.decoding import best_legal_tags, entities_of, in_a_row, spans_of
from multiner.losses import describe_losses, word_losses
from multiner.predictions import Predictions, predict, word_spans
from multiner.tags import IGNORED

from .conftest import SENTENCES, make_doc

NLP = spacy.blank("en")
LABELS = ("LOC", "PER")


def predictions_of(gold: list[Doc], probabilities: list[list[list[float]]]) -> Predictions:
    """What a model would give whose probabilities of O, B-LOC, I-LOC, B-PER, I-PER are these."""
    scores = [np.log(np.array(rows, np.float32).reshape(-1, 5)) for rows in probabilities]
    return Predictions(
        gold=gold,
        predicted=[Doc(NLP.vocab, words=[token.text for token in doc]) for doc in gold],
        raw=gold,
        gold_spans=list(map(word_spans, gold)),
        predicted_spans=[
            spans_of(entities_of(best_legal_tags(in_a_row(scored, [len(scored)]))), LABELS) for scored in scores
        ],
        confidences=None,
        scores=scores,
        labels=LABELS,
        temperature=1.0,
        pieces=None,
        seconds=1.0,
    )


SURE = [0.96, 0.01, 0.01, 0.01, 0.01]
UNSURE = [0.5, 0.2, 0.1, 0.1, 0.1]


def test_a_words_loss_is_the_surprise_about_its_gold_tag():
    gold = [make_doc(NLP, ["in", "Bern"], [(1, 2, "LOC")]), make_doc(NLP, ["in"], [])]
    losses = word_losses(predictions_of(gold, [[SURE, UNSURE], [UNSURE]]))
    assert losses.losses == pytest.approx([-np.log(0.96), -np.log(0.2), -np.log(0.5)], rel=1e-5)
    assert losses.gold.tolist() == [0, 1, 0] and losses.predicted.tolist() == [0, 0, 0]
    assert losses.losses[losses.rows(1)] == pytest.approx([-np.log(0.5)], rel=1e-5)


def test_groups_have_count_mean_and_sum_as_in_the_book():
    gold = [make_doc(NLP, ["in", "Bern"], [(1, 2, "LOC")]), make_doc(NLP, ["in"], [])]
    predictions = predictions_of(gold, [[SURE, UNSURE], [UNSURE]])
    found = describe_losses(word_losses(predictions), gold, ["▁in", "▁B", "▁in"])
    bern, preposition = found["by_word"]["by_sum"]
    total = -np.log(0.96) - np.log(0.5)
    assert preposition == {"name": "in", "count": 2, "mean": pytest.approx(total / 2), "sum": pytest.approx(total)}
    assert bern["name"] == "Bern" and found["by_word"]["groups"] == 2
    # Of words that occur but a few times the mean says little.
    assert found["by_word"]["by_mean"] == []
    assert [group["name"] for group in found["by_piece"]["by_sum"]] == ["▁B", "▁in"]
    assert [(group["name"], group["count"]) for group in found["by_tag"]] == [("B-LOC", 1), ("O", 2)]
    assert found["mean"] == pytest.approx((total - np.log(0.2)) / 3)


def test_the_confusion_of_tags_is_normalised_by_the_gold_tag():
    gold = [make_doc(NLP, ["in", "Bern"], [(1, 2, "LOC")]), make_doc(NLP, ["Bern"], [(0, 1, "LOC")])]
    found = describe_losses(
        word_losses(predictions_of(gold, [[SURE, UNSURE], [[0.1, 0.6, 0.1, 0.1, 0.1]]])), gold, None
    )
    confusion = found["confusion"]
    assert confusion["tags"] == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    assert confusion["counts"][1] == [1, 1, 0, 0, 0] and confusion["shares"][1] == [0.5, 0.5, 0, 0, 0]
    assert confusion["shares"][3] == [0, 0, 0, 0, 0]
    assert found["by_piece"] is None


def test_words_without_a_tag_that_can_be_scored_cost_nothing_and_are_counted():
    unknown = make_doc(NLP, ["Bern", "\n", "x"], [(0, 1, "CITY")])
    missing = Doc(NLP.vocab, words=["x"])  # not annotated
    losses = word_losses(predictions_of([unknown, missing], [[UNSURE] * 3, [UNSURE]]))
    assert losses.gold.tolist() == [IGNORED, IGNORED, 0, IGNORED]
    assert losses.losses[[0, 1, 3]].tolist() == [0, 0, 0]
    found = describe_losses(losses, [unknown, missing], None)
    assert (found["words"], found["not_scored"]) == (1, 3)


def test_probabilities_are_calibrated_and_losses_are_those_of_training():
    gold = [make_doc(NLP, ["Bern"], [(0, 1, "LOC")])]
    predictions = predictions_of(gold, [[UNSURE]])
    cold, warm = word_losses(predictions), word_losses(replace(predictions, temperature=3.0))
    assert warm.losses == pytest.approx(cold.losses)
    assert warm.probabilities[0, 0] < cold.probabilities[0, 0] == pytest.approx(0.5)


def test_what_was_learnt_by_heart_costs_next_to_nothing(trained):
    predictions = predict(trained, [make_doc(trained, *sentence) for sentence in SENTENCES])
    found = describe_losses(word_losses(predictions), predictions.gold, predictions.pieces)
    assert found["mean"] < 0.05
    assert {group["name"][0] for group in found["by_piece"]["by_sum"]} == {"▁"}


def test_of_other_components_nothing_but_entities_is_known():
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "LOC", "pattern": "London"}])
    assert word_losses(predict(nlp, [make_doc(nlp, *SENTENCES[0])])) is None


def test_no_documents_are_no_error(trained):
    predictions = predict(trained, [])
    found = describe_losses(word_losses(predictions), [], predictions.pieces)
    assert found["words"] == 0 and found["mean"] is None and found["by_tag"] == []
