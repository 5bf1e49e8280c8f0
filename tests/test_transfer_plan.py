"""Experiments in transfer: what is read of them, what is planned, and what tells one cell from another."""

import re
import shutil
from pathlib import Path

import pytest
import srsly
import torch
from spacy.util import load_config
from thinc.api import Config

from multiner import fingerprints
from multiner.fingerprints import CODE
from multiner.recipes import RecipeError
from multiner.transfer.plan import Planned, epochs_of, make_plan
from multiner.transfer.recipe import read_experiment
from multiner.transfer.runs import Pace, Store, cells_to_run
from multiner.transfer.tables import duration, plan_tables

from .conftest import PROJECT, SENTENCES
from .transfer_corpora import CONFIG, RECIPE, set_up, write_corpora, write_recipe

FULL = (
    RECIPE
    + """
[variants.alike]
on = "all"
overrides = { "training.batcher.@batchers" = "multiner.BalancedLanguages.v1", "training.batcher.exponent" = 0.0 }

[variants.continued]
on = "all"
starts_from_source = true
"""
)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpora")
    write_corpora(folder)
    return folder


def planned(folder: Path, corpora: Path, encoder: str, recipe: str = FULL) -> dict[str, Planned]:
    folder.mkdir(exist_ok=True)
    setup = set_up(write_recipe(folder, corpora, recipe), Store(folder / "work"), encoder)
    return {each.cell.name: each for each in make_plan(setup)}


@pytest.fixture(scope="module")
def plan(corpora: Path, tiny_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Planned]:
    return planned(tmp_path_factory.mktemp("plan"), corpora, tiny_encoder)


def keys(plan: dict[str, Planned]) -> dict[str, str]:
    return {name: each.key for name, each in plan.items()}


def changed(before: dict[str, Planned], after: dict[str, Planned]) -> set[str]:
    """The cells that are not what they were."""
    assert before.keys() == after.keys()
    return {name for name, key in keys(before).items() if keys(after)[name] != key}


def test_the_plan_has_each_alone_all_together_few_labels_and_variants(plan):
    with_seed_0 = {
        *("de", "fr", "all", "de, taught", "all, alike", "all, continued"),
        *("fr 4", "de, then fr 4", "fr 12", "de, then fr 12"),
    }
    with_seed_1 = {"de", "fr", "all", "de, taught", "all, alike", "all, continued"}
    assert set(plan) == {f"{name}, seed 0" for name in with_seed_0} | {f"{name}, seed 1" for name in with_seed_1}
    assert plan["all, seed 0"].sentences == {"de": 24, "fr": 12}
    assert plan["de, taught, seed 0"].sentences == {"de": 24, "fr, unlabelled": 10}
    assert plan["fr 4, seed 0"].sentences == {"fr": 4}
    assert plan["fr 4, seed 0"].passes == 8
    assert plan["all, seed 0"].test_sentences == 32 and plan["fr 4, seed 0"].test_sentences == 16
    assert len(set(keys(plan).values())) == len(plan)


def test_a_variant_on_each_is_trained_on_each_language_alone(corpora, tiny_encoder, tmp_path):
    overrides = "{ 'components.ner.model.frozen_layers' = 0 }"
    recipe = RECIPE + f'\n[variants.learns]\non = "each"\noverrides = {overrides}\n'
    plan = planned(tmp_path, corpora, tiny_encoder, recipe)
    for language in ("de", "fr"):
        usual, variant = plan[f"{language}, seed 1"], plan[f"{language}, learns, seed 1"]
        assert usual.sentences == variant.sentences and usual.made_of["dev"] == variant.made_of["dev"]
        assert variant.made_of["config"]["components.ner.model.frozen_layers"] == 0
        assert usual.made_of["config"]["components.ner.model.frozen_layers"] == 1


def test_cells_come_after_those_whose_models_they_need(plan):
    order = [each.key for each in plan.values()]
    for each in plan.values():
        assert all(order.index(model) < order.index(each.key) for model in each.models)
    assert plan["de, then fr 4, seed 0"].models == plan["de, taught, seed 0"].models == (plan["de, seed 0"].key,)
    assert plan["all, continued, seed 1"].models == (plan["de, seed 1"].key,)


