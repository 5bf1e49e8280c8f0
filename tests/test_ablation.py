"""Settings are compared with the same seeds on dev, finished runs are kept, and faults are named before training."""

from pathlib import Path

import pytest
from spacy.tokens import DocBin

from multiner import ablation
from multiner.ablation import ablation_table, describe_ablation, list_runs, make_runs, read_ablation
from multiner.recipes import RecipeError

from .conftest import PROJECT, SENTENCES, make_doc, run_script, starting_from


@pytest.fixture
def recipe(tmp_path, nlp, tiny_encoder) -> Path:
    for part in ("train", "dev"):
        DocBin(docs=[make_doc(nlp, *sentence) for sentence in SENTENCES]).to_disk(tmp_path / f"{part}.spacy")
    settings = {**starting_from(tiny_encoder), "system.epochs": 2, "system.batch_size": 1}
    settings["training.before_update.without_entity"] = 0  # so few steps need not find one
    lines = [f'{name} = "{tmp_path / name}.spacy"' for name in ("train", "dev")]
    lines += [f'config = "{PROJECT}/configs/e5-small.cfg"', f'encoder = "{tiny_encoder}"', "seeds = [0, 1]"]
    lines += ["[settings]", *(f'"{place}" = {value!r}' for place, value in settings.items())]
    lines += ['[variants."as it is"]', "[variants.faster]", '"training.optimizer.learn_rate.peak" = 1e-3']
    (tmp_path / "tiny.toml").write_text("\n".join(lines))
    return tmp_path / "tiny.toml"


def change(recipe: Path, old: str, new: str) -> Path:
    text = recipe.read_text()
    assert old in text
    recipe.write_text(text.replace(old, new))
    return recipe


def keys(recipe: Path) -> list[str]:
    return [run.key for run in list_runs(read_ablation(recipe))]


def test_every_variant_is_trained_with_every_seed_and_finished_runs_are_kept(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(ablation, "in_own_process", lambda function, *arguments: function(*arguments))
    compared = read_ablation(recipe)
    runs, told = list_runs(compared), []
    reports = make_runs(runs, tmp_path / "work", told.append)
    assert [(run.variant, run.seed) for run in told] == [
        (variant, seed) for seed in (0, 1) for variant in ("as it is", "faster")
    ]
    for report in reports:
        assert report["f1"] == max(report["f1_by_epoch"]) and len(report["f1_by_epoch"]) == 2
        assert report["sentences_per_second"] > 0 and report["peak_memory_mb"] > 50
    monkeypatch.setattr(ablation, "_train", None)
    told.clear()
    assert make_runs(runs, tmp_path / "work", told.append) == reports and not told


def test_what_is_shown_are_means_over_seeds_and_differences_with_the_same_seeds(recipe):
    compared = read_ablation(recipe)
    scores = {("as it is", 0): 0.5, ("as it is", 1): 0.6, ("faster", 0): 0.53, ("faster", 1): 0.61}
    figures = {"sentences_per_second": 40.0, "peak_memory_mb": 1000}
    reports = [{"variant": name, "seed": seed, "f1": f1, **figures} for (name, seed), f1 in scores.items()]
    report = describe_ablation(compared, reports)
    assert report["variants"]["faster"]["changes"] == {"training.optimizer.learn_rate.peak": 1e-3}
    assert report["variants"]["faster"]["difference"] == pytest.approx(0.02)
    assert ablation_table(report).rows == [
        ("as it is", "55.0 ± 7.1", "", "40.0", "1,000"),
        ("faster", "57.0 ± 5.7", "+2.0 ± 1.4", "40.0", "1,000"),
    ]


def test_a_run_is_another_if_anything_that_decides_on_its_scores_is(recipe, tmp_path, nlp):
    before = keys(recipe)
    assert len(set(before)) == 4
    moved = tmp_path / "elsewhere.spacy"
    (tmp_path / "dev.spacy").rename(moved)
    assert keys(change(recipe, str(tmp_path / "dev.spacy"), str(moved))) == before
    after = keys(change(recipe, "1e-3", "2e-3"))
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, True, False]
    DocBin(docs=[make_doc(nlp, *SENTENCES[0])]).to_disk(moved)
    assert not set(keys(recipe)) & set(before)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds = [0, 1]", "", "there is no 'seeds'"),
        ("[variants.faster]", "[variants.faster", "is TOML"),
        ("[settings]", "[setings]", "setings"),
        ("training.optimizer.learn_rate.peak", "training.nothing.peak", "faster: its settings do not fit"),
    ],
)
def test_faults_are_named_before_anything_is_trained(recipe, old, new, message):
    with pytest.raises(RecipeError, match=message):
        list_runs(read_ablation(change(recipe, old, new)))


def test_the_command_prints_the_table_and_writes_the_figures(recipe, tmp_path):
    output = tmp_path / "figures.json"
    done = run_script("scripts/ablate.py", recipe, "--work", tmp_path / "work", "--output", output)
    assert done.returncode == 0, done.stderr
    assert "as it is" in done.stdout and output.exists()


@pytest.mark.parametrize("file", sorted((PROJECT / "configs/ablation").glob("*.toml")), ids=lambda path: path.stem)
def test_the_ablations_of_the_project_can_be_read(file):
    assert len(read_ablation(file).variants) > 1
