"""The project around the library: commands, configs, documents, and the whole way from files to wheels."""

import json
import re
import zipfile
from pathlib import Path

import pytest
import spacy
import srsly
import torch
from spacy.util import dict_to_dot, load_config
from weasel.cli.document import project_document
from weasel.util import get_checksum

from multiner.columns import column_lines
from multiner.devices import DeviceError, prepare_device
from multiner.pipe import Multiner
from multiner.recipes import read_recipe

from .conftest import PROJECT, SENTENCES, SHARED_DATA, run_script, starting_from

PROJECT_FILE = srsly.read_yaml(PROJECT / "project.yml")
COMMANDS = PROJECT_FILE["commands"]
LIBRARY = sorted(path.relative_to(PROJECT).as_posix() for path in (PROJECT / "components/multiner").rglob("*.py"))
# What making wheels and asking people on the terminal need, but no weight depends on.
NOT_FOR_TRAINING = {
    "__init__",
    "__main__",
    "ablation",
    "alphabets",
    "analysis",
    "analysis_speed",
    "annotate",
    "annotation_speed",
    "annotator",
    "benchmark_tables",
    "benchmark_texts",
    "bundled",
    "calibration_report",
    "commands",
    "compacting",
    "comparison",
    "console",
    "conversion_speed",
    "document_scores",
    "demo",
    "engines",
    "errors",
    "evaluation",
    "fingerprints",
    "explained",
    "figures",
    "files",
    "gpu_use",
    "hopeless",
    "inputs",
    "intervals",
    "loading_speed",
    "losses",
    "manifest",
    "matching",
    "material",
    "memory_use",
    "model_card",
    "outcome",
    "outputs",
    "packaging",
    "pictures",
    "pipelines",
    "plan",
    "plots",
    "prediction_speed",
    "predictions",
    "progress",
    "publishing",
    "quantising",
    "rank_processes",
    "ray_engine",
    "recipe",
    "rejoining",
    "relabelling",
    "report",
    "report_plots",
    "report_tables",
    "runs",
    "scores",
    "self_training",
    "show",
    "small_pipeline",
    "speed_plot",
    "statistics",
    "statistics_plots",
    "statistics_tables",
    "storage",
    "suspects",
    "tables",
    "tensorboard",
    "training_curve",
    "training_speed",
    "trimming",
    "vocabulary",
    "watching",
}
# They make the corpus, on which training depends instead; the last four serve both.
MAKING_CORPORA = {
    *{"catalog", "columns", "corpora", "hub", "jsonl", "labels", "recipes", "sentences", "spacing"},
    *{"docbins", "ranks", "tags", "tokenizer"},
}
NOT_FOR_TRAINING |= MAKING_CORPORA - {"docbins", "ranks", "tags", "tokenizer"}


def command(name: str) -> dict:
    return next(entry for entry in COMMANDS if entry["name"] == name)


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        (
            "e5-small",
            "xlm-roberta-base",
            {
                "initialize.components.ner.layers",
                "training.dropout",
                *(f"components.ner.model.{name}" for name in ("frozen_layers", "word_pieces", "mixed_layers", "crf")),
            },
        ),
        ("xlm-roberta-base", "xlm-roberta-large", set()),
    ],
)
def test_configs_differ_only_in_what_has_to_differ(one, other, wanted):
    ours, theirs = (dict_to_dot(load_config(PROJECT / f"configs/{name}.cfg")) for name in (one, other))
    different = {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}
    assert different == {"paths.encoder", "training.optimizer.learn_rate.peak", *wanted}


@pytest.mark.parametrize("config", sorted((PROJECT / "configs").glob("*.cfg")), ids=lambda path: path.stem)
def test_every_config_builds_a_pipeline_as_it_stands(config):
    if config.stem == "shared":
        pytest.importorskip("spacy_transformers", reason="the extra `shared` is not installed")
    nlp = spacy.util.load_model_from_config(load_config(config), auto_fill=True)
    assert isinstance(nlp.get_pipe("ner"), Multiner)
    assert nlp.pipe_names == (["transformer", "ner", "tagger"] if config.stem == "shared" else ["ner"])


