"""Cells are run once, killed ones go on inside themselves, and what is not asked for is never read."""

import os
import shutil
import signal
import time
from io import StringIO
from pathlib import Path

import pytest
import srsly
import torch
from spacy.training.initialize import init_nlp

from multiner.docbins import read_docs
from multiner.frozen import FrozenLayers
from multiner.loop import train
from multiner.transfer import runs
from multiner.transfer.plan import Paths, Planned, Setup, make_config, make_plan
from multiner.transfer.runs import Store, TransferError, measure_pace, pace_so_far, run_plan

from .conftest import fork_context, run_script
from .transfer_corpora import RECIPE, SMALL, Notes, set_up, without_clock, write_corpora, write_recipe


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpora")
    write_corpora(folder)
    return folder


def prepare(folder: Path, corpora: Path, encoder: str, recipe: str = SMALL) -> tuple[list[Planned], Setup, Store]:
    folder.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    store = Store(folder / "work")
    setup = set_up(write_recipe(folder, corpora, recipe), store, encoder)
    return make_plan(setup), setup, store


def run(folder: Path, corpora: Path, encoder: str, recipe: str = SMALL) -> tuple[list[Planned], Store, Notes]:
    plan, setup, store = prepare(folder, corpora, encoder, recipe)
    notes = Notes()
    run_plan(plan, setup, store, notes)
    return plan, store, notes


def run_to_be_killed(folder: Path, corpora: Path, encoder: str) -> None:
    """What the process that is killed does, with a checkpoint after every step."""
    runs.CHECKPOINT_STEPS = 1
    run(folder, corpora, encoder)


@pytest.fixture(scope="module")
def undisturbed(
    corpora: Path, tiny_encoder: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[Planned], Store, Notes]:
    return run(tmp_path_factory.mktemp("undisturbed"), corpora, tiny_encoder)


def test_killed_it_goes_on_inside_the_cell_and_finished_cells_are_not_run_again(
    undisturbed, corpora, tiny_encoder, tmp_path
):
    plan, wanted, _ = undisturbed
    store = Store(tmp_path / "work")
    process = fork_context().Process(target=run_to_be_killed, args=(tmp_path, corpora, tiny_encoder))
    process.start()
    # The last cell, which started from the model of the first, is in the middle of its training.
    *before, last = plan
    while process.is_alive() and not list(store.cell(last.key).glob("training/checkpoint/step-*[1-9]")):
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    finished = {path: path.stat().st_mtime_ns for path in store.result("").parent.glob("*.json")}
    assert {path.stem for path in finished} == {planned.key for planned in before}
    found, _, notes = run(tmp_path, corpora, tiny_encoder)
    assert notes.cells == [last.cell.name] == ["de, then fr 12, seed 0"]
    assert notes.first[last.cell.name, "training"] > 0
    for path, written in finished.items():
        assert path.stat().st_mtime_ns == written
    for ours, theirs in zip(store.read(found), wanted.read(plan), strict=True):
        assert without_clock(ours) == without_clock(theirs)


def test_what_is_finished_is_not_run_again_and_leaves_no_models(undisturbed, corpora, tiny_encoder):
    plan, store, notes = undisturbed
    assert notes.cells == ["de, seed 0", "all, seed 0", "fr 12, seed 0", "de, then fr 12, seed 0"]
    assert list(store.cell("").iterdir()) == []
    again = run(store.folder.parent, corpora, tiny_encoder)
    assert again[2].cells == []
    assert again[1].read(again[0]) == store.read(plan)


def test_all_cells_together_have_each_sentence_go_through_frozen_layers_once(
    corpora, tiny_encoder, tmp_path, monkeypatch
):
    computed: list[bytes] = []
    packed = FrozenLayers._packed

    def watched(self: FrozenLayers, windows: list[torch.Tensor]) -> list[torch.Tensor]:
        computed.extend(window.numpy().tobytes() for window in windows)
        return packed(self, windows)

    monkeypatch.setattr(FrozenLayers, "_packed", watched)
    _, _, notes = run(tmp_path, corpora, tiny_encoder)
    assert len(notes.cells) == 4 and len(computed) > 50
    assert len(set(computed)) == len(computed)


def test_a_longer_curve_runs_what_is_new_and_makes_the_model_again_that_it_needs(
    undisturbed, corpora, tiny_encoder, tmp_path
):
    plan, store, _ = undisturbed
    shutil.copytree(store.folder, tmp_path / "work")
    longer, _, notes = run(tmp_path, corpora, tiny_encoder, SMALL.replace("[12]", "[8, 12]"))
    assert notes.cells == ["de, seed 0", "fr 8, seed 0", "de, then fr 8, seed 0"]
    of_source = plan[0].key
    assert Store(tmp_path / "work").result(of_source).read_bytes() == store.result(of_source).read_bytes()
    assert len(longer) == len(plan) + 2


