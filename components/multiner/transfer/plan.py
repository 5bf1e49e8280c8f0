"""The plan of an experiment: its cells, each one a training and its tests, and what each is made of.

A cell is known by the hash of all that its scores depend on: sentences, settings, the encoder's weights, the code that
trains and predicts, and the cell whose model it starts from. Where files lie and in which order languages are named
is no part of that. So a cell that is finished is never run again, and one of which anything has changed is.
"""

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from spacy.util import dict_to_dot, load_config, load_model_from_config
from thinc.api import Config, ConfigValidationError

from ..docbins import SIZE_LIMITS
from ..encoder import check_encoder_folder
from ..fingerprints import digest_of, digest_of_code, key_of
from ..recipes import RecipeError
from .material import FIXED_SEED, Material
from .recipe import ALL, COMPONENT, EACH, SOURCE, Experiment, SelfTraining, Variant

SIZES = ("hundreds", "thousands", "hundred_thousands")


@dataclass(frozen=True)
class Cell:
    """A training and its tests.

    group (str): What is trained, the seed aside: cells of one group are summed up together.
    seed (int): Of training.
    sentences (Mapping[str, int | None]): What is trained on: so many sentences of each language; None for its share.
    draw (int): The seed with which they are drawn.
    choose_on (tuple[str, ...]): The languages on whose dev part the epoch is chosen.
    tests (tuple[str, ...]): The languages that are tested.
    settings (Mapping): Of the config, by their place.
    starts_from (Cell | None): Whose model training starts from; None for the encoder.
    teacher (Cell | None): Whose model annotates sentences for `self_training`.
    """

    group: str
    seed: int
    sentences: Mapping[str, int | None]
    draw: int
    choose_on: tuple[str, ...]
    tests: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    starts_from: "Cell | None" = None
    teacher: "Cell | None" = None
    self_training: SelfTraining | None = None

    @property
    def name(self) -> str:
        """The cell in words."""
        return f"{self.group}, seed {self.seed}"


@dataclass(frozen=True)
class Planned:
    """A cell with its material.

    key (str): The hash of what it is made of.
    made_of: The same, readable.
    sentences (Mapping[str, int]): What is trained on, by language; of `self_training` what is read at most.
    epochs (float): Over them.
    dev_sentences, test_sentences (int): In all languages.
    models (tuple[str, ...]): The keys of the cells whose models it needs.
    """

    cell: Cell
    key: str
    made_of: dict[str, Any]
    sentences: Mapping[str, int]
    epochs: float
    dev_sentences: int
    test_sentences: int
    models: tuple[str, ...]

    @property
    def passes(self) -> int:
        """Sentences that go through training, each as often as there are epochs."""
        return round(self.epochs * sum(self.sentences.values()))


class Setup(NamedTuple):
    """What all cells have in common.

    config, encoder (Path): The config for training, and the folder of the encoder to start from.
    """

    experiment: Experiment
    material: Material
    config: Path
    encoder: Path


def alone(language: str) -> str:
    """What the group of a single language is called."""
    return language


def together(languages: Sequence[str]) -> str:
    """What the group of several languages is called."""
    return "+".join(sorted(languages))


def few(language: str, sentences: int) -> str:
    """What the group of few sentences of a language is called."""
    return f"{language} {sentences}"


def few_from_source(experiment: Experiment, sentences: int) -> str:
    """What the group of few sentences after the source language is called."""
    assert experiment.few_labels
    return f"{experiment.source}, then {few(experiment.few_labels.target, sentences)}"


def of_variant(usual: str, variant: Variant) -> str:
    """What the group is called that is trained as a variant has it, and otherwise as the usual group is."""
    return f"{usual}, {variant.name}"


def usual_groups(experiment: Experiment, variant: Variant) -> list[str]:
    """The groups that a variant trains otherwise, and is compared with."""
    groups = {SOURCE: [alone(experiment.source)], EACH: [alone(each) for each in experiment.languages], ALL: [ALL]}
    return groups[variant.on]


def list_cells(experiment: Experiment) -> list[Cell]:
    """The cells of an experiment, those that others need first."""
    return [cell for seed in experiment.seeds for cell in _of_seed(experiment, seed)]


def _of_seed(experiment: Experiment, seed: int) -> Iterator[Cell]:
    languages, source = experiment.languages, experiment.source
    training = experiment.training

    def usual(group: str, trained_on: Sequence[str]) -> Cell:
        return Cell(group, seed, dict.fromkeys(trained_on), FIXED_SEED, tuple(trained_on), languages, training)

    from_source = usual(alone(source), [source])
    yield from_source
    for language in experiment.targets if EACH in experiment.trainings else ():
        yield usual(alone(language), [language])
    for pair in experiment.pairs:
        yield usual(together(pair), pair)
    if ALL in experiment.trainings:
        yield usual(ALL, languages)
    for variant in experiment.variants:
        for group in usual_groups(experiment, variant):
            base = usual(group, languages if group == ALL else [group])
            yield replace(
                base,
                group=of_variant(group, variant),
                settings={**base.settings, **variant.overrides},
                choose_on=variant.choose_on or base.choose_on,
                starts_from=from_source if variant.starts_from_source else None,
                teacher=from_source if variant.self_training else None,
                self_training=variant.self_training,
            )
    labels = experiment.few_labels
    if labels and seed in labels.seeds:
        target, continued = labels.target, {**training, **labels.continued}
        for size in labels.sizes:
            # Which sentences are annotated is part of the spread, so that each seed draws its own.
            scratch = Cell(few(target, size), seed, {target: size}, seed, (target,), (target,), training)
            yield scratch
            group = few_from_source(experiment, size)
            yield replace(scratch, group=group, settings=continued, starts_from=from_source)