@pytest.mark.parametrize("config", sorted((PROJECT / "configs").glob("*.cfg")), ids=lambda path: path.stem)
def test_every_config_trains_as_it_stands_on_what_the_project_converts_by_default(config):
    corpus = PROJECT_FILE["vars"]["corpus"]
    converted = {output.replace("${vars.corpus}", corpus) for output in command("convert")["outputs_no_cache"]}
    paths = load_config(config)["paths"]
    assert {paths["train"], paths["dev"]} <= converted


def test_the_config_of_a_shared_encoder_trains_as_the_others_do():
    ours, theirs = (
        dict_to_dot(load_config(PROJECT / f"configs/{name}.cfg")) for name in ("shared", "xlm-roberta-base")
    )
    different = {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}
    assert {key for key in different if not key.startswith("components.")} == {
        "nlp.pipeline",
        "nlp.batch_size",
        "training.score_weights.ents_f",
        "training.score_weights.tag_acc",
        "initialize.components.ner.encoder",
    }


def test_dependencies_of_commands_name_every_part_they_depend_on():
    library = [*LIBRARY, "components/multiner/templates"]
    assert [dep for dep in command("package")["deps"] if dep.startswith("components/")] == library
    wanted = {path for path in LIBRARY if Path(path).stem not in NOT_FOR_TRAINING}
    assert {dep for dep in command("train")["deps"] if dep.startswith("components/")} == wanted
    made_by = {Path(dep).stem for dep in command("convert")["deps"] if dep.startswith("components/")}
    assert made_by == MAKING_CORPORA
    for entry in COMMANDS:
        for dep in entry.get("deps", []):
            path = dep.split("${")[0]
            made_by_us = path.startswith(("assets/", "corpus/", "training/", "metrics/", "packages/")) and "${" in dep
            assert made_by_us or not path or (PROJECT / path).exists(), dep
        for line in entry["script"]:
            script = line.split()[1]
            assert script == "-m" or script in entry.get("deps", []) or entry["name"] in {"clean", "train"}, line


def test_the_readme_describes_the_commands_as_they_are(tmp_path):
    readme = tmp_path / "README.md"
    text = (PROJECT / "README.md").read_text(encoding="utf8")
    readme.write_text(text, encoding="utf8")
    project_document(PROJECT, readme, no_emoji=True)
    assert readme.read_text(encoding="utf8") == text, (
        "run: python -m spacy project document --output README.md --no-emoji"
    )


def test_published_files_are_the_ones_that_were_tested():
    assets = {Path(asset["dest"]).name: asset["checksum"] for asset in PROJECT_FILE["assets"]}
    assert sorted(assets) == ["dev.conll", "test.conll", "train.conll"]
    if not SHARED_DATA.is_dir():
        pytest.skip("the real corpora are not on this machine")
    for name, checksum in assets.items():
        assert get_checksum(SHARED_DATA / "wnut17" / name) == checksum