def test_a_cell_that_starts_from_a_model_has_its_weights_and_learns_on(corpora, tiny_encoder, saved, tmp_path):
    recipe = SMALL.replace("[training]", '[training]\n"nlp.lang" = "en"')  # that of the saved pipeline
    plan, setup, _ = prepare(tmp_path, corpora, tiny_encoder, recipe)
    corpus = str(setup.material.part("fr", "train").docs)
    config = make_config(plan[-1].cell, setup, Paths(corpus, corpus, tiny_encoder, str(saved)), 12)
    nlp = init_nlp(config)
    weights, source = (each.get_pipe("ner").shim.network.state_dict() for each in (nlp, runs.load_pipeline(str(saved))))
    assert weights.keys() == source.keys()
    assert all(torch.equal(weights[name], source[name]) for name in source)
    train(nlp, tmp_path / "out", stdout=StringIO(), stderr=StringIO())
    learnt = nlp.get_pipe("ner").shim.network.state_dict()
    assert not torch.equal(learnt["head.weight"], source["head.weight"])


def test_results_say_what_was_trained(undisturbed):
    plan, store, _ = undisturbed
    results = {result["group"]: result for result in store.read(plan)}
    assert results["all"]["sentences"] == {"de": 24, "fr": 12}
    training = results["fr 12"]["training"]
    assert (results["fr 12"]["epochs"], training["steps"]) == (2, 7)
    assert [row["step"] for row in training["evaluations"]] == [0, 3, 6]
    best = max(training["evaluations"], key=lambda row: (row["f1"], -row["step"]))
    assert (training["chosen_step"], training["chosen_f1"]) == (best["step"], best["f1"])


ZERO_SHOT = """
languages = ["de", "fr"]
source = "de"
trainings = []

[corpus]
from = "{folder}/{language}"
"""


def test_zero_shot_needs_nothing_of_the_target_but_its_test_sentences(corpora, tiny_encoder, tmp_path):
    shutil.copytree(corpora, tmp_path / "corpora")
    (tmp_path / "corpora/fr/train.conll").unlink()
    (tmp_path / "corpora/fr/dev.conll").unlink()
    training = RECIPE[RECIPE.index("[training]") : RECIPE.index("[variants")]
    plan, store, notes = run(tmp_path, tmp_path / "corpora", tiny_encoder, ZERO_SHOT + training)
    assert notes.cells == ["de, seed 0"]
    (result,) = store.read(plan)
    assert set(result["tests"]) == {"de", "fr"}
    assert sorted(folder.name.rsplit("-", 1)[0] for folder in store.corpora.iterdir()) == [
        *("de-dev", "de-test", "de-train", "fr-test")
    ]


def test_self_training_learns_from_what_the_source_says_of_the_target(corpora, tiny_encoder, tmp_path, monkeypatch):
    recipe = ZERO_SHOT + RECIPE[RECIPE.index("[training]") :]
    plan, setup, store = prepare(tmp_path, corpora, tiny_encoder, recipe)
    taught = plan[-1]
    monkeypatch.setattr(runs, "_tidy", lambda store, keep: None)
    run_plan(plan, setup, store, Notes())
    taken = srsly.read_json(store.result(taught.key))["self_training"]["fr"]
    assert taken["read"] == taken["kept"] == 10
    vocab = runs.load_pipeline(str(store.model(taught.key))).vocab
    docs = list(read_docs(store.cell(taught.key) / "train.spacy", vocab))
    annotated = [doc for doc in docs if doc.user_data["language"] == "fr"]
    assert len(annotated) == 10 and len(docs) == 34
    assert sum(len(doc.ents) for doc in annotated) == taken["entities"]
    assert sum(token.ent_iob == 0 for doc in annotated for token in doc) == taken["unsaid"]
    teacher = runs.load_pipeline(str(store.model(plan[0].key)))
    for doc in annotated:
        assert [str(entity) for entity in doc.ents] == [str(entity) for entity in _said(teacher, doc).ents]


def _said(teacher, doc):
    return next(teacher.pipe([runs.without_annotation(doc, teacher.vocab)]))


def test_two_runs_do_not_work_in_one_folder(corpora, tiny_encoder, tmp_path):
    plan, setup, store = prepare(tmp_path, corpora, tiny_encoder)
    with (
        store.locked(),
        pytest.raises(TransferError, match=r"Another run is working in .*--work"),
    ):
        run_plan(plan, setup, store, Notes())


