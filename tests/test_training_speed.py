"""The usual fine-tuning and ours, side by side."""

from pathlib import Path

import pytest
import srsly
from spacy.language import Language
from spacy.tokens import DocBin
from spacy.util import load_config
from transformers import AutoTokenizer

from multiner import training_speed
from multiner.tags import IGNORED, tag_names
from multiner.training_speed import Comparison, TrainerMissing, compare_training, tags_of, train_ours, train_usual

from .conftest import PROJECT, SENTENCES, make_doc, run_script, starting_from

TAGS = tag_names(["LOC", "ORG", "PER"])


@pytest.fixture
def comparison(nlp: Language, tiny_encoder: str, tmp_path: Path) -> Comparison:
    for split in ("train", "dev", "test"):
        DocBin(docs=[make_doc(nlp, *sentence) for sentence in SENTENCES]).to_disk(tmp_path / f"{split}.spacy")
    files = (tmp_path / f"{split}.spacy" for split in ("train", "dev", "test"))
    # So few steps need not find an entity.
    overrides = {**starting_from(tiny_encoder), "training.before_update.without_entity": 0}
    config = load_config(PROJECT / "configs/e5-small.cfg", overrides=overrides, interpolate=False)
    config.to_disk(tmp_path / "config.cfg", interpolate=False)
    return Comparison(Path(tiny_encoder), *files, tmp_path / "config.cfg", 2, 1, 0, 1e-3)


def test_both_are_given_the_same_and_are_reported_in_the_same_way(comparison, monkeypatch):
    pytest.importorskip("accelerate", reason="the extra `benchmark` is not installed")
    monkeypatch.setattr(training_speed, "in_own_process", lambda function, *arguments: function(*arguments))
    report = compare_training(comparison)
    assert set(report["usual"]) == set(report["ours"])
    for side in (report["usual"], report["ours"]):
        assert side["sentences_per_second"] == pytest.approx(8 / side["training_seconds"], rel=0.5)
        assert 0 < side["training_seconds"] < side["seconds"] and side["peak_memory_mb"] > 50
        assert 0 <= side["test_strict"] <= 1 and 0 <= side["test_default"] <= 1
    speeds = [report[name]["sentences_per_second"] for name in ("ours", "usual")]
    assert report["ratio"]["sentences_per_second"] == pytest.approx(speeds[0] / speeds[1], abs=0.01)


def test_settings_of_ours_are_changed_as_for_training_alone(comparison, monkeypatch):
    trained = []

    def remember(config, folder):
        trained.append(config)
        return train_logged(config, folder)

    train_logged = training_speed.train_logged
    monkeypatch.setattr(training_speed, "train_logged", remember)
    train_ours(comparison._replace(settings={"training.dropout": 0.3}))
    assert trained[0]["training"]["dropout"] == 0.3
    assert trained[0]["system"]["epochs"] == comparison.epochs


def test_the_command_trains_both_and_writes_the_figures(comparison, tmp_path, monkeypatch):
    pytest.importorskip("accelerate", reason="the extra `benchmark` is not installed")
    monkeypatch.setattr(training_speed, "in_own_process", lambda function, *arguments: function(*arguments))
    output = tmp_path / "figures.json"
    told = ["--encoder", comparison.encoder, "--config", comparison.config, "--epochs", 1, "--batch-size", 2]
    settings = ["--nlp.lang", "de", "--training.dropout", 0.2]
    ran = run_script("scripts/benchmark.py", "train", tmp_path, *told, *settings, "--output", output)
    assert ran.returncode == 0, ran.stderr
    assert "usual" in ran.stdout and "ours" in ran.stdout
    figures = srsly.read_json(output)
    assert figures["settings"] == {"nlp.lang": "de", "training.dropout": 0.2}
    assert figures["runs"][0]["ratio"]["sentences_per_second"] > 0


def test_the_labels_of_first_pieces_are_the_tags_of_words(nlp, tiny_encoder):
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    for sentence in SENTENCES:
        doc = make_doc(nlp, *sentence)
        labels = training_speed._encode(doc, tokenizer, TAGS)["labels"]
        assert len([label for label in labels if label != IGNORED]) == len(doc) < len(labels)
        assert training_speed._tags_of_words(doc, tokenizer, labels, TAGS) == tags_of(doc)


def test_what_the_usual_recipe_needs_is_named(comparison, monkeypatch):
    monkeypatch.setattr(training_speed, "find_spec", lambda name: None)
    with pytest.raises(TrainerMissing, match=r"pip install 'spacy-multiner\[benchmark\]'"):
        train_usual(comparison)
