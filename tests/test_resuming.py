"""A run of training that is killed goes on, and ends with the weights of one that was not."""

import json
import os
import random
import re
import shutil
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import spacy
import torch
from spacy.cli.train import train as spacy_train
from spacy.tokens import DocBin
from spacy.training.initialize import init_nlp
from spacy.util import load_config

from multiner import loop
from multiner.checkpoints import CheckpointError

from .conftest import PROJECT, SENTENCES, fork_context, make_doc, sentences_of_many_lengths, starting_from, write_corpus

CONFIG = PROJECT / "configs/e5-small.cfg"
EPOCHS, STEPS_OF_EPOCH = 2, 8


@pytest.fixture(autouse=True, scope="module")
def no_pictures():
    """They take longer than the training here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("multiner.progress.draw_curve", lambda log, picture: None)
        yield


class Killed(BaseException):
    """What ends a run in the tests that kill it inside this process."""


@pytest.fixture(scope="module")
def overrides(tiny_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return {
        **write_corpus(tmp_path_factory.mktemp("corpus"), sentences_of_many_lengths(8)),
        **starting_from(tiny_encoder),
        "system.epochs": EPOCHS,
        "training.batcher.size": 4,
        "training.optimizer.learn_rate.peak": 1e-3,
        "training.optimizer.average_decay": 0.9,
        "training.dropout": 0.2,
    }


def run(output: Path, overrides: dict[str, Any], resume: bool = False, checkpoint_steps: int = 3) -> str:
    """Train in this process, on one thread. RETURNS: What was printed."""
    torch.set_num_threads(1)
    printed = StringIO()
    overrides = {**overrides, "training.logger.output": str(output / "log.jsonl")}
    nlp = init_nlp(load_config(CONFIG, overrides=overrides, interpolate=False))
    loop.train(nlp, output, resume=resume, checkpoint_steps=checkpoint_steps, stdout=printed, stderr=StringIO())
    return printed.getvalue()


def run_quietly(output: Path, overrides: dict[str, Any], resume: bool) -> None:
    """What a process that will be killed runs."""
    run(output, overrides, resume)


def weights(output: Path, name: str = "model-last") -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(output / name / "ner/model/weights.safetensors")


def assert_same_weights(found: Path, wanted: Path) -> None:
    for name in ("model-last", "model-best"):
        tensors = weights(wanted, name)
        assert weights(found, name).keys() == tensors.keys()
        for key, tensor in tensors.items():
            assert torch.equal(weights(found, name)[key], tensor), f"{name}: {key}"


def rows(output: Path) -> list[dict[str, float]]:
    """What was logged, without what depends on the clock."""
    logged = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in {"Words/s", "Minutes", "Left"}} for row in logged]


def assert_same_log(found: Path, wanted: Path) -> None:
    """The loss is a sum for people to look at: its last digits depend on where in memory numpy finds the numbers."""
    for row, expected in zip(rows(found), rows(wanted), strict=True):
        assert row == pytest.approx(expected, rel=1e-6)


@pytest.fixture(scope="module")
def undisturbed(overrides: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("undisturbed")
    run(output, overrides)
    return output


def kill_at(monkeypatch: pytest.MonkeyPatch, place: str, call: int) -> None:
    """End a run when it calls this function of the loop for the so-manieth time."""
    calls = iter(range(call))
    function = getattr(loop, place)

    def killed(*arguments: Any, **options: Any) -> Any:
        if next(calls, None) is None:
            raise Killed
        return function(*arguments, **options)

    monkeypatch.setattr(loop, place, killed)


def test_undisturbed_it_gives_the_weights_of_spacy_train(overrides, undisturbed, tmp_path, capsys):
    torch.set_num_threads(1)
    spacy_train(CONFIG, tmp_path, overrides=overrides)
    assert_same_weights(undisturbed, tmp_path)
    best = [spacy.load(output / "model-best").meta["performance"] for output in (undisturbed, tmp_path)]
    assert best[0] == best[1]


@pytest.mark.parametrize(
    ("place", "call"),
    [
        pytest.param("subdivide_batch", 5, id="between checkpoints"),
        pytest.param("subdivide_batch", STEPS_OF_EPOCH, id="at the start of an epoch"),
        pytest.param("save_pipeline", 1, id="at a save"),
        pytest.param("finish", 0, id="at the very end"),
    ],
)
def test_it_ends_with_the_weights_and_the_log_of_a_run_that_was_not_killed(
    overrides, undisturbed, tmp_path, monkeypatch, place, call
):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, place, call)
        run(tmp_path, overrides)
    assert len(list((tmp_path / "checkpoint").iterdir())) <= 2
    torch.manual_seed(12345)  # another process has other random numbers
    random.seed(12345)
    printed = run(tmp_path, overrides, resume=True)
    assert re.match(r"Training goes on after step \d+, from .*/checkpoint/step-0000\d\d\.\n", printed)
    assert_same_weights(tmp_path, undisturbed)
    assert_same_log(tmp_path, undisturbed)
    # Lines that were printed before are not printed again.
    steps = [int(line.split()[1]) for line in printed.splitlines() if line.split()[0].isdigit()]
    done = int(re.search(r"after step (\d+)", printed)[1])
    assert steps == [step for step in range(0, EPOCHS * STEPS_OF_EPOCH + 1, STEPS_OF_EPOCH) if step > done]


def test_what_frozen_layers_gave_is_remembered_to_the_last_digit_by_a_run_that_goes_on(
    overrides, tiny_encoder, tmp_path, monkeypatch
):
    """After a kill windows come to the frozen layers in other batches than in the run that was not killed."""
    frozen = {**overrides, **starting_from(tiny_encoder, frozen_layers=1)}
    run(tmp_path / "undisturbed", frozen)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, "subdivide_batch", 5)
        run(tmp_path / "killed", frozen)
    run(tmp_path / "killed", frozen, resume=True)
    assert_same_weights(tmp_path / "killed", tmp_path / "undisturbed")


def checkpoints(output: Path) -> set[str]:
    return {path.name for path in output.glob("checkpoint/step-*")}


def test_killed_at_random_moments_again_and_again(overrides, undisturbed, tmp_path):
    """Real processes, and SIGKILL. They are forked from one that has imported what they need."""
    context = fork_context()
    moments = random.Random(os.getpid())
    written: set[str] = set()
    for kill in (True, True, True, False):
        process = context.Process(target=run_quietly, args=(tmp_path, overrides, True))
        process.start()
        if kill:
            while process.is_alive() and checkpoints(tmp_path) <= written:
                time.sleep(0.01)
            time.sleep(moments.uniform(0.0, 0.4))
            written |= checkpoints(tmp_path)
            process.kill()  # nothing, if it had come to its end by then
        process.join()
    assert written
    assert process.exitcode == 0
    assert_same_weights(tmp_path, undisturbed)
    assert_same_log(tmp_path, undisturbed)
    assert [path.name for path in (tmp_path / "checkpoint").iterdir()] == ["finished.json"]


def test_a_finished_run_is_left_as_it_is(overrides, undisturbed):
    before = (undisturbed / "model-last/meta.json").stat().st_mtime_ns
    printed = run(undisturbed, overrides, resume=True)
    assert "nothing is left to do" in printed
    assert (undisturbed / "model-last/meta.json").stat().st_mtime_ns == before


@pytest.fixture(scope="module")
def killed(overrides: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was killed. Tests go on from a copy of it."""
    output = tmp_path_factory.mktemp("killed") / "output"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, "subdivide_batch", 5)
        run(output, overrides)
    return output


