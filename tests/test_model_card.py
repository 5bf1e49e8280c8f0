"""What a pipeline says of itself comes from the run, and from nowhere else."""

import json
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.language import Language
from spacy.tokens import DocBin

from multiner.evaluation import evaluate_files
from multiner.files import write_json
from multiner.model_card import describe_model, readme_of, training_commands, write_card
from multiner.packaging import build_wheels

from .conftest import PROJECT, SENTENCES, make_doc


@pytest.fixture(scope="module")
def run(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A trained pipeline, its corpus and its scores."""
    folder = tmp_path_factory.mktemp("run")
    nlp: Language = spacy.load(saved)
    docs = [make_doc(nlp, *sentence) for sentence in SENTENCES]
    for doc in docs:
        doc.user_data["language"] = "en"
    paths = {"model": saved, "train": folder / "train.spacy", "scores": folder / "scores.json"}
    DocBin(docs=docs, store_user_data=True).to_disk(paths["train"])
    write_json(evaluate_files(str(saved), paths["train"], train=paths["train"], resamples=100), paths["scores"])
    return paths


def describe(run: dict[str, Path], corpus: str = "wnut17", **options):
    return describe_model(run["model"], run["scores"], run["train"], corpus, name="tiny", version="1.2.3", **options)


def test_the_card_has_data_labels_scores_speed_use_and_training(run):
    meta = describe(run)
    card = readme_of(meta)
    assert card.startswith("---\nlanguage:\n- en\nlicense: cc-by-4.0\n")
    assert "# en_tiny 1.2.3" in card and 'spacy.load("en_tiny")' in card
    assert "https://github.com/leondz/emerging_entities_17" in card and "model inherits: CC-BY-4.0" in card
    assert "noisy texts of social media" in card
    assert "| LOC | 2 | London, Manchester |" in card
    assert "| F1, seqeval strict IOB2, gold words | 100.0 | 100.0 to 100.0 |" in card
    assert "| PER | 100.0 | 100.0 | 100.0 | 100.0 to 100.0 | 3 |" in card
    assert "Trained on 4 sentences with 19 words (en 4 sentences)" in card
    assert f"{meta['performance']['words_per_second']:,.0f} words/s on " in card


def test_the_meta_has_the_same_and_is_what_spacy_expects(run):
    meta = describe(run)
    assert meta["label_examples"]["ORG"] == ["Remington Rand"]
    assert meta["performance"]["ents_f"] == 1.0
    assert meta["performance"]["intervals"]["scores"]["micro_f1"] == [1.0, 1.0]
    assert meta["license"] == meta["sources"][0]["license"] == "CC-BY-4.0"
    assert json.loads(json.dumps(meta)) == meta


def test_a_corpus_of_ones_own_has_the_licence_that_one_says(run):
    assert describe(run, "mine", data_license="CC0-1.0")["license"] == "CC0-1.0"
    assert describe(run, "mine")["license"] == "unknown"


def test_the_commands_are_those_of_the_projects_last_run_of_this_pipeline(run, tmp_path):
    lock = tmp_path / "project.lock"
    assert training_commands(lock, Path("training/mine/model-best")) == []
    outs = [{"path": "training/mine/model-best", "md5": "x"}]
    srsly.write_yaml(
        lock, {"train": {"script": ["python -m spacy train a.cfg"], "outs": outs}, "convert": {"script": ["b"]}}
    )
    assert training_commands(lock, Path("training/mine/model-best")) == ["b", "python -m spacy train a.cfg"]
    assert training_commands(lock, Path("training/other/model-best")) == []
    meta = describe(run)
    meta["training"]["commands"] = training_commands(lock, Path("training/mine/model-best"))
    assert "\n    python -m spacy train a.cfg\n" in readme_of(meta)


def test_what_is_not_there_is_named(run, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.json. Train and evaluate"):
        describe({**run, "scores": tmp_path / "nowhere.json"})
    with pytest.raises(FileNotFoundError, match=r"card/meta\.json. Write the model card first: scripts/report\.py"):
        build_wheels(run["model"], tmp_path / "card", tmp_path / "packages", library_source=PROJECT)
    assert not (tmp_path / "packages").exists()


def test_both_files_are_written_together(run, tmp_path):
    meta = describe(run)
    write_card(meta, tmp_path / "card")
    assert sorted(path.name for path in (tmp_path / "card").iterdir()) == ["README.md", "meta.json"]
    assert (tmp_path / "card/README.md").read_text(encoding="utf8") == readme_of(meta)
