"""What an experiment in transfer between languages is: read from a TOML file, see configs/transfer/."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spacy.util import dict_to_dot

from ..recipes import KINDS, RecipeError, SourceRecipe, check_settings, read_source, read_toml
from ..self_training import Threshold

LANGUAGE = "{language}"
SOURCE, EACH, ALL = "source", "each", "all"
COMPONENT = "ner"  # as the configs call it
SEEDS = (0,)
Table = dict[str, Any]


@dataclass(frozen=True)
class Parts:
    """Which sentences are for what.

    train, test (str): The parts of the corpus, "train", "dev" or "test", that are trained on and tested on.
    dev (str | None): The part by which the epoch is chosen; None to hold out sentences of `train` for that.
    dev_sentences (int): So many are drawn of `dev`, or held out; 0 for all of `dev`.
    test_sentences (int): So many are drawn of `test`; 0 for all.
    """

    train: str = "train"
    test: str = "test"
    dev: str | None = "dev"
    dev_sentences: int = 0
    test_sentences: int = 0


@dataclass(frozen=True)
class FewLabels:
    """How many labels of a language transfer is worth.

    target (str): The language.
    sizes (tuple[int, ...]): So many sentences of it are trained on, smallest first.
    seeds (tuple[int, ...]): Some of the experiment's; each draws sentences of its own.
    continued (Mapping): Settings of the config for trainings that start from the source's model, by their place. Its
        head is trained already and needs no larger steps than the rest.
    """

    target: str
    sizes: tuple[int, ...]
    seeds: tuple[int, ...]
    continued: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SelfTraining:
    """Training on sentences that the model of the source language has annotated.

    languages (tuple[str, ...]): Of these, not looking at their annotation.
    sentences (int): So many of each are read.
    """

    languages: tuple[str, ...]
    sentences: int
    threshold: Threshold


@dataclass(frozen=True)
class Variant:
    """A way to train that is compared with the usual one.

    on (str): What is trained otherwise: "source", the model of the source language; "each", that of each language
        alone, so that the variant is judged by zero-shot between all pairs; or "all".
    overrides (Mapping): Settings of the config, by their place: `components.ner.model.frozen_layers`.
    starts_from_source (bool): Whether it starts from the model of the source language, and not from the encoder.
    choose_on (tuple[str, ...]): The languages on whose dev part the epoch is chosen; those trained on if empty.
    """

    name: str
    on: str = SOURCE
    overrides: Mapping[str, Any] = field(default_factory=dict)
    starts_from_source: bool = False
    choose_on: tuple[str, ...] = ()
    self_training: SelfTraining | None = None


@dataclass(frozen=True)
class Experiment:
    """An experiment.

    name (str): Its folders are called after it.
    languages (tuple[str, ...]): In the order in which they are shown.
    source (str): The language to transfer from.
    corpus (Mapping): Settings of a source in a recipe of `multiner.recipes`; `{language}` in `from` is filled.
    shares (Mapping): How much of each language's train part there is to train on, by language; all if not said.
    trainings (tuple[str, ...]): What is trained beside the source language: "each" other language alone, "all" of them
        together. Without both, nothing but test sentences of the other languages is needed.
    pairs (tuple): Sets of languages to train on together.
    seeds (tuple[int, ...]): Each training is done with each.
    training (Mapping): Settings of the config for all trainings, by their place.
    labels (tuple[str, ...]): The only labels that the corpus may have; any if empty.
    """

    name: str
    languages: tuple[str, ...]
    source: str
    corpus: Mapping[str, Any]
    parts: Parts = Parts()
    shares: Mapping[str, float] = field(default_factory=dict)
    trainings: tuple[str, ...] = (EACH, ALL)
    pairs: tuple[tuple[str, ...], ...] = ()
    seeds: tuple[int, ...] = SEEDS
    few_labels: FewLabels | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    variants: tuple[Variant, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def targets(self) -> tuple[str, ...]:
        """All languages but the source."""
        return tuple(language for language in self.languages if language != self.source)

    def source_of(self, language: str) -> SourceRecipe:
        """Where the sentences of a language are, and how they are read."""
        table = dict(self.corpus)
        own = LANGUAGE in table["from"]
        table["from"] = table["from"].replace(LANGUAGE, language)
        return read_source("[corpus]", {**table, "languages": [language]}, language if own else None)


SETTINGS: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "languages": list,
    "source": str,
    "trainings": list,
    "pairs": list,
    "seeds": list,
    "labels": list,
    "corpus": dict,
    "parts": dict,
    "shares": dict,
    "few_labels": dict,
    "training": dict,
    "variants": dict,
}
PARTS: dict[str, type | tuple[type, ...]] = {
    "train": str,
    "dev": str,
    "test": str,
    "dev_sentences": int,
    "test_sentences": int,
}
FEW_LABELS: dict[str, type | tuple[type, ...]] = {"target": str, "sizes": list, "seeds": list, "continued": dict}
VARIANT: dict[str, type | tuple[type, ...]] = {
    "on": str,
    "overrides": dict,
    "starts_from_source": bool,
    "choose_on": list,
    "self_training": dict,
}
SELF_TRAINING: dict[str, type | tuple[type, ...]] = {
    "languages": list,
    "sentences": int,
    "entities": (int, float),
    "outside": (int, float),
}


def read_experiment(path: Path) -> Experiment:
    """Read an experiment. Paths in it are relative to the folder in which the program runs.

    RAISES: RecipeError for what is no TOML, for settings that do not exist, lack or do not fit; FileNotFoundError.
    """
    content = read_toml(path, "An experiment")
    check_settings(path, content, SETTINGS)
    for key in ("languages", "source", "corpus"):
        if key not in content:
            raise RecipeError(f"{path}: there is no '{key}'. Add it; configs/transfer/ has examples.")
    if "from" not in content["corpus"]:
        raise RecipeError(f'{path}: nothing says where the corpus is. Add to [corpus] from = "folder/{LANGUAGE}".')
    experiment = Experiment(
        name=content.get("name", path.stem),
        languages=tuple(content["languages"]),
        source=content["source"],
        corpus=content["corpus"],
        parts=_parts(path, content.get("parts", {})),
        shares=content.get("shares", {}),
        trainings=tuple(content.get("trainings", (EACH, ALL))),
        pairs=tuple(tuple(pair) for pair in content.get("pairs", [])),
        seeds=tuple(content.get("seeds", SEEDS)),
        few_labels=_few_labels(path, content) if "few_labels" in content else None,
        training=dict_to_dot(content.get("training", {})),
        variants=tuple(
            _variant(f"{path}, [variants.{name}]", name, table, content)
            for name, table in content.get("variants", {}).items()
        ),
        labels=tuple(content.get("labels", [])),
    )
    _check(path, experiment)
    return experiment


def _parts(path: Path, table: Table) -> Parts:
    check_settings(f"{path}, [parts]", table, PARTS)
    wrong = [value for value in table.values() if value not in {"train", "dev", "test"} and not isinstance(value, int)]
    if wrong:
        raise RecipeError(f"{path}, [parts]: '{wrong[0]}' is no part of a corpus. Those are train, dev and test.")
    parts = Parts(**{"dev": None if table else "dev", **table})
    if parts.dev is None and not parts.dev_sentences:
        raise RecipeError(
            f'{path}, [parts]: nothing says by which sentences the epoch is chosen. Add dev = "dev", or '
            "dev_sentences = 1000 to hold so many of train out."
        )
    return parts


def _few_labels(path: Path, content: Table) -> FewLabels:
    table, where = content["few_labels"], f"{path}, [few_labels]"
    check_settings(where, table, FEW_LABELS)
    sizes = table.get("sizes", [])
    if "target" not in table or not sizes or sizes != sorted(set(sizes)) or sizes[0] < 1:
        raise RecipeError(
            f'{where}: a target and numbers of sentences, smallest first, are wanted. Write: target = "fr" and '
            "sizes = [250, 500, 1000]"
        )
    seeds, known = tuple(table.get("seeds", content.get("seeds", SEEDS))), content.get("seeds", SEEDS)
    if not seeds or set(seeds) - set(known):
        raise RecipeError(f"{where}: seeds = {list(seeds)} must be some of the experiment's, {list(known)}.")
    continued = dict_to_dot(table.get("continued", {}))
    _check_continued(where, continued)
    return FewLabels(table["target"], tuple(sizes), seeds, continued)


def _check_continued(where: str, settings: Table) -> None:
    place = f"components.{COMPONENT}."
    if any(key.startswith(place) for key in settings):
        raise RecipeError(
            f"{where}: a component that goes on from the source's model is built as that one was. Take the settings "
            f"{place}* out."
        )


def _variant(where: str, name: str, table: Any, content: Table) -> Variant:
    if not isinstance(table, dict):
        raise RecipeError(f"{where}: {table!r} is no {KINDS[dict]}.")
    check_settings(where, table, VARIANT)
    settings = {**table, "overrides": dict_to_dot(table.get("overrides", {}))}
    if settings.get("on", SOURCE) not in {SOURCE, EACH, ALL}:
        raise RecipeError(f'{where}: on = "{settings["on"]}" is none of "{SOURCE}", "{EACH}" and "{ALL}".')
    of_source = {"starts_from_source", "self_training", "choose_on"} & set(table)
    if settings.get("on") == EACH and of_source:
        raise RecipeError(
            f'{where}: {", ".join(sorted(of_source))} is for the source language, and not for on = "{EACH}". Take it '
            f'out, or write on = "{SOURCE}".'
        )
    if settings.get("starts_from_source"):
        _check_continued(where, settings["overrides"])
    if "self_training" in table:
        settings["self_training"] = _self_training(f"{where}, self_training", table["self_training"], content)
    settings["choose_on"] = tuple(table.get("choose_on", ()))
    return Variant(name, **settings)


def _self_training(where: str, table: Table, content: Table) -> SelfTraining:
    check_settings(where, table, SELF_TRAINING)
    for key in ("sentences", "entities", "outside"):
        if key not in table:
            raise RecipeError(
                f"{where}: there is no '{key}'. Wanted are sentences = 2000, entities = 0.9, outside = 0.9"
            )
    others = [language for language in content["languages"] if language != content["source"]]
    threshold = Threshold(float(table["entities"]), float(table["outside"]))
    return SelfTraining(tuple(table.get("languages", others)), table["sentences"], threshold)


def _check(path: Path, experiment: Experiment) -> None:
    named: dict[str, tuple[str, ...]] = {
        "source": (experiment.source,),
        "shares": tuple(experiment.shares),
        **{f"pair {number}": pair for number, pair in enumerate(experiment.pairs, 1)},
        **{f"variants.{variant.name} choose_on": variant.choose_on for variant in experiment.variants},
    }
    if experiment.few_labels:
        named["few_labels target"] = (experiment.few_labels.target,)
    for variant in experiment.variants:
        if variant.self_training:
            named[f"variants.{variant.name} self_training"] = variant.self_training.languages
    for place, languages in named.items():
        for language in languages:
            if language not in experiment.languages:
                raise RecipeError(
                    f"{path}: {place} has '{language}', which is none of {', '.join(experiment.languages)}."
                )
    if set(experiment.trainings) - {EACH, ALL}:
        raise RecipeError(f'{path}: trainings = {list(experiment.trainings)} may have "{EACH}" and "{ALL}".')
    missing = [variant for variant in experiment.variants if variant.on not in {SOURCE, *experiment.trainings}]
    if missing:
        raise RecipeError(
            f'{path}: variants.{missing[0].name} is on "{missing[0].on}", which is none of the trainings. Add it.'
        )
    if len(experiment.targets) < 1 or len(set(experiment.languages)) < len(experiment.languages):
        raise RecipeError(f"{path}: transfer is between two languages or more, each named once.")
    if experiment.few_labels and experiment.few_labels.target == experiment.source:
        raise RecipeError(f"{path}: the target of few_labels is the source itself. Name another language.")
    if not experiment.seeds or len(set(experiment.seeds)) < len(experiment.seeds):
        raise RecipeError(f"{path}: seeds = {list(experiment.seeds)} must be one or more, and different.")
    wrong = {name: share for name, share in experiment.shares.items() if not 0 < share <= 1}
    if wrong:
        raise RecipeError(f"{path}: shares {wrong} must be above 0 and at most 1.")