@pytest.mark.parametrize("recipe", sorted((PROJECT / "corpus/recipes").glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_can_be_read(recipe):
    assert read_recipe(recipe).labels == ("LOC", "ORG", "PER")


def test_every_test_that_the_contract_names_is_there():
    named: list[tuple[str, str]] = []
    for file, test in re.findall(r"(test_\w+\.py)?::(test_\w+)", (PROJECT / "docs/contract.md").read_text("utf8")):
        named.append((file or named[-1][0], test))
    assert len(named) > 30
    for file, test in named:
        assert f"def {test}(" in (PROJECT / "tests" / file).read_text("utf8"), f"{file}::{test}"


@pytest.mark.parametrize("script", sorted((PROJECT / "scripts").glob("*.py")), ids=lambda path: path.stem)
def test_every_script_explains_itself(script):
    result = run_script(script, "--help")
    assert result.returncode == 0
    assert "Usage" in result.stdout and len(result.stdout.splitlines()) > 8


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_one_plain_sentence(tmp_path):
    with pytest.raises(DeviceError, match="GPU 0 was asked for, but torch .* sees none here. Use --vars.gpu_id -1"):
        prepare_device(0)
    result = run_script("scripts/preflight.py", tmp_path, tmp_path, "--gpu-id", "0")
    assert result.returncode == 1
    assert result.stderr.startswith("✘ GPU 0 was asked for") and "Traceback" not in result.stderr


def test_a_hub_that_cannot_be_reached_is_one_plain_sentence(tmp_path, no_network):
    result = run_script("scripts/encoder.py", "xlm-roberta-base", tmp_path / "encoder")
    assert result.returncode == 1
    assert "The encoder 'xlm-roberta-base' is not a folder here" in result.stderr and "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_from_files_to_wheels(tiny_encoder, tmp_path):
    """Convert, train, evaluate and package as the project's commands do, with a tiny encoder."""
    from multiner.sentences import Sentence
    from multiner.tags import Span, tags_from_spans

    sentences = [
        Sentence(words, tags_from_spans([Span(*entity) for entity in entities], len(words)), "en", "made here")
        for words, entities in SENTENCES
    ]
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.conll").write_text("".join(column_lines(sentences)), encoding="utf8")
        assert run_script("scripts/convert.py", tmp_path, tmp_path / f"{split}.spacy", "--split", split).returncode == 0
    assert run_script("scripts/encoder.py", "tiny", tmp_path / "encoder", "--source", tiny_encoder).returncode == 0
    assert run_script("scripts/preflight.py", tmp_path, tmp_path / "encoder").returncode == 0
    overrides = {
        "paths.train": tmp_path / "train.spacy",
        "paths.dev": tmp_path / "dev.spacy",
        **starting_from(tmp_path / "encoder"),
        "system.epochs": 60,
        "training.optimizer.learn_rate.peak": 3e-3,
    }
    options = [part for key, value in overrides.items() for part in (f"--{key}", value)]
    trained = run_script("scripts/train.py", "configs/e5-small.cfg", "--output", tmp_path / "out", *options)
    assert trained.returncode == 0, trained.stderr
    model = tmp_path / "out" / "model-best"
    evaluated = run_script("scripts/evaluate.py", model, tmp_path / "test.spacy", "--output", tmp_path / "scores.json")
    assert "seqeval strict IOB2" in evaluated.stdout and "seqeval default" in evaluated.stdout
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["strict"]["micro"]["f1"] == pytest.approx(scores["spacy"]["ents_f"])
    before = get_checksum(model)
    card = run_script(
        *["scripts/report.py", model, tmp_path / "scores.json", tmp_path / "card", "--train", tmp_path / "train.spacy"],
        *["--corpus", "wnut17", "--name", "tiny", "--version", "1.2.3"],
    )
    assert card.returncode == 0, card.stderr
    packaged = run_script("scripts/package.py", model, tmp_path / "card", tmp_path / "packages")
    assert packaged.returncode == 0, packaged.stderr
    # Packaging changes nothing in what it depends on, or a second `make run` would train again.
    assert get_checksum(model) == before
    library, pipeline = sorted((tmp_path / "packages").iterdir())
    assert library.name == "spacy_multiner-0.1.0-py3-none-any.whl"
    assert pipeline.name == "xx_tiny-1.2.3-py3-none-any.whl"
    with zipfile.ZipFile(pipeline) as wheel:
        meta = json.loads(wheel.read("xx_tiny/meta.json"))
        requirements = wheel.read("xx_tiny-1.2.3.dist-info/METADATA").decode()
        readme = wheel.read("xx_tiny/xx_tiny-1.2.3/README.md").decode()
    assert meta["labels"]["ner"] == ["LOC", "ORG", "PER"]
    assert meta["license"] == meta["sources"][0]["license"] == "CC-BY-4.0"
    assert meta["performance"]["ents_f"] == scores["spacy"]["ents_f"]
    assert "Requires-Dist: spacy-multiner" in requirements
    assert readme == (tmp_path / "card/README.md").read_text() and "Ada Lovelace" in readme
    with zipfile.ZipFile(library) as wheel:
        names = set(wheel.namelist())
    assert {"multiner/pipe.py", "multiner/templates/report.html.jinja"} <= names
    assert not any(name.startswith("tests") for name in names)