def test_the_epoch_is_chosen_on_the_languages_that_are_trained_on(plan):
    assert set(plan["de, seed 0"].made_of["dev"]) == set(plan["de, taught, seed 0"].made_of["dev"]) == {"de"}
    assert set(plan["all, seed 0"].made_of["dev"]) == {"de", "fr"}


def test_sentences_are_drawn_as_datasets_draws_them_and_few_are_among_more(corpora, tiny_encoder, tmp_path):
    datasets = pytest.importorskip("datasets")
    setup = set_up(write_recipe(tmp_path, corpora), Store(tmp_path / "work"), tiny_encoder)
    for seed in (0, 1):
        shuffled = datasets.Dataset.from_dict({"row": list(range(24))}).shuffle(seed=seed)["row"]
        for count in (4, 12):
            assert setup.material.train("fr", count, seed).rows == sorted(shuffled[:count])
    assert setup.material.train("fr").rows == setup.material.train("fr", 12, 0).rows  # the share of one half


def test_what_is_held_out_to_choose_the_epoch_by_is_never_trained_on(corpora, tiny_encoder, tmp_path):
    recipe = RECIPE.replace("[shares]", '[parts]\ntrain = "dev"\ndev_sentences = 3\ntest_sentences = 5\n\n[shares]')
    material = set_up(write_recipe(tmp_path, corpora, recipe), Store(tmp_path / "work"), tiny_encoder).material
    dev, train = material.dev("de"), material.train("de")
    assert dev.part == train.part and len(dev.rows) == 3 and len(train.rows) == 5
    assert not set(dev.rows) & set(train.rows)
    assert len(material.test("de").rows) == 5


def test_neither_paths_nor_the_order_of_languages_are_part_of_a_cell(plan, corpora, tiny_encoder, tmp_path):
    shutil.copytree(corpora, tmp_path / "elsewhere")
    shutil.copytree(tiny_encoder, tmp_path / "encoder")
    recipe = FULL.replace('languages = ["de", "fr"]', 'languages = ["fr", "de"]').replace("[0, 1]", "[1, 0]")
    moved = planned(tmp_path / "plan", tmp_path / "elsewhere", str(tmp_path / "encoder"), recipe)
    assert changed(plan, moved) == set()


def test_another_sentence_makes_other_cells_and_only_those_that_have_it(plan, corpora, tiny_encoder, tmp_path):
    shutil.copytree(corpora, tmp_path / "corpora")
    file = tmp_path / "corpora/fr/dev.conll"
    file.write_text(file.read_text().replace("habite", "habitait", 1))
    after = planned(tmp_path / "plan", tmp_path / "corpora", tiny_encoder)
    assert changed(plan, after) == {name for name in plan if name.startswith(("fr", "all", "de, then"))}
    # A test set belongs to every cell that is tested on it.
    file = tmp_path / "corpora/fr/test.conll"
    file.write_text(file.read_text().replace("habite", "habitait", 1))
    assert changed(plan, planned(tmp_path / "plan", tmp_path / "corpora", tiny_encoder)) == set(plan)


def test_the_annotation_of_a_target_is_no_part_of_self_training(plan, corpora, tiny_encoder, tmp_path):
    shutil.copytree(corpora, tmp_path / "corpora")
    file = tmp_path / "corpora/fr/train.conll"
    file.write_text(file.read_text().replace("B-LOC", "B-PER"))
    after = planned(tmp_path / "plan", tmp_path / "corpora", tiny_encoder)
    assert changed(plan, after) == {name for name in plan if name.startswith(("fr", "all", "de, then"))}


