"""What came out of an experiment, written for people and for programs."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..figures import describe_machine
from ..files import new_file, write_json
from ..matching import precision_recall_f1
from ..statistics import load_cutting
from ..tables import markdown_parts
from .explained import explain
from .plan import Planned, Setup
from .plots import draw_outcome
from .runs import Store
from .scores import RESAMPLES, describe
from .tables import outcome_tables

Report = dict[str, Any]
WINDOW = 512  # pieces of sentences are counted whole; the encoder's own limit is less
PER_COUNT = 2  # numbers before the counts in a row: sentence and label


def describe_outcome(
    plan: Sequence[Planned], setup: Setup, store: Store, *, resamples: int = RESAMPLES, seed: int = 0
) -> Report:
    """All settings and scores of a finished experiment.

    resamples, seed (int): Of the bootstrap.
    RETURNS: JSON-ready "experiment", "machine", "scores" (see `scores.describe`), "explained" (see
        `explained.explain`) and "cells": each with its settings, training, and scores by language and type.
    """
    results = store.read(plan)
    cells = [
        {**result, "group": each.cell.group, "seed": each.cell.seed} for each, result in zip(plan, results, strict=True)
    ]
    scores = describe(setup.experiment, cells, resamples, seed)
    cutting = load_cutting(setup.encoder, WINDOW)
    return {
        "experiment": asdict(setup.experiment),
        "config": str(setup.config),
        "machine": describe_machine(),
        "scores": scores,
        "explained": explain(setup.experiment, cells, scores, setup.material, cutting),
        "repaired_tags": {
            f"{language} {split}": setup.material.part(language, split).changes
            for language in setup.experiment.languages
            for split in sorted({setup.experiment.parts.train, setup.experiment.parts.test})
        },
        "cells": [{**cell, "tests": {name: _short(test) for name, test in cell["tests"].items()}} for cell in cells],
    }


def _short(test: Report) -> Report:
    """A test without what every single sentence is counted as."""
    totals = {label: [0, 0, 0] for label in test["labels"]}
    for row in test["counts"]:
        of_label = totals[test["labels"][row[1]]]
        for place, number in enumerate(row[PER_COUNT:]):
            of_label[place] += number
    sums = [sum(column) for column in zip(*totals.values(), strict=True)] or [0, 0, 0]
    return {
        **{key: value for key, value in test.items() if key not in {"counts", "labels"}},
        **_scores(sums),
        "per_type": {label: _scores(row) for label, row in totals.items()},
    }


def _scores(row: Sequence[int]) -> Report:
    precision, recall, f1 = precision_recall_f1(np.array(row, np.int64)).tolist()
    right, predicted, gold = row
    return {"precision": precision, "recall": recall, "f1": f1, "right": right, "predicted": predicted, "gold": gold}


def write_outcome(setup: Setup, report: Report, folder: Path) -> list[Path]:
    """Write what came out as JSON, Markdown and pictures.

    RETURNS: The files.
    RAISES: PicturesNeedMatplotlib.
    """
    pictures = {f"{name}.png": content for name, content in draw_outcome(report).items()}
    parts = [f"# Transfer: {setup.experiment.name}", *markdown_parts(outcome_tables(setup.experiment, report))]
    parts += [f"![{Path(name).stem.replace('-', ' ')}]({name})" for name in pictures]
    pages = {"transfer.md": ("\n\n".join(parts) + "\n").encode(), **pictures}
    write_json(report, folder / "transfer.json")
    for name, content in pages.items():
        with new_file(folder / name) as unfinished:
            unfinished.write_bytes(content)
    return [folder / name for name in ("transfer.json", *pages)]