def make_plan(setup: Setup) -> list[Planned]:
    """All cells with their material and keys, those that others need first.

    RAISES: EncoderNotFound; what reading corpora does; RecipeError if there are not as many sentences as asked for, or
        settings do not fit the config.
    """
    check_encoder_folder(setup.encoder)
    cells = list_cells(setup.experiment)
    _check_settings(cells, setup)
    common = {"encoder": digest_of(setup.encoder), "code": digest_of_code()}
    keys: dict[str, str] = {}
    return [_plan(cell, setup, common, keys) for cell in cells]


def _plan(cell: Cell, setup: Setup, common: dict[str, str], keys: dict[str, str]) -> Planned:
    material = setup.material
    train = {language: material.train(language, count, cell.draw) for language, count in cell.sentences.items()}
    for language, draw in train.items():
        asked = cell.sentences[language]
        if len(draw.rows) < (asked or 1):
            raise RecipeError(
                f"{cell.name}: {asked or 'some'} sentences in '{language}' are to be trained on, and there are "
                f"{len(draw.rows)}. Ask for fewer in the experiment's file."
            )
    sentences = {language: len(draw.rows) for language, draw in train.items()}
    tests = {language: material.test(language) for language in cell.tests}
    dev = {language: material.dev(language) for language in cell.choose_on}
    made_of: dict[str, Any] = {
        **common,
        "train": {language: draw.digest for language, draw in train.items()},
        "dev": {language: draw.digest for language, draw in dev.items()},
        "test": {language: draw.digest for language, draw in tests.items()},
        "starts_from": keys[cell.starts_from.name] if cell.starts_from else None,
    }
    if cell.teacher and cell.self_training:
        unlabelled = {
            language: material.train(language, cell.self_training.sentences, cell.draw)
            for language in cell.self_training.languages
        }
        sentences |= {f"{language}, unlabelled": len(draw.rows) for language, draw in unlabelled.items()}
        made_of["self_training"] = {
            "teacher": keys[cell.teacher.name],
            "threshold": cell.self_training.threshold._asdict(),
            "words": {language: draw.digest_of_words for language, draw in unlabelled.items()},
        }
    config = make_config(cell, setup, Paths(), sum(sentences.values()))
    places = dict_to_dot(config)
    made_of["config"] = {place: value for place, value in places.items() if not place.startswith("training.logger.")}
    key = key_of(made_of)
    keys[cell.name] = key
    models = tuple(keys[other.name] for other in (cell.starts_from, cell.teacher) if other)
    looked_at, tested = (sum(len(draw.rows) for draw in each.values()) for each in (dev, tests))
    return Planned(cell, key, made_of, sentences, epochs_of(config), looked_at, tested, models)


class Paths(NamedTuple):
    """Where things are; in the hash of a cell names stand for them.

    model (str): The folder of the pipeline to start from.
    """

    train: str = "train"
    dev: str = "dev"
    encoder: str = "encoder"
    model: str = "model"


def make_config(cell: Cell, setup: Setup, paths: Paths, sentences: int) -> Config:
    """The config to train a cell.

    sentences (int): What it is trained on, unless the experiment says `system.size`: configs say by it how long.
    """
    overrides = {
        "system.size": SIZES[bisect_left(SIZE_LIMITS, sentences)],
        **cell.settings,
        "paths.train": paths.train,
        "paths.dev": paths.dev,
        "paths.encoder": paths.encoder,
        "system.seed": cell.seed,
    }
    try:
        config = load_config(setup.config, overrides=overrides, interpolate=False)
    except ValueError as error:
        raise RecipeError(f"{cell.name}: its settings do not fit {setup.config}. {error}") from error
    if cell.starts_from:
        config["initialize"]["components"].pop(COMPONENT, None)
        config["components"][COMPONENT] = {"source": paths.model}
    return config


def _check_settings(cells: Sequence[Cell], setup: Setup) -> None:
    """See that pipelines can be built with all settings, before hours of training that others need first."""
    unlike = {json.dumps(cell.settings, sort_keys=True): cell for cell in reversed(cells)}
    for cell in unlike.values():
        try:
            # The model that it may start from is not there yet; its component has been looked at by itself.
            config = make_config(replace(cell, starts_from=None), setup, Paths(), 1)
            load_model_from_config(config, auto_fill=True)
        except ConfigValidationError as error:
            raise RecipeError(f"{cell.name}: no pipeline can be built with its settings. {error}") from error


def epochs_of(config: Config) -> float:
    """How many epochs a config trains, which it says in [system].

    RAISES: RecipeError if it does not.
    """
    system = config.get("system", {})
    epochs = system.get("epochs")
    if isinstance(epochs, Mapping) and system.get("size") in epochs:
        epochs = epochs[system["size"]]
    if not isinstance(epochs, int | float):
        raise RecipeError("The config does not say in [system] how many epochs to train. Take configs/e5-small.cfg.")
    return epochs
