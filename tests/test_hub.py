"""Datasets by name, read from folders that have the form of the hub's repositories."""

from pathlib import Path

import numpy as np
import pytest

datasets = pytest.importorskip("datasets")

from multiner.catalog import HUB, SOURCES  # noqa: E402
from multiner.corpora import convert, convert_splits  # noqa: E402
from multiner.docbins import read_sentences  # noqa: E402
from multiner.hub import DatasetError  # noqa: E402
from multiner.recipes import Recipe, RecipeError, SourceRecipe  # noqa: E402
from multiner.sentences import CorpusError, SplitError  # noqa: E402
from multiner.tags import Scheme  # noqa: E402

from .conftest import run_script  # noqa: E402

TAGS = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"]
ROWS = {"train": 1000, "validation": 40, "test": 40}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))


def write_repository(folder: Path, parts: dict[tuple[str, str], "datasets.Dataset"]) -> Path:
    """A folder with parquet files, and a card that says which belong to which configuration."""
    card = ["---", "configs:"]
    for config in dict.fromkeys(config for config, _ in parts):
        card += [f"- config_name: {config}", "  data_files:"]
        for (other, split), rows in parts.items():
            if other == config:
                (folder / config).mkdir(parents=True, exist_ok=True)
                rows.to_parquet(folder / config / f"{split}.parquet")
                card += [f"  - split: {split}", f"    path: {config}/{split}.parquet"]
    (folder / "README.md").write_text("\n".join([*card, "---", ""]))
    return folder


def rows(count: int, language: str, names: list[str] | None = TAGS, **columns) -> "datasets.Dataset":
    tag = datasets.ClassLabel(names=names) if names else datasets.Value("int64")
    content = {
        "tokens": [[f"{language}{index}", "x"] for index in range(count)],
        "ner_tags": [[5, 0]] * count,
        **columns,
    }
    features = {name: datasets.List(datasets.Value("string")) for name in content}
    features |= {name: datasets.Value("string") for name in columns}
    return datasets.Dataset.from_dict(content, features=datasets.Features(features | {"ner_tags": datasets.List(tag)}))


@pytest.fixture
def xtreme(tmp_path: Path) -> Path:
    languages = ("de", "fr", "it", "en")
    return write_repository(
        tmp_path / "xtreme",
        {
            (f"PAN-X.{language}", split): rows(count, language)
            for language in languages
            for split, count in ROWS.items()
        },
    )


def recipe(origin: str, **settings) -> Recipe:
    return Recipe((SourceRecipe(origin, **settings),))


def test_the_swiss_corpus_is_drawn_row_by_row_as_the_book_draws_it(xtreme, tmp_path):
    result = run_script(
        *["scripts/convert.py", "panx", tmp_path / "panx.spacy", "--repository", xtreme],
        *["--lang", "de,fr,it,en", "--fractions", ".629,.229,.084,.059", "--seed", "0"],
    )
    assert result.returncode == 0, result.stderr
    found = list(read_sentences(tmp_path / "panx.spacy" / "train.spacy"))
    for language, fraction in zip(("de", "fr", "it", "en"), (0.629, 0.229, 0.084, 0.059), strict=True):
        all_rows = datasets.load_dataset(str(xtreme), f"PAN-X.{language}", split="train")
        drawn = all_rows.shuffle(seed=0).select(range(int(fraction * len(all_rows))))
        expected = sorted(tokens[0] for tokens in drawn["tokens"])
        assert sorted(sentence.words[0] for sentence in found if sentence.language == language) == expected
    assert sorted(path.name for path in (tmp_path / "panx.spacy").iterdir()) == [
        "dev.spacy",
        "test.spacy",
        "train.spacy",
    ]


def test_the_swiss_corpus_has_the_size_that_the_book_gives():
    """Of 20,000 rows each, with the arithmetic of `int(fraction * rows)`."""
    assert [int(fraction * 20_000) for fraction in (0.629, 0.229, 0.084, 0.059)] == [12_580, 4_580, 1_680, 1_180]


def test_names_of_tags_come_from_the_features(xtreme, tmp_path):
    convert(recipe("panx", repository=str(xtreme), languages=("it",)), tmp_path / "it.spacy", split="dev")
    first = next(read_sentences(tmp_path / "it.spacy"))
    assert (first.words, first.tags, first.language) == (["it0", "x"], ["B-LOC", "O"], "it")
    assert first.source == f"{xtreme} PAN-X.it validation, row 0"


def test_mixed_languages_are_told_apart_by_their_column(tmp_path):
    own = rows(6, "x", None, lang=["de", "en", "de", "fr", "de", "en"])
    folder = write_repository(tmp_path / "multinerd", {("default", "train"): own})
    conversion = convert(
        recipe("multinerd", repository=str(folder), languages=("de", "fr")), tmp_path / "out.spacy", split="train"
    )
    assert conversion.languages == {"de": 3, "fr": 1}
    assert conversion.other_languages == 2
    assert conversion.labels == {"LOC": 4}
    # A share is drawn from the rows that a filter by language would leave.
    convert(
        recipe("multinerd", repository=str(folder), languages=("de",), fractions=(0.7,)),
        tmp_path / "de.spacy",
        split="train",
    )
    filtered = own.filter(lambda row: row["lang"] == "de").shuffle(seed=0).select(range(2))
    assert [sentence.words for sentence in read_sentences(tmp_path / "de.spacy")] == sorted(filtered["tokens"])


