"""A pipeline is made to compute in int8 only if it then finds what it found."""

import json
from functools import partial

import pytest
import spacy
import torch
from spacy.tokens import DocBin

from multiner import quantising
from multiner.precision import has_fast_int8
from multiner.quantising import Int8LosesTooMuch, Int8NotUsable, quantise

from .conftest import SENTENCES, learn_by_heart, make_doc, make_examples, run_script
from .families import save_encoder

pytestmark = pytest.mark.skipif(
    not has_fast_int8(torch.device("cpu")), reason="this processor does not multiply in int8"
)


@pytest.fixture
def corpus(nlp, tmp_path):
    path = tmp_path / "dev.spacy"
    DocBin(docs=[make_doc(nlp, *sentence) for sentence in SENTENCES]).to_disk(path)
    return path


def spoil(monkeypatch, layers):
    """Have int8 in any of these layers find nothing at all."""
    make = quantising.TaggerShim._make_scorer

    def spoilt(self, network):
        scorer = make(self, network)
        is_bad = self.cfg["precision"] == "int8" and not set(layers) <= set(self.cfg["float_layers"])
        nothing = scorer._replace(
            score=lambda batches: (
                (batch, partial(torch.zeros_like, fetch())) for batch, fetch in scorer.score(batches)
            )
        )
        return nothing if is_bad else scorer

    monkeypatch.setattr(quantising.TaggerShim, "_make_scorer", spoilt)


def test_the_command_writes_a_pipeline_in_int8_and_says_what_it_finds(saved, corpus, tmp_path):
    report = tmp_path / "report.json"
    ran = run_script("scripts/quantize.py", saved, corpus, tmp_path / "fast", "--report", report)
    assert ran.returncode == 0, ran.stderr
    figures = json.loads(report.read_text())
    assert figures["float_layers"] == [] and figures["layers"] == 2
    assert figures["before"]["f1"] == figures["after"]["f1"] == 1.0
    assert "2 of 2 layers in int8" in ran.stdout
    nlp = spacy.load(tmp_path / "fast")
    assert nlp.config["components"]["ner"]["model"]["precision"] == "int8"
    assert [entity.text for entity in nlp(" ".join(SENTENCES[0][0])).ents] == ["Ada Lovelace", "London"]


def test_the_layer_that_loses_stays_in_floating_point(saved, corpus, tmp_path, monkeypatch):
    spoil(monkeypatch, [1])
    monkeypatch.setattr(quantising, "_most_changed", lambda *_: [1, 0])
    assert quantise(str(saved), tmp_path / "fast", corpus)["float_layers"] == [1]
    config = spacy.load(tmp_path / "fast").config["components"]["ner"]["model"]
    assert config["float_layers"] == [1] and config["precision"] == "int8"


def test_a_pipeline_that_loses_too_much_is_not_written_and_the_figures_are_said(saved, corpus, tmp_path, monkeypatch):
    spoil(monkeypatch, [0, 1])
    with pytest.raises(Int8LosesTooMuch, match=r"F1 of .* is 100\.0, and in int8 0\.0, even with 1 of 2 layers"):
        quantise(str(saved), tmp_path / "fast", corpus)
    assert not (tmp_path / "fast").exists()


@pytest.mark.parametrize("layer", [0, 1])
def test_the_layer_whose_scores_int8_changes_most_comes_first(trained, nlp, layer):
    other = spacy.blank("en")
    other.add_pipe("multiner", name="ner")
    other.from_bytes(trained.to_bytes())
    pipe = other.get_pipe("ner")
    spoilt = pipe.shim.network.encoder.encoder.layer[layer]
    with torch.no_grad():
        # What is multiplied with the outliers is 0, so they change nothing but the scale of the weights beside them.
        spoilt.attention.output.LayerNorm.weight[0] = spoilt.attention.output.LayerNorm.bias[0] = 0.0
        spoilt.intermediate.dense.weight[:, 0] = 40.0
    gold = [make_doc(nlp, *sentence) for sentence in SENTENCES]
    assert quantising._most_changed(pipe, gold, 2) == [layer, 1 - layer]


def test_encoders_and_processors_that_gain_nothing_are_refused(tmp_path, corpus, monkeypatch, saved):
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("multiner", name="ner")
    examples = make_examples(nlp)
    pipe.initialize(lambda: examples, nlp=nlp, encoder=save_encoder("distilbert", tmp_path / "encoder"))
    learn_by_heart(nlp, examples)
    nlp.to_disk(tmp_path / "pipeline")
    with pytest.raises(Int8NotUsable, match="is a DistilBertModel, which cannot compute in int8; .* xlm-roberta"):
        quantise(str(tmp_path / "pipeline"), tmp_path / "fast", corpus)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    with pytest.raises(Int8NotUsable, match="does not multiply in int8"):
        quantise(str(saved), tmp_path / "fast", corpus)
