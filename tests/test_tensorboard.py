"""What TensorBoard is given of a run."""

import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import spacy

from multiner.progress import GoingOn, going_on
from multiner.tensorboard import TensorBoardMissing, tensorboard_logger

Points = list[tuple[int, float]]


def evaluation(step: int, loss: float, f1: float) -> dict[str, Any]:
    """What the loop tells a logger after a step."""
    scores = {"ents_f": f1, "ents_per_type": {"LOC": {"f": f1 / 2}}, "speed": None}
    return {"step": step, "losses": {"ner": loss}, "other_scores": scores}


def log(folder: Path, infos: list[dict[str, Any] | None]) -> dict[str, Points]:
    """RETURNS: What the files in the folder have then, by name: steps and figures."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    printed = StringIO()
    step, finalize = tensorboard_logger(folder)(spacy.blank("xx"), printed, printed)
    for info in infos:
        step(info)
    finalize()
    assert printed.getvalue() == ""
    found = accumulator.EventAccumulator(str(folder)).Reload()
    return {
        name: [(event.step, pytest.approx(event.value)) for event in found.Scalars(name)]
        for name in found.Tags()["scalars"]
    }


def test_losses_are_means_over_steps_and_scores_are_named_by_their_place(tmp_path):
    points = log(tmp_path, [evaluation(0, 3.0, 0.1), None, None, None, evaluation(4, 2.0, 0.5)])
    assert points == {
        "loss/ner": [(0, 3.0), (4, 0.5)],
        "score/ents_f": [(0, 0.1), (4, 0.5)],
        "score/ents_per_type/LOC/f": [(0, 0.05), (4, 0.25)],
    }


def test_a_run_that_goes_on_shows_each_step_once(tmp_path):
    log(tmp_path, [evaluation(0, 3.0, 0.1), None, evaluation(2, 2.0, 0.4), None, evaluation(4, 1.0, 0.5)])
    with going_on(GoingOn(step=3, evaluated=2)):
        points = log(tmp_path, [evaluation(4, 1.0, 0.6), None, evaluation(6, 0.5, 0.7)])
    assert points["score/ents_f"] == [(0, 0.1), (2, 0.4), (4, 0.6), (6, 0.7)]
    assert points["loss/ner"][2:] == [(4, 0.5), (6, 0.25)]


def test_what_is_missing_is_named_when_training_starts(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    setup = tensorboard_logger(tmp_path / "board")
    with pytest.raises(TensorBoardMissing, match=r"pip install 'spacy-multiner\[tensorboard\]'"):
        setup(spacy.blank("xx"))
    assert not (tmp_path / "board").exists()