def test_settings_make_other_cells(plan, corpora, tiny_encoder, tmp_path):
    after = planned(tmp_path / "rate", corpora, tiny_encoder, FULL.replace("3e-3", "2e-3"))
    assert changed(plan, after) == set(plan)
    gentle = 'sizes = [4, 12]\ncontinued = { "training.optimizer.head_factor" = 1.0 }'
    after = planned(tmp_path / "gentle", corpora, tiny_encoder, FULL.replace("sizes = [4, 12]", gentle))
    assert changed(plan, after) == {"de, then fr 4, seed 0", "de, then fr 12, seed 0"}
    after = planned(tmp_path / "alike", corpora, tiny_encoder, FULL.replace('exponent" = 0.0', 'exponent" = 0.5'))
    assert changed(plan, after) == {"all, alike, seed 0", "all, alike, seed 1"}
    after = planned(tmp_path / "sure", corpora, tiny_encoder, FULL.replace("outside = 0.5", "outside = 0.6"))
    assert changed(plan, after) == {"de, taught, seed 0", "de, taught, seed 1"}


def test_another_encoder_or_other_code_makes_other_cells(plan, corpora, tiny_encoder, tmp_path, monkeypatch):
    from transformers import AutoModel

    shutil.copytree(tiny_encoder, tmp_path / "encoder")
    model = AutoModel.from_pretrained(tiny_encoder)
    with torch.no_grad():
        model.encoder.layer[0].output.dense.bias += 1
    model.save_pretrained(tmp_path / "encoder")
    after = planned(tmp_path / "plan", corpora, str(tmp_path / "encoder"))
    assert changed(plan, after) == set(plan)
    monkeypatch.setattr(fingerprints, "CODE", CODE[:-1])
    assert changed(plan, planned(tmp_path / "plan", corpora, tiny_encoder)) == set(plan)


def test_the_code_of_a_cell_is_what_the_project_says_that_weights_depend_on():
    train = next(entry for entry in srsly.read_yaml(PROJECT / "project.yml")["commands"] if entry["name"] == "train")
    library = {Path(dep).stem for dep in train["deps"] if dep.startswith("components/")}
    assert set(CODE) == library | {"matching", "self_training"}


def test_epochs_are_those_that_the_config_says_for_a_corpus_of_the_size():
    assert epochs_of(load_config(CONFIG, overrides={"system.size": "thousands"})) == 5
    assert epochs_of(load_config(CONFIG, overrides={"system.epochs": 3})) == 3
    with pytest.raises(RecipeError, match=r"does not say in \[system\] how many epochs"):
        epochs_of(Config({"training": {"max_epochs": 3}}))


def test_the_plan_says_what_is_finished_and_how_long_the_rest_takes(plan, tmp_path):
    store = Store(tmp_path)
    waiting = cells_to_run(list(plan.values()), store)
    assert waiting == list(plan.values())
    (tmp_path / "results").mkdir()
    done = [each for name, each in plan.items() if name.endswith("1")]
    for each in done:
        srsly.write_json(store.result(each.key), {})
    waiting = cells_to_run(list(plan.values()), store)
    assert len(waiting) == len(plan) - len(done)
    pace = Pace(training=2.0, testing=10.0)
    (table,) = plan_tables(list(plan.values()), {each.key for each in waiting}, pace)
    rows = {row[0]: row for row in table.rows}
    # 24 sentences in two epochs; 32 of test, and 8 of dev twice, at each of three evaluations.
    assert rows["de"][1:5] == ("0, 1", "1", duration(48 / 2 + (32 + 2 * 3 * 8) / 10), "de 24")
    assert f"{len(waiting)} of {len(plan)} cells are to be run" in table.meaning
    assert duration(sum(map(pace.seconds, waiting))) in table.meaning


def test_a_finished_model_that_is_gone_is_trained_again_only_if_a_cell_needs_it(plan, tmp_path):
    store = Store(tmp_path)
    (tmp_path / "results").mkdir()
    needed = plan["de, then fr 4, seed 0"]
    for each in plan.values():
        if each is not needed:
            srsly.write_json(store.result(each.key), {})
    assert [each.cell.name for each in cells_to_run(list(plan.values()), store)] == ["de, seed 0", needed.cell.name]
    store.model(plan["de, seed 0"].key).mkdir(parents=True)
    assert cells_to_run(list(plan.values()), store) == [needed]


