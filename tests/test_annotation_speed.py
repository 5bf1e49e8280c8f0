"""What `scripts/benchmark.py annotate` and `annotate-memory` measure, on a few texts."""

import json

import pytest
from typer.testing import CliRunner

from multiner.engines import in_this_process

from .conftest import PROJECT


@pytest.fixture
def columns(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text("Ada B-PER\nlives O\nin O\nLondon B-LOC\n. O\n\nnobody O\nknows O\n")
    return path


def run(monkeypatch, *arguments):
    monkeypatch.syspath_prepend(PROJECT / "scripts")
    import benchmark

    result = CliRunner().invoke(benchmark.app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    return result.output


def test_speed_is_measured_both_ways_in_one_run(saved, columns, tmp_path, monkeypatch):
    # Starting processes takes seconds and is tested elsewhere.
    monkeypatch.setattr("multiner.annotation_speed.in_processes", lambda workers: in_this_process)
    output = tmp_path / "speed.json"
    said = run(monkeypatch, "annotate", saved, columns, "--rounds", 2, "--no-ray", "--output", output)
    report = json.loads(output.read_text())
    assert report["speed"]["documents"] == 2 and report["speed"]["words"] == 7
    assert all(len(report["speed"][side]) == 2 and min(report["speed"][side]) > 0 for side in ("pipe", "annotate"))
    assert set(report["engines"]["seconds"]) == {"one process", "processes"}
    assert "of the speed of nlp.pipe" in said


def test_memory_is_measured_after_each_shard_and_drawn(saved, columns, tmp_path, monkeypatch):
    output = tmp_path / "memory.json"
    run(monkeypatch, "annotate-memory", saved, columns, "--texts", 60, "--output", output)
    report = json.loads(output.read_text())
    assert [documents for documents, _ in report["sizes"]] == list(range(3, 61, 3))
    assert report["texts_from"] == [str(columns)]
    assert report["after_a_tenth_mb"] <= report["most_after_a_tenth_mb"]
    assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
