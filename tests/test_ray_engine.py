"""The same stage on a Ray cluster."""

import os
import signal
from pathlib import Path

import pytest

from multiner.annotate import Step, annotate
from multiner.annotator import Settings

from .test_annotate import TEXTS, contents, write_jsonl

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")


def processes_of_actors() -> list[int]:
    """The actors that have been busy, as the system lists them."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (folder / "cmdline").exists():
            command = (folder / "cmdline").read_bytes()
            if command.startswith(b"ray::_Actor"):
                found.append(int(folder.name))
    return found


def test_two_actors_of_which_one_is_killed_write_what_one_process_writes(saved, tmp_path):
    from multiner.ray_engine import RayError, on_ray

    path = write_jsonl(tmp_path / "a.jsonl", [{"text": text, "n": n} for n, text in enumerate(TEXTS * 20)])
    settings = Settings(shard_documents=2, format="parquet")
    annotate(str(saved), [str(path)], tmp_path / "plain", settings)
    killed = []

    def watch(step: Step) -> None:
        if step.totals.shards == 3:
            others = set(processes_of_actors()) - before
            killed.append(others.pop())
            os.kill(killed[0], signal.SIGKILL)

    before = set(processes_of_actors())
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        with pytest.raises(RayError, match="3 workers with 1 CPU each need more than the cluster has, 2"):
            annotate(str(saved), [str(path)], tmp_path / "on_ray", settings, engine=on_ray(3))
        outcome = annotate(str(saved), [str(path)], tmp_path / "on_ray", settings, engine=on_ray(2), watch=watch)
        assert killed and outcome.totals.documents == 80
        assert contents(tmp_path / "on_ray") == contents(tmp_path / "plain")
    finally:
        ray.shutdown()


def test_a_cluster_that_is_not_there_is_one_plain_sentence(saved, tmp_path):
    from multiner.ray_engine import RayError, on_ray

    path = write_jsonl(tmp_path / "a.jsonl", [{"text": TEXTS[0]}])
    with pytest.raises(RayError, match="There is no Ray cluster at auto: "):
        annotate(str(saved), [str(path)], tmp_path / "out", engine=on_ray(1, address="auto"))
