"""What people see of a run: lines, curve, and whatever else spaCy has loggers for."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import spacy
from PIL import Image
from spacy.cli.train import train
from spacy.tokens import DocBin
from spacy.util import load_config, registry
from thinc.api import Config

from multiner import progress
from multiner.pictures import PicturesNeedMatplotlib
from multiner.progress import FORMATS, GoingOn, going_on, progress_logger

from .conftest import PROJECT, SENTENCES, make_doc, starting_from


def evaluation(step: int, f1: float, words: int = 0) -> dict[str, Any]:
    """What the loop tells a logger after a step."""
    return {
        "epoch": 0,
        "step": step,
        "losses": {"ner": 2.0},
        "other_scores": {"ents_p": f1, "ents_r": f1, "ents_f": f1},
        "checkpoints": [(f1, step)],
        "words": words,
    }


def log(output: Path, infos: list[dict[str, Any] | None]) -> tuple[list[dict[str, float]], str]:
    """RETURNS: The rows of the log, and what was printed."""
    printed = StringIO()
    step, finalize = progress_logger(total_steps=20, output=output)(spacy.blank("xx"), printed, StringIO())
    for info in infos:
        step(info)
    finalize()
    return [json.loads(line) for line in output.read_text().splitlines()], printed.getvalue()


def test_time_left_is_that_of_the_steps_left_at_the_pace_so_far(tmp_path, monkeypatch):
    seconds = iter(range(0, 600, 30))  # what the clock shows, each time that it is looked at
    monkeypatch.setattr(progress.time, "perf_counter", lambda: float(next(seconds)))
    rows, printed = log(tmp_path / "log.jsonl", [evaluation(0, 0.1), None, None, None, evaluation(4, 0.5)])
    assert [row["Minutes"] for row in rows] == [1.0, 3.5]
    assert [row["Left"] for row in rows] == [pytest.approx(1.0 * 20), pytest.approx(3.5 / 5 * 16)]
    assert printed.split()[: len(FORMATS)] == list(FORMATS)


def test_the_curve_is_drawn_at_the_end(tmp_path):
    log(tmp_path / "log.jsonl", [evaluation(0, 0.1), None, evaluation(2, 0.5)])
    with Image.open(tmp_path / "log.png") as picture:
        assert picture.size[0] > 1000 and len(picture.convert("RGB").getcolors(1 << 20)) > 50


def test_a_run_that_was_never_evaluated_has_no_curve(tmp_path):
    log(tmp_path / "log.jsonl", [])
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


def test_without_matplotlib_training_ends_well_and_says_how_to_have_the_curve(tmp_path, monkeypatch):
    def refuse(log, picture):
        raise PicturesNeedMatplotlib("Pictures need matplotlib.")

    monkeypatch.setattr(progress, "draw_curve", refuse)
    _, printed = log(tmp_path / "log.jsonl", [evaluation(0, 0.1)])
    assert printed.endswith("No curve is drawn. Pictures need matplotlib.\n")


def test_a_run_that_goes_on_keeps_the_rows_up_to_there_and_counts_from_there(tmp_path):
    output = tmp_path / "log.jsonl"
    log(output, [evaluation(0, 0.1), None, evaluation(2, 0.5)])
    with output.open("a") as file:
        file.write('{"Epoch": 0, "St')  # killed while it was written
    with going_on(GoingOn(step=1, evaluated=0, words=100, seconds=60.0)):
        rows, _ = log(output, [evaluation(2, 0.6, 150), None, evaluation(4, 0.7, 250)])
    assert [(row["Step"], row["F1"]) for row in rows] == [(0, 10.0), (2, 60.0), (4, 70.0)]
    assert [row["Loss"] for row in rows] == [2.0, 1.0, 1.0]
    assert rows[1]["Minutes"] > 1.0
    # A run that begins at the start has nothing of the one before.
    rows, _ = log(output, [evaluation(0, 0.2)])
    assert [row["F1"] for row in rows] == [20.0]


def test_any_logger_of_spacy_runs_beside_ours_by_config_only(tiny_encoder, tmp_path, capsys):
    told: list[int] = []

    @registry.loggers("test.Logger.v1")
    def make_logger(project_name: str):
        def setup(nlp, stdout, stderr):
            def log_step(info):
                if info:
                    told.append(info["step"])

            return log_step, lambda: told.append(-1)

        assert project_name == "names"
        return setup

    docs = [make_doc(spacy.blank("xx"), *sentence) for sentence in SENTENCES]
    DocBin(docs=docs).to_disk(tmp_path / "both.spacy")
    config = load_config(PROJECT / "configs/e5-small.cfg")
    config["training"].pop("logger")
    # As it stands in docs/training.md, but for the name of the second logger.
    documented = (PROJECT / "docs/training.md").read_text(encoding="utf8")
    lines = (
        documented.split("```ini\n[training.logger]")[1]
        .split("```")[0]
        .replace("spacy.WandbLogger.v5", "test.Logger.v1")
    )
    config["training"]["logger"] = Config().from_str(
        "[logger]" + lines.replace("training.logger", "logger"), interpolate=False
    )["logger"]
    Config(config).to_disk(tmp_path / "config.cfg", interpolate=False)
    paths = {f"paths.{part}": str(tmp_path / "both.spacy") for part in ("train", "dev")}
    output = {"training.logger.logger1.output": str(tmp_path / "log.jsonl"), "system.epochs": 1}
    train(tmp_path / "config.cfg", overrides={**paths, **output, **starting_from(tiny_encoder)})
    assert told == [0, 1, -1]
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2
    assert "Words/s" in capsys.readouterr().out