@pytest.mark.parametrize("path", sorted((PROJECT / "configs/transfer").glob("*.toml")), ids=lambda path: path.stem)
def test_every_experiment_can_be_read(path):
    experiment = read_experiment(path)
    assert experiment.source in experiment.languages and experiment.name == path.stem


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('source = "de"', 'source = "it"', "source has 'it', which is none of de, fr"),
        ('languages = ["de", "fr"]', 'languages = ["de"]', "has 'fr', which is none of de"),
        ('source = "de"', "", "there is no 'source'"),
        ("seeds = [0, 1]", "seeds = [0, 0]", r"seeds = \[0, 0\] must be one or more, and different"),
        ("fr = 0.5", "fr = 1.5", "must be above 0 and at most 1"),
        ("sizes = [4, 12]", "sizes = [12, 4]", "numbers of sentences, smallest first"),
        ('target = "fr"', 'target = "de"', "the target of few_labels is the source itself"),
        ("seeds = [0]", "seeds = [7]", "must be some of the experiment's"),
        ("from = ", "origin = ", "nothing says where the corpus is"),
        ("[shares]", '[parts]\ntrain = "val"\n\n[shares]', "'val' is no part of a corpus"),
        ("[shares]", '[parts]\ntrain = "dev"\n\n[shares]', "nothing says by which sentences the epoch is chosen"),
        ("sentences = 10, ", "", "there is no 'sentences'"),
        ("self_training = {", 'on = "both"\nself_training = {', 'on = "both" is none of'),
        ("self_training = {", 'on = "each"\nself_training = {', "self_training is for the source language"),
        (
            "starts_from_source = true",
            "starts_from_source = true\noverrides = { components.ner.model.window = 64 }",
            "is built as that one was",
        ),
        (
            "sizes = [4, 12]",
            "sizes = [4]\ncontinued = { components.ner.model.window = 64 }",
            "is built as that one was",
        ),
        ('source = "de"', 'source = "de"\ntrainings = ["each"]', 'is on "all", which is none of the trainings'),
        ("seeds = [0, 1]", "seed = 1", "there is no setting 'seed'"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path, old, new, said):
    assert old in FULL
    with pytest.raises(RecipeError, match=said):
        read_experiment(write_recipe(tmp_path, tmp_path, FULL.replace(old, new)))


def test_more_sentences_than_there_are_is_said_before_anything_is_trained(corpora, tiny_encoder, tmp_path):
    with pytest.raises(RecipeError, match="fr 99, seed 0: 99 sentences in 'fr' are to be trained on, and there are 24"):
        planned(tmp_path / "plan", corpora, tiny_encoder, FULL.replace("[4, 12]", "[4, 99]"))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ('"training.batcher.exponent" = 0.0, "components.ner.model.windows" = 64', "all, alike, seed 0: .*windows"),
        ('"training.batchers.size" = 64', "all, alike, seed 0: its settings do not fit .*batchers"),
        ('"training.batcher.size" = 4', "all, alike, seed 0: .*missing required argument: 'exponent'"),
    ],
)
def test_settings_that_do_not_exist_are_said_before_anything_is_trained(corpora, tiny_encoder, tmp_path, setting, said):
    recipe = FULL.replace('"training.batcher.exponent" = 0.0', setting)
    with pytest.raises(RecipeError, match=re.compile(said, re.DOTALL)):
        planned(tmp_path / "plan", corpora, tiny_encoder, recipe)


def test_repaired_tags_are_counted(corpora, tiny_encoder, tmp_path):
    shutil.copytree(corpora, tmp_path / "corpora")
    file = tmp_path / "corpora/de/train.conll"
    file.write_text(f"{SENTENCES[0][0][0]}\tI-PER\n\n" + file.read_text())
    recipe = RECIPE.replace('{language}"', '{language}"\nrepair = true')
    setup = set_up(write_recipe(tmp_path, tmp_path / "corpora", recipe), Store(tmp_path / "work"), tiny_encoder)
    assert setup.material.part("de", "train").changes == 1
    # Read again from what is kept.
    setup = set_up(write_recipe(tmp_path, tmp_path / "corpora", recipe), Store(tmp_path / "work"), tiny_encoder)
    assert setup.material.part("de", "train").changes == 1