def test_languages_may_be_parts(tmp_path):
    parts = {
        ("default", f"{part}_{language}"): rows(3, language, None) for part in ("val", "test") for language in "de"
    }
    parts |= {("default", f"{part}_{code}"): rows(3, code, None) for part in ("val", "test") for code in ("de", "it")}
    folder = write_repository(tmp_path / "wikineural", parts)
    source = recipe("wikineural", repository=str(folder), languages=("de", "it"))
    conversions = convert_splits(source, tmp_path / "out")
    assert {part: conversion.languages for part, conversion in conversions.items()} == {
        "dev": {"de": 3, "it": 3},
        "test": {"de": 3, "it": 3},
    }


def test_any_other_dataset_works_by_its_folder_and_columns(tmp_path):
    own = datasets.Dataset.from_dict({"words": [["Ada", "x"], []], "labels": [["S-PER", "O"], []]})
    folder = write_repository(tmp_path / "mine", {("default", "dev"): own})
    source = recipe(str(folder), words_field="words", tags_field="labels", scheme=Scheme.BIOES, language="en")
    conversion = convert(source, tmp_path / "out.spacy", split="dev")
    (sentence,) = read_sentences(tmp_path / "out.spacy")
    assert (sentence.words, sentence.tags, sentence.language) == (["Ada", "x"], ["B-PER", "O"], "en")
    assert conversion.empty_rows == 1


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"languages": ("xy",)}, DatasetError, r"panx has no language 'xy'; it has af, ar"),
        ({}, DatasetError, r"panx is kept by language. Name those to take with --lang: af, ar"),
        ({"languages": ("ru",)}, DatasetError, r"There is no .*PAN-X.ru: BuilderConfig 'PAN-X.ru' not found"),
        ({"languages": ("de",), "tags_field": "tags"}, DatasetError, r"has no column 'tags'; it has tokens, ner_tags"),
        ({"languages": ("de",), "words_field": "ner_tags"}, CorpusError, r"row 0: 5 is no word"),
        ({"languages": ("de",), "tag_names": ("O", "B-X", "I-X")}, DatasetError, r"but O, B-X, I-X were expected"),
        ({"languages": ("de",), "repository": "/nowhere/else"}, DatasetError, r"There is no /nowhere/else PAN-X.de"),
    ],
    ids=["language", "no language", "config", "column", "words", "names", "folder"],
)
def test_what_a_dataset_lacks_is_said_and_nothing_is_written(xtreme, tmp_path, settings, error, message):
    with pytest.raises(error, match=message):
        convert(recipe("panx", **{"repository": str(xtreme), **settings}), tmp_path / "out.spacy", split="train")
    assert not (tmp_path / "out.spacy").exists()


def test_numbers_out_of_range_and_parts_that_are_not_there_are_refused(tmp_path):
    folder = write_repository(tmp_path / "wikineural", {("default", "val_de"): rows(2, "de", None, x=["", ""])})
    source = {"repository": str(folder), "languages": ("de",)}
    with pytest.raises(CorpusError, match=r"val_de, row 0: the tag of 'de0' is the number 5, but only 0 to 1"):
        # The catalog's names are replaced by fewer.
        convert(recipe("wikineural", **source, tag_names=("O", "B-PER")), tmp_path / "out.spacy", split="dev")
    with pytest.raises(SplitError, match=r"there is no part 'train_de'. It has val_de"):
        convert(recipe("wikineural", **source), tmp_path / "out.spacy", split="train")


def test_fractions_must_fit_the_languages():
    with pytest.raises(RecipeError, match="1 fractions for 2 languages"):
        recipe("panx", languages=("de", "fr"), fractions=(0.5,))
    with pytest.raises(RecipeError, match="1.5 is no fraction"):
        recipe("panx", languages=("de",), fractions=(1.5,))


def test_a_hub_that_cannot_be_reached_is_one_plain_sentence(tmp_path, no_network):
    result = run_script("scripts/convert.py", "wnut17", tmp_path / "out")
    assert result.returncode == 1
    assert "✘ The hub cannot be reached for leondz/wnut_17" in result.stderr
    assert "--repository" in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_catalog_is_complete():
    assert len(HUB["panx"].languages) == 40
    assert len(HUB["multinerd"].tag_names) == 31
    for name in HUB:
        source = SOURCES[name]
        assert all((source.name, source.url.startswith("https://"), source.license, source.citation, source.quality))


def test_the_library_says_what_to_install_if_datasets_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(DatasetError, match=r"not installed. Install it: pip install .*\[hub\]"):
        convert(recipe("wnut17"), tmp_path / "out.spacy", split="dev")


def test_rows_are_streamed_in_the_order_of_the_dataset(xtreme, tmp_path):
    convert(recipe("panx", repository=str(xtreme), languages=("en",)), tmp_path / "en.spacy", split="train")
    words = [sentence.words[0] for sentence in read_sentences(tmp_path / "en.spacy")]
    assert words == [f"en{index}" for index in np.arange(ROWS["train"])]