def test_nothing_is_pickled(killed):
    names = {path.name for path in (killed / "checkpoint").rglob("*") if path.is_file()}
    assert {Path(name).suffix for name in names - {"cfg"}} == {".json", ".safetensors"}
    for path in killed.rglob("*.safetensors"):
        safetensors.torch.load_file(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"training.batcher.size": 2}, r"\[training\.batcher\] size was 4 and is 2"),
        (
            {"training.optimizer.learn_rate.peak": 2e-3},
            r"\[training\.optimizer\.learn_rate\] peak was 0.001 and is 0.002",
        ),
        ("train", r"the content of \[corpora\.train\] is another"),
        ("encoder", r"the content of \[initialize\.components\.ner\.encoder\] is another"),
    ],
    ids=["batches", "rate", "corpus", "encoder"],
)
def test_a_checkpoint_of_another_training_is_refused(overrides, killed, tmp_path, change, said):
    if change == "train":
        docs = DocBin().from_disk(overrides["paths.train"])
        docs.add(make_doc(spacy.blank("xx"), *SENTENCES[0]))
        docs.to_disk(tmp_path / "train.spacy")
        change = {"paths.train": str(tmp_path / "train.spacy"), "training.max_steps": EPOCHS * STEPS_OF_EPOCH}
    elif change == "encoder":
        from transformers import AutoModel, AutoTokenizer

        torch.manual_seed(5)
        model = AutoModel.from_pretrained(overrides["paths.encoder"])
        model.encoder.layer[0].output.dense.bias.data += 1
        model.save_pretrained(tmp_path / "encoder")
        AutoTokenizer.from_pretrained(overrides["paths.encoder"]).save_pretrained(tmp_path / "encoder")
        change = {"paths.encoder": str(tmp_path / "encoder")}
    with pytest.raises(CheckpointError, match=f"was made by another training: .*{said}.*without --resume"):
        run(killed, {**overrides, **change}, resume=True)


def test_the_same_content_elsewhere_is_the_same(overrides, undisturbed, killed, tmp_path):
    shutil.copytree(killed, tmp_path / "out")
    for part in ("train", "dev"):
        (tmp_path / f"{part}.spacy").write_bytes(Path(overrides[f"paths.{part}"]).read_bytes())
    moved = {"paths.train": str(tmp_path / "train.spacy"), "paths.dev": str(tmp_path / "dev.spacy")}
    run(tmp_path / "out", {**overrides, **moved}, resume=True)
    assert_same_weights(tmp_path / "out", undisturbed)


@pytest.mark.parametrize(
    ("replaced", "settings", "reason"),
    [
        (
            "training.optimizer",
            {"training.optimizer": {"@optimizers": "Adam.v1", "learn_rate": 1e-3}},
            "the optimizer is not multiner.AdamW.v1",
        ),
        (
            "components.ner.model.stored_as",
            {"components.ner.model.stored_as": "bfloat16"},
            "the component 'ner' stores its weights as bfloat16, which rounds them",
        ),
    ],
)
def test_what_a_checkpoint_cannot_hold_is_said_and_not_resumed(overrides, tmp_path, replaced, settings, reason):
    config = {key: value for key, value in overrides.items() if not key.startswith(replaced)}
    config |= {**settings, "system.epochs": 1}
    printed = run(tmp_path, config)
    assert f"No checkpoints are written, because {reason}." in printed
    assert not (tmp_path / "checkpoint").exists()
    with pytest.raises(CheckpointError, match=re.escape(f"cannot go on from a checkpoint: {reason}")):
        run(tmp_path, config, resume=True)
