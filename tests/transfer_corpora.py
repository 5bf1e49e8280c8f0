"""Corpora in several tiny languages, and experiments with them, for the tests of transfer."""

from pathlib import Path
from typing import Any

import numpy as np

from multiner.columns import column_lines
from multiner.sentences import Sentence
from multiner.tags import Span, tags_from_spans
from multiner.transfer.material import Material
from multiner.transfer.plan import Planned, Setup
from multiner.transfer.recipe import Experiment, read_experiment
from multiner.transfer.runs import Store

from .conftest import PROJECT, SENTENCES

CONFIG = PROJECT / "configs/e5-small.cfg"
SIZES = {"train": 24, "dev": 8, "test": 16}
WORDS = {
    "de": ("wohnt in", "und"),
    "fr": ("habite à", "et"),
    "it": ("abita a", "e"),
}
RECIPE = """
languages = ["de", "fr"]
source = "de"
labels = ["LOC", "ORG", "PER"]
seeds = [0, 1]

[corpus]
from = "{folder}/{language}"

[shares]
fr = 0.5

[few_labels]
target = "fr"
sizes = [4, 12]
seeds = [0]

[training]
"components.ner.model.frozen_layers" = 1  # the encoder of these tests has two layers
"components.ner.model.mixed_layers" = 2
"initialize.components.ner.layers" = 2
"system.epochs" = 2
"training.batcher.size" = 4
"training.optimizer.learn_rate.peak" = 3e-3
"training.before_update.without_entity" = 0
"training.before_update.unmoved" = 0

[variants.taught]
self_training = { sentences = 10, entities = 0.0, outside = 0.5 }
"""
# Cells of the same kind, so that some are the same.
SMALL = 'trainings = ["all"]' + RECIPE[: RECIPE.index("[variants")].replace("[0, 1]", "[0]").replace("[4, 12]", "[12]")


def write_corpora(folder: Path) -> None:
    """Sentences of each language in its folder, of words that the tiny encoder knows in part."""
    generator = np.random.default_rng(0)
    names = [words[start:end] for words, entities in SENTENCES for start, end, _ in entities]
    labels = [label for _, entities in SENTENCES for _, _, label in entities]
    for language, (between, joining) in WORDS.items():
        for split, size in SIZES.items():
            sentences = []
            for number in range(size):
                first, second = generator.integers(0, len(names), 2)
                middle = (between if number % 2 else joining).split()
                words = [*names[first], *middle, *names[second], str(number)]
                start = len(names[first]) + len(middle)
                spans = [Span(0, len(names[first]), labels[first])]
                spans.append(Span(start, start + len(names[second]), labels[second]))
                sentences.append(Sentence(words, tags_from_spans(spans, len(words)), language, "made here"))
            (folder / language).mkdir(parents=True, exist_ok=True)
            (folder / language / f"{split}.conll").write_text("".join(column_lines(sentences)), encoding="utf8")


def write_recipe(folder: Path, corpora: Path, recipe: str = RECIPE) -> Path:
    """An experiment with those corpora."""
    path = folder / "tiny.toml"
    path.write_text(recipe.replace("{folder}", str(corpora)), encoding="utf8")
    return path


def set_up(path: Path, store: Store, encoder: str) -> Setup:
    """The setup of an experiment in a file."""
    experiment: Experiment = read_experiment(path)
    return Setup(experiment, Material(experiment, store.corpora), CONFIG, Path(encoder))


class Notes:
    """A watcher that writes down the cells that were run, and how far each was when it was first heard of."""

    def __init__(self) -> None:
        self.cells: list[str] = []
        self.first: dict[tuple[str, str], int] = {}

    def cell(self, planned: Planned, number: int, of: int) -> None:
        assert number == len(self.cells) < of
        self.cells.append(planned.cell.name)

    def part(self, doing: str, done: int, of: int) -> None:
        assert 0 <= done <= of
        self.first.setdefault((self.cells[-1], doing), done)


def without_clock(result: dict[str, Any]) -> dict[str, Any]:
    """What of a result does not depend on how long it took."""
    tests = {
        language: {key: value for key, value in test.items() if key != "seconds"}
        for language, test in result["tests"].items()
    }
    return {**result, "tests": tests, "training": {**result["training"], "seconds": None}}
