"""Two pipelines on one test set."""

import json

import pytest
import spacy
import typer
from scripts.compare import main
from spacy.language import Language
from spacy.tokens import DocBin
from typer.testing import CliRunner

from multiner.comparison import compare, comparison_tables
from multiner.predictions import predict

from .conftest import SENTENCES, make_doc

NLP = spacy.blank("en")


def ruler(*patterns: tuple[str, str]) -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": label, "pattern": words} for words, label in patterns])
    return nlp


ONE = (("London", "LOC"), ("Alan", "PER"))
TWO = (("London", "LOC"), ("Alan Turing", "PER"), ("Manchester", "LOC"), ("nobody", "PER"))


def test_scores_stand_side_by_side_with_what_chance_would_do():
    gold = [make_doc(NLP, *sentence) for sentence in SENTENCES * 10]
    report = compare({"one": predict(ruler(*ONE), gold), "two": predict(ruler(*TWO), gold)}, resamples=500)
    one, two = (report["models"][name]["scores"]["micro F1"] for name in ("one", "two"))
    assert one["value"] == pytest.approx(2 / 8) and two["value"] == pytest.approx(2 * 3 / (4 + 6))
    assert one["low"] <= one["value"] <= one["high"] and "p_value" not in one
    assert two["difference"] == pytest.approx(two["value"] - one["value"])
    assert two["p_value"] < 0.01 and two["difference_low"] > 0
    same = report["models"]["two"]["scores"]["F1 of ORG"]
    assert (same["difference"], same["p_value"]) == (0.0, 1.0)
    assert report["models"]["two"]["scores"]["F1 on raw text"]["value"] == pytest.approx(two["value"])


def test_sentences_that_changed_are_listed_with_what_both_found():
    gold = [make_doc(NLP, *sentence) for sentence in SENTENCES]
    report = compare({"one": predict(ruler(*ONE), gold), "two": predict(ruler(*TWO), gold)}, resamples=100)
    better, worse = report["models"]["two"]["changed"]
    assert (better["document"], better["change"], better["errors"]) == (1, "better", [3, 0])
    assert (better["first"], better["this"]) == (["Alan PER"], ["Alan Turing PER", "Manchester LOC"])
    assert (worse["document"], worse["change"], worse["errors"]) == (2, "worse", [0, 1])
    tables = comparison_tables(report, sentences=1)
    assert tables[1].title == "Sentences that changed in two: 2" and len(tables[1].rows) == 1
    assert "1 better (fewer errors than the first), 1 worse" in tables[1].meaning


def test_the_command_compares_folders(tmp_path):
    for name, patterns in (("one", ONE), ("two", TWO)):
        ruler(*patterns).to_disk(tmp_path / name)
    DocBin(docs=[make_doc(NLP, *sentence) for sentence in SENTENCES]).to_disk(tmp_path / "test.spacy")
    app = typer.Typer()
    app.command()(main)
    arguments = [str(tmp_path / name) for name in ("test.spacy", "one", "two")]
    result = CliRunner().invoke(app, [*arguments, "--output", str(tmp_path / "c.json"), "--resamples", "100"])
    assert result.exit_code == 0, result.output
    assert "Scores side by side" in result.output
    assert json.loads((tmp_path / "c.json").read_text())["docs"] == 4
    assert CliRunner().invoke(app, arguments[:2]).exit_code == 2
