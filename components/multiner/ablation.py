"""What settings of training are worth: the same training with each of them changed, several seeds each, scored on dev.

A run that is finished is kept by the hash of what made it, and not made again. Test data has no part in it: what is
chosen by these figures is tested once, elsewhere.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, stdev
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import srsly
from spacy.util import load_config
from thinc.api import Config

from .figures import describe_machine
from .files import write_json
from .fingerprints import digest_of, digest_of_code, key_of
from .memory_use import in_own_process, peak_megabytes
from .recipes import RecipeError, check_settings, read_toml
from .tables import Table
from .training_speed import train_logged

Report = dict[str, Any]
SETTINGS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("train", "dev", "config", "encoder"), str),
    "seeds": list,
    "settings": dict,
    "variants": dict,
}


@dataclass(frozen=True)
class Ablation:
    """What is compared.

    train, dev, config, encoder (Path): Corpora, the config to train by, and the encoder's folder.
    settings (Mapping): Of the config in all runs, by their place.
    variants (Mapping): By name, what each one changes beside; the others are compared with the first.
    """

    name: str
    train: Path
    dev: Path
    config: Path
    encoder: Path
    seeds: tuple[int, ...]
    settings: Mapping[str, Any]
    variants: Mapping[str, Mapping[str, Any]]


class Run(NamedTuple):
    """A training: its variant and seed, its config, and the hash of all that decides on its scores."""

    variant: str
    seed: int
    config: Config
    key: str


def read_ablation(path: Path) -> Ablation:
    """Read what is to be compared, a .toml. Paths in it are relative to the folder in which the program runs.

    RAISES: RecipeError for what is no TOML, and for settings that do not exist, lack or do not fit.
    """
    content = read_toml(path, "An ablation")
    check_settings(path, content, SETTINGS)
    for key in SETTINGS.keys() - {"settings"}:
        if not content.get(key):
            raise RecipeError(f"{path}: there is no '{key}'. Add it; configs/ablation/ has examples.")
    for name, changes in content["variants"].items():
        if not isinstance(changes, dict):
            raise RecipeError(f"{path}: [variants] {name} = {changes!r} is no table of settings of the config.")
    return Ablation(
        path.stem,
        train=Path(content["train"]),
        dev=Path(content["dev"]),
        config=Path(content["config"]),
        encoder=Path(content["encoder"]),
        seeds=tuple(content["seeds"]),
        settings=content.get("settings", {}),
        variants=content["variants"],
    )


def list_runs(ablation: Ablation) -> list[Run]:
    """All runs, those of the first seed first, so that something can be seen soon.

    RAISES: RecipeError if settings do not fit the config; FileNotFoundError.
    """
    files = {name: digest_of(getattr(ablation, name)) for name in ("train", "dev", "encoder")}
    code = digest_of_code()
    runs = []
    for seed in ablation.seeds:
        for variant, changes in ablation.variants.items():
            overrides = {
                **{f"paths.{name}": str(getattr(ablation, name)) for name in files},
                **ablation.settings,
                **changes,
                "system.seed": seed,
            }
            try:
                config = load_config(ablation.config, overrides=overrides, interpolate=False)
            except ValueError as error:
                raise RecipeError(f"{variant}: its settings do not fit {ablation.config}. {error}") from error
            # Where files lie is no matter; what is in them is.
            made_of = {**files, "code": code, "config": {**config, "paths": {}}}
            runs.append(Run(variant, seed, config, key_of(made_of)))
    return runs


def make_runs(runs: Sequence[Run], folder: Path, tell: Callable[[Run], None], use_gpu: int = -1) -> list[Report]:
    """Train what is not finished, each in a process of its own.

    folder (Path): Where the scores of finished runs are kept.
    tell (Callable): Is told of each run that is not finished before it begins.
    RETURNS: JSON-ready figures of all runs, in their order.
    """
    for run in runs:
        finished = folder / f"{run.key}.json"
        if not finished.exists():
            tell(run)
            figures = in_own_process(_train, run.config.to_str(), use_gpu)
            about = {"variant": run.variant, "seed": run.seed, "machine": describe_machine()}
            write_json({**about, **figures}, finished)
    return [{**srsly.read_json(folder / f"{run.key}.json"), "variant": run.variant} for run in runs]


def _train(config: str, use_gpu: int) -> Report:
    with TemporaryDirectory() as folder:
        trained = train_logged(Config().from_str(config, interpolate=False), Path(folder), use_gpu)
    f1_by_epoch = [row["F1"] / 100 for row in trained.epochs]
    return {
        "f1": max(f1_by_epoch),
        "f1_by_epoch": f1_by_epoch,
        "sentences_per_second": trained.sentences / trained.seconds,
        "peak_memory_mb": peak_megabytes(),
    }


def describe_ablation(ablation: Ablation, reports: Sequence[Report]) -> Report:
    """What came out, JSON-ready.

    RETURNS: "variants": by name the changes, mean and spread of the best epoch's F1 on dev, its difference to that of
        the first variant with the same seeds (mean and spread), medians of speed and memory; and "runs".
    """
    by_variant = {name: [report for report in reports if report["variant"] == name] for name in ablation.variants}
    usual = [report["f1"] for report in next(iter(by_variant.values()))]
    variants = {}
    for name, of_variant in by_variant.items():
        scores = [report["f1"] for report in of_variant]
        differences = [score - other for score, other in zip(scores, usual, strict=True)]
        variants[name] = {
            "changes": ablation.variants[name],
            "f1": mean(scores),
            "f1_spread": _spread(scores),
            "difference": mean(differences),
            "difference_spread": _spread(differences),
            "sentences_per_second": median(report["sentences_per_second"] for report in of_variant),
            "peak_memory_mb": median(report["peak_memory_mb"] for report in of_variant),
        }
    return {
        "train": str(ablation.train),
        "dev": str(ablation.dev),
        "config": str(ablation.config),
        "settings": dict(ablation.settings),
        "seeds": list(ablation.seeds),
        "variants": variants,
        "runs": list(reports),
    }


def _spread(values: Sequence[float]) -> float | None:
    """Standard deviation over seeds; None of one."""
    return stdev(values) if len(values) > 1 else None


def ablation_table(report: Report) -> Table:
    """What `describe_ablation` found, as a table."""
    return Table(
        f"{report['train']}, scored on {report['dev']}",
        f"F1 of the best epoch, mean and standard deviation over seeds {', '.join(map(str, report['seeds']))}; how far "
        "it is from the first row's with the same seeds, in points.",
        ("", "F1 on dev", "difference", "sentences/s", "memory, MB"),
        [
            (
                name,
                _with_spread(row["f1"], row["f1_spread"], ""),
                _with_spread(row["difference"], row["difference_spread"], "+") if number else "",
                f"{row['sentences_per_second']:.1f}",
                f"{row['peak_memory_mb']:,.0f}",
            )
            for number, (name, row) in enumerate(report["variants"].items())
        ],
    )


def _with_spread(value: float, spread: float | None, sign: str) -> str:
    return f"{100 * value:{sign}.1f}" + ("" if spread is None else f" ± {100 * spread:.1f}")
