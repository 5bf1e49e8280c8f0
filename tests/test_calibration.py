"""Confidences that mean what they say."""

import json

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import DocBin

from multiner.calibration import calibration_error, compare, fit_temperature, reliability
from multiner.decoding import confidences
from multiner.pipe import calibrate_before_saving
from multiner.tags import Span

from .conftest import SENTENCES, make_doc, run_script

LABELS = ["A", "B"]
TAGS = 5


def drawn(temperature: float, documents: int = 1500) -> tuple[list[np.ndarray], list[list[Span]]]:
    """Documents of one word whose gold tag is drawn from their scores at a temperature: what a fit must find again."""
    generator = np.random.default_rng(0)
    scores = [generator.normal(0, 3, (1, TAGS)) * [1, 1, -9, 1, -9] for _ in range(documents)]
    gold = []
    for scored in scores:
        probabilities = np.exp(scored[0] / temperature)
        tag = generator.choice(TAGS, p=probabilities / probabilities.sum())
        gold.append([Span(0, 1, LABELS[tag // 2])] if tag % 2 else [])
    return scores, gold


def copy_of(nlp):
    """A pipeline of its own, which a test may change."""
    return spacy.util.load_model_from_config(nlp.config).from_bytes(nlp.to_bytes())


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_the_data_is_found_again(temperature):
    outcomes = compare(*drawn(temperature), LABELS)
    assert fit_temperature(outcomes) == pytest.approx(temperature, rel=0.15)


def test_the_fit_lessens_the_calibration_error():
    outcomes = compare(*drawn(3.0), LABELS)
    fitted = fit_temperature(outcomes)
    before, after = (
        calibration_error(confidences(outcomes.scores, outcomes.entities, temperature), outcomes.right)
        for temperature in (1.0, fitted)
    )
    assert after < 0.05
    assert before > 2 * after


def test_documents_do_not_touch_each_other():
    """An entity at the end of a document ends there, whatever the next one begins with."""
    scores = np.array([[0.0, 5.0, 0, 0, 0]])
    inside = np.array([[0.0, 0, 9.0, 0, 0]])
    outcomes = compare([scores, inside], [[Span(0, 1, "A")], []], LABELS)
    alone = compare([scores], [[Span(0, 1, "A")]], LABELS)
    (sure,) = confidences(alone.scores, alone.entities)
    assert confidences(outcomes.scores, outcomes.entities)[0] == pytest.approx(sure)
    assert outcomes.right.tolist()[0] is True


def test_without_a_choice_the_temperature_is_one():
    right = compare([np.eye(TAGS)[[1]] * 9], [[Span(0, 1, "A")]], LABELS)
    assert fit_temperature(right) == 1.0
    assert fit_temperature(compare([], [], LABELS)) == 1.0


def test_the_error_is_the_distance_between_confidence_and_share_of_right_ones():
    sure = np.array([0.9, 0.9, 0.9, 0.9, 0.1, 0.1])
    right = np.array([True, True, True, False, False, False])
    first, second = reliability(sure, right)
    assert (first.entities, first.right, second.entities, second.right) == (2, 0.0, 4, 0.75)
    assert calibration_error(sure, right) == pytest.approx((0.1 * 2 + 0.15 * 4) / 6)
    assert calibration_error(np.zeros(0), np.zeros(0, bool)) is None


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1))
def test_the_error_is_a_share_and_no_entity_is_lost(pairs):
    sure = np.array([pair[0] for pair in pairs])
    right = np.array([pair[1] for pair in pairs])
    assert 0 <= calibration_error(sure, right) <= 1
    assert sum(part.entities for part in reliability(sure, right)) == len(pairs)


def test_a_calibrated_pipe_finds_the_same_entities_with_other_confidences(trained, tmp_path):
    nlp = copy_of(trained)
    words = [sentence[0] for sentence in SENTENCES]
    before = [nlp(" ".join(sentence)) for sentence in words]
    # Half of what it finds is wrong here, so it must become less sure.
    gold = [
        make_doc(nlp, sentence, entities if number % 2 else []) for number, (sentence, entities) in enumerate(SENTENCES)
    ]
    temperature = nlp.get_pipe("ner").calibrate([make_doc(nlp, sentence, []) for sentence in words], gold)
    assert temperature > 1.5
    nlp.to_disk(tmp_path / "model")
    again = spacy.load(tmp_path / "model")
    for doc, sentence in zip(before, words, strict=True):
        after = again(" ".join(sentence))
        assert [(e.text, e.label_) for e in after.ents] == [(e.text, e.label_) for e in doc.ents]
        assert all(np.array(after.spans["ner"].attrs["scores"]) < np.array(doc.spans["ner"].attrs["scores"]))


def test_saving_in_training_calibrates_on_the_dev_corpus(trained, tmp_path):
    nlp = copy_of(trained)
    gold = [make_doc(nlp, words, []) for words, _ in SENTENCES[:2]] + [make_doc(nlp, *SENTENCES[3])]
    DocBin(docs=gold).to_disk(tmp_path / "dev.spacy")
    assert calibrate_before_saving(str(tmp_path / "dev.spacy"), limit=100)(nlp) is nlp
    fitted = nlp.get_pipe("ner").cfg["temperature"]
    assert fitted > 1.5
    calibrate_before_saving(str(tmp_path / "dev.spacy"), limit=2)(nlp)
    assert nlp.get_pipe("ner").cfg["temperature"] == 1.0  # among two documents nothing is right


def test_the_command_reports_and_draws_what_a_temperature_changes(saved, tmp_path):
    nlp = spacy.load(saved)
    nlp.get_pipe("ner").cfg["temperature"] = 3.0
    nlp.to_disk(tmp_path / "model")
    DocBin(docs=[make_doc(nlp, *sentence) for sentence in SENTENCES]).to_disk(tmp_path / "test.spacy")
    pair, output = f"{tmp_path / 'model'}={tmp_path / 'test.spacy'}", tmp_path / "calibration.json"
    result = run_script("scripts/benchmark.py", "calibration", pair, "--output", output)
    assert result.returncode == 0 and "3.00" in result.stdout, result.stderr
    (report,) = json.loads(output.read_text())["models"]
    assert report["entities"] == 6 and report["share_right"] == 1.0 and report["temperature"] == 3.0
    # All are right, so the error is what the confidences lack to 1, and there is more of it at a higher temperature.
    assert 0 <= report["before"]["error"] < report["after"]["error"]
    assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_confidences_are_asked_of_a_pipeline_that_has_none(tmp_path):
    spacy.blank("en").to_disk(tmp_path / "model")
    DocBin().to_disk(tmp_path / "test.spacy")
    pair = f"{tmp_path / 'model'}={tmp_path / 'test.spacy'}"
    result = run_script("scripts/benchmark.py", "calibration", pair, "--output", tmp_path / "out.json")
    assert result.returncode == 1 and "✘ The pipeline has no component 'multiner'" in result.stderr
    assert not (tmp_path / "out.json").exists()
