"""Several pipelines on one test set: what differs by more than chance, and in which sentences."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .docbins import SOURCE
from .evaluation import RESAMPLES, count_raw_text
from .intervals import compare_paired, interval, resampled_sums
from .matching import Counts, count_matches, macro_f1, match, precision_recall_f1
from .predictions import Predictions, predict_files
from .tables import Table, count, percent
from .tags import Span
from .watching import Watch, unwatched

Report = dict[str, Any]
CHANGES = {
    "better": "fewer errors than the first",
    "worse": "more errors than the first",
    "other": "as many, but others",
}


def compare_files(
    data: Path, models: Sequence[str], *, resamples: int = RESAMPLES, seed: int = 0, watch: Watch = unwatched
) -> Report:
    """Load pipelines, one after another, and compare them on a corpus; see `compare`.

    RAISES: FileNotFoundError when something is not there; ModelFilesError when a pipeline is damaged.
    """
    predictions = {model: predict_files(model, data, watch) for model in models}
    return {"data": str(data), **compare(predictions, resamples=resamples, seed=seed)}


def compare(predictions: Mapping[str, Predictions], *, resamples: int = RESAMPLES, seed: int = 0) -> Report:
    """Compare what pipelines predicted of the same documents; all but the first are compared with the first.

    predictions (Mapping): By the names of the pipelines.
    resamples (int): How often sentences are drawn anew, the same ones for all pipelines.
    seed (int): Of that drawing.
    RETURNS: JSON-ready "docs", "resamples", "seed", "models": for each one "scores" (each with "value", "low" and
        "high", and after the first "difference", "difference_low", "difference_high" and "p_value") and "changed", the
        sentences that are "better", "worse" or wrong in another way.
    """
    names = list(predictions)
    first = predictions[names[0]]
    sentences = len(first.gold)
    labels = tuple(
        sorted(
            {
                span.label
                for each in predictions.values()
                for side in (each.gold_spans, each.predicted_spans)
                for spans in side
                for span in spans
            }
        )
    )
    counts = np.stack(
        [
            np.concatenate(
                [
                    _on_labels(count_matches(match(each.gold_spans, each.predicted_spans), sentences), labels),
                    count_raw_text(each).values.sum(axis=1, keepdims=True),
                ],
                axis=1,
            )
            for each in predictions.values()
        ],
        axis=1,
    )
    observed = _scores(counts.sum(axis=0), labels)
    resampled = _scores(resampled_sums(counts, resamples, seed), labels)
    models = {}
    for number, name in enumerate(names):
        rows = {}
        for score, values in observed.items():
            low, high = interval(resampled[score][:, number])
            rows[score] = {"value": float(values[number]), "low": low, "high": high}
            if number:
                found = compare_paired(float(values[0]), float(values[number]), resampled[score][:, [0, number]])
                rows[score] |= {
                    "difference": found.difference,
                    "difference_low": found.low,
                    "difference_high": found.high,
                    "p_value": found.p_value,
                }
        models[name] = {"scores": rows, "changed": _changed(first, predictions[name]) if number else []}
    return {"docs": sentences, "resamples": resamples, "seed": seed, "models": models}


def _on_labels(counts: Counts, labels: Sequence[str]) -> Any:
    """The counts in columns of all labels, some of which these do not have."""
    result = np.zeros((len(counts.values), len(labels), 3), np.int64)
    result[:, [labels.index(label) for label in counts.labels]] = counts.values
    return result


def _scores(sums: Any, labels: Sequence[str]) -> dict[str, Any]:
    """Each score by its name.

    sums: Array (..., models, labels + 1, 3), the last column that of raw text.
    RETURNS: Arrays (..., models).
    """
    own, raw = sums[..., :-1, :], sums[..., -1, :]
    micro, per_type = precision_recall_f1(own.sum(axis=-2)), precision_recall_f1(own)
    scores = {"micro F1": micro[..., 2], "precision": micro[..., 0], "recall": micro[..., 1]}
    scores |= {"macro F1": macro_f1(own), "F1 on raw text": precision_recall_f1(raw)[..., 2]}
    return scores | {f"F1 of {label}": per_type[..., number, 2] for number, label in enumerate(labels)}


def _changed(first: Predictions, second: Predictions) -> list[Report]:
    """The sentences in which two pipelines find different entities."""
    changed = []
    for number, (gold, before, after) in enumerate(
        zip(first.gold_spans, first.predicted_spans, second.predicted_spans, strict=True)
    ):
        if set(before) == set(after):
            continue
        errors = [len(set(gold) ^ set(found)) for found in (before, after)]
        change = "better" if errors[1] < errors[0] else "worse" if errors[1] > errors[0] else "other"
        doc = first.gold[number]
        words = [token.text for token in doc]
        changed.append(
            {
                "document": number,
                "source": doc.user_data.get(SOURCE),
                "change": change,
                "errors": errors,
                "text": doc.text,
                "gold": _readable(gold, words),
                "first": _readable(before, words),
                "this": _readable(after, words),
            }
        )
    order = list(CHANGES)
    return sorted(changed, key=lambda row: (order.index(row["change"]), -abs(row["errors"][0] - row["errors"][1])))


def _readable(spans: Sequence[Span], words: Sequence[str]) -> list[str]:
    return [f"{' '.join(words[start:end])} {label}" for start, end, label in spans]


def comparison_tables(report: Report, sentences: int) -> list[Table]:
    """Scores side by side, and for each pipeline after the first what changed.

    sentences (int): At most so many of those that changed.
    """
    models = report["models"]
    first, *others = models
    rows = []
    for score in models[first]["scores"]:
        row = [score]
        for name in models:
            found = models[name]["scores"][score]
            row.append(f"{percent(found['value'])} ({percent(found['low'])} to {percent(found['high'])})")
            if name != first:
                row += [f"{100 * found['difference']:+.1f}", f"{found['p_value']:.3f}"]
        rows.append(tuple(row))
    columns = ["Score", first, *(column for name in others for column in (name, "difference", "p"))]
    tables = [
        Table(
            "Scores side by side",
            f"Strict, {count(report['docs'])} sentences; 95 % intervals and two-sided p-values of a paired bootstrap, "
            f"{count(report['resamples'])} resamples, seed {report['seed']}.",
            tuple(columns),
            rows,
        )
    ]
    for name in others:
        changed = models[name]["changed"]
        kinds = Counter(row["change"] for row in changed)
        said = ", ".join(f"{count(kinds[kind])} {kind} ({meaning})" for kind, meaning in CHANGES.items())
        tables.append(
            Table(
                f"Sentences that changed in {name}: {count(len(changed))}",
                f"{said[0].upper()}{said[1:]}.",
                ("Change", "sentence", "gold", first, name),
                [
                    (row["change"], row["text"], *(", ".join(row[key]) or "-" for key in ("gold", "first", "this")))
                    for row in changed[:sentences]
                ],
            )
        )
    return [table for table in tables if table.rows]