def test_a_training_without_hope_says_which_cell_it_is(corpora, tiny_encoder, tmp_path):
    recipe = SMALL.replace('unmoved" = 0', 'unmoved" = 2').replace("3e-3", "0.0")
    with pytest.raises(TransferError, match=r"^de, seed 0: The scores on dev are .* what they were at the start"):
        run(tmp_path, corpora, tiny_encoder, recipe)


def test_the_pace_is_measured_before_there_are_cells_and_taken_from_them_afterwards(
    undisturbed, corpora, tiny_encoder, tmp_path
):
    plan, setup, store = prepare(tmp_path, corpora, tiny_encoder)
    assert pace_so_far(plan, store) is None
    assert min(measure_pace(plan[0], setup)) > 0
    known = pace_so_far(undisturbed[0], undisturbed[1])
    assert known is None or min(known) > 0
    assert list(store.folder.glob("results/*")) == []


def test_the_command_plans_runs_and_writes(undisturbed, corpora, tiny_encoder, tmp_path):
    """With four cells finished, one to be run, and one to be made again because that starts from it."""
    _, store, _ = undisturbed
    shutil.copytree(store.folder, tmp_path / "work")
    recipe = write_recipe(tmp_path, corpora, SMALL + RECIPE[RECIPE.index("[variants") :])
    options = [recipe, "--encoder", tiny_encoder, "--work", tmp_path / "work", "--resamples", 100]
    planned = run_script("scripts/transfer.py", *options, "--plan", "--sentences-per-second", "100", "1000")
    assert planned.returncode == 0, planned.stderr
    assert "2 of 5 cells are to be run" in " ".join(planned.stdout.split())
    assert len(list(tmp_path.glob("work/results/*"))) == 4
    outputs = ["--output", tmp_path / "out", "--results", tmp_path / "results.json"]
    ran = run_script("scripts/transfer.py", *options, *outputs, "--sentences-per-second", "100", "1000")
    assert ran.returncode == 0, ran.stderr
    assert len(list(tmp_path.glob("work/results/*"))) == 5
    for title in ("Plan", "Trained on, tested on", "Few labels of fr", "What variants change", "Seen in training"):
        assert title in ran.stdout
    names = {"transfer.json", "transfer.md", "drop.png", "few-labels.png"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    report = srsly.read_json(tmp_path / "results.json")
    assert report == srsly.read_json(tmp_path / "out/transfer.json")
    # All settings are there, and the scores of each cell are those of its counts.
    assert {cell["made_of"]["config"]["training.optimizer.learn_rate.peak"] for cell in report["cells"]} == {3e-3}
    for cell in report["cells"]:
        for language, test in cell["tests"].items():
            scored = report["scores"]["groups"][cell["group"]][language]
            assert scored["by_seed"] == [pytest.approx(test["f1"])]
            assert test["gold"] == sum(row["gold"] for row in test["per_type"].values()) > 0
    seen = {(row["trained_on"], row["target"]): row for row in report["explained"]}
    assert set(seen) == {("de", "fr")}
    assert 0 < seen["de", "fr"]["words_seen"] < 1 and seen["de", "fr"]["script"] == "Latin"
    drop = report["scores"]["groups"]["de"]["de"]["f1"] - report["scores"]["groups"]["de"]["fr"]["f1"]
    assert seen["de", "fr"]["drop"] == pytest.approx(drop)
    markdown = (tmp_path / "out/transfer.md").read_text(encoding="utf8")
    assert "![few labels](few-labels.png)" in markdown and "| de, taught | 0 | fr | 10 | 10 |" in markdown


def test_an_experiment_that_cannot_be_read_is_one_plain_sentence(tmp_path):
    (tmp_path / "x.toml").write_text("languages = 3")
    result = run_script("scripts/transfer.py", tmp_path / "x.toml", "--plan")
    assert result.returncode == 1
    assert "languages = 3 is of the wrong kind; it is a list" in result.stderr and "Traceback" not in result.stderr


def test_an_encoder_that_is_not_there_is_said_before_anything_is_read(corpora, tmp_path):
    recipe = write_recipe(tmp_path, corpora)
    result = run_script("scripts/transfer.py", recipe, "--encoder", tmp_path / "none", "--work", tmp_path / "work")
    assert result.returncode == 1
    assert f"There is no encoder in {tmp_path / 'none'}" in result.stderr.replace("\n", "")
    assert not (tmp_path / "work").exists()
