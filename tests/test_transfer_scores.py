"""What cells say together: the same scores as the evaluation's, differences beyond noise, crossings, explanations."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiner.evaluation import evaluate
from multiner.matching import precision_recall_f1
from multiner.transfer.explained import main_script, rank_correlation, worst_mistake
from multiner.transfer.plots import draw_outcome
from multiner.transfer.recipe import Experiment, FewLabels, Variant
from multiner.transfer.runs import count_found
from multiner.transfer.scores import MEAN, TARGETS, UNSEEN, crossing, describe, score_groups
from multiner.transfer.tables import crossing_in_words, outcome_tables

from .conftest import SENTENCES, make_doc

SIZES = (250, 500, 1000)
EXPERIMENT = Experiment("made", ("de", "fr"), "de", {}, seeds=(0, 1), few_labels=FewLabels("fr", SIZES, (0, 1)))
STRANGE = [
    (["London", "knows", "Ada", "Rand"], [(0, 1, "LOC"), (2, 3, "PER")]),
    (["Grace", "Hopper", "and", "Remington"], [(0, 2, "PER"), (3, 4, "ORG")]),
]


def found(right: int, sentences: int = 100) -> dict[str, Any]:
    """A test in which so many of the sentences have their one entity found, and the others another one."""
    counts = [[row, 0, int(row < right), 1, 1] for row in range(sentences)]
    return {"sentences": sentences, "labels": ["PER"], "counts": counts}


def results(by_group: dict[str, list[dict[str, int]]]) -> list[dict[str, Any]]:
    """Cells by group: for each seed, how many are found in each language."""
    return [
        {"group": group, "seed": seed, "tests": {language: found(right) for language, right in tests.items()}}
        for group, seeds in by_group.items()
        for seed, tests in enumerate(seeds)
    ]


CELLS = {
    "de": [{"de": 90, "fr": 70}, {"de": 92, "fr": 74}],
    "fr": [{"de": 60, "fr": 85}, {"de": 64, "fr": 85}],
    "all": [{"de": 91, "fr": 96}, {"de": 91, "fr": 97}],
    **{f"fr {size}": [{"fr": right}, {"fr": right + 2}] for size, right in zip(SIZES, (50, 68, 80), strict=True)},
    **{f"de, then fr {size}": [{"fr": right}] * 2 for size, right in zip(SIZES, (80, 84, 88), strict=True)},
}


def test_counts_of_sentences_give_the_scores_of_the_evaluation(trained):
    gold = [make_doc(trained, words, entities) for words, entities in [*SENTENCES, *STRANGE]]
    told: list[int] = []
    test = count_found(trained, gold, told.append)
    report = evaluate(trained, gold, resamples=100)
    assert 0 < report["strict"]["micro"]["f1"] < 1
    sums = np.zeros((len(test["labels"]), 3), np.int64)
    for _, label, *row in test["counts"]:
        sums[label] += row
    assert precision_recall_f1(sums.sum(axis=0)) == pytest.approx(
        [report["strict"]["micro"][key] for key in ("precision", "recall", "f1")]
    )
    for label, row in zip(test["labels"], sums, strict=True):
        assert precision_recall_f1(row)[2] == pytest.approx(report["strict"]["per_type"][label]["f1"])
        assert precision_recall_f1(row)[2] == pytest.approx(report["spacy"]["ents_per_type"][label]["f"])
    assert test["errors"] == report["errors"]
    assert told == list(range(1, len(gold) + 1)) and test["words"] == report["words"]


def test_means_and_spread_are_over_seeds_and_languages():
    groups = describe(EXPERIMENT, results(CELLS), resamples=200)["groups"]
    assert groups["de"]["fr"]["by_seed"] == pytest.approx([0.70, 0.74])
    assert groups["de"]["fr"]["f1"] == pytest.approx(0.72)
    assert groups["de"]["fr"]["spread"] == pytest.approx(np.std([0.70, 0.74], ddof=1))
    assert groups["de"][MEAN]["f1"] == pytest.approx((0.91 + 0.72) / 2)
    assert groups["de"][TARGETS]["f1"] == groups["de"]["fr"]["f1"]
    assert groups["each"]["de"] == groups["de"]["de"] and groups["each"]["fr"] == groups["fr"]["fr"]
    for group in groups.values():
        for scored in group.values():
            assert scored["low"] <= scored["f1"] <= scored["high"]


def test_intervals_count_sentences_and_seeds():
    """Where all seeds agree only sentences vary; where they do not the interval is wider."""
    alike, unlike = ([{"de": 90, "fr": a}, {"de": 90, "fr": b}] for a, b in ((70, 70), (50, 90)))
    experiment = Experiment("made", ("de", "fr"), "de", {}, seeds=(0, 1), trainings=())
    widths = []
    for cells in (alike, unlike):
        group = score_groups(experiment, results({"de": cells}), resamples=400)["de"]["fr"]
        assert group.mean == pytest.approx(0.70)
        widths.append(float(np.ptp(np.quantile(group.resampled, [0.025, 0.975]))))
    assert 0.1 < widths[0] < 0.25 < widths[1]


def test_differences_beyond_noise_are_told_from_others():
    rows = {(row["group"], row["less"], row["test"]): row for row in describe(EXPERIMENT, results(CELLS))["together"]}
    clear, nothing = rows["all", "de", "fr"], rows["all", "de", "de"]
    assert clear["difference"] == pytest.approx(0.245) and clear["beyond_noise"]
    assert clear["low"] > 0.1
    assert abs(nothing["difference"]) < 1e-9 and not nothing["beyond_noise"]
    assert rows["all", "each", "fr"]["difference"] == pytest.approx(0.965 - 0.85)
    # Holm: the least p-value times the number of rows, and never below one that is less.
    ordered = sorted(rows.values(), key=lambda row: row["p_value"])
    assert ordered[0]["adjusted"] == pytest.approx(min(1, ordered[0]["p_value"] * len(rows)))
    adjusted = [row["adjusted"] for row in ordered]
    assert adjusted == sorted(adjusted) and all(row["adjusted"] >= row["p_value"] for row in ordered)


def test_a_variant_of_each_language_is_judged_by_zero_shot_between_all_pairs():
    experiment = Experiment("made", ("de", "fr"), "de", {}, seeds=(0, 1), variants=(Variant("kept", on="each"),))
    # What it is worth on the language that was trained on is another matter.
    kept = {"de, kept": [{"de": 10, "fr": 74}, {"de": 10, "fr": 76}], "fr, kept": [{"de": 66, "fr": 10}] * 2}
    rows = {row["group"]: row for row in describe(experiment, results({**CELLS, **kept}), resamples=200)["variants"]}
    assert {row["test"] for row in rows.values()} == {UNSEEN}
    assert {group: row["less"] for group, row in rows.items()} == {
        "de, kept": "de",
        "fr, kept": "fr",
        "each, kept": "each",
    }
    assert rows["de, kept"]["by_seed"] == pytest.approx([0.04, 0.02])
    assert rows["fr, kept"]["by_seed"] == pytest.approx([0.06, 0.02])
    assert rows["each, kept"]["by_seed"] == pytest.approx([0.05, 0.02])
    assert rows["each, kept"]["difference"] == pytest.approx(0.035)
    assert rows["each, kept"]["spread"] == pytest.approx(np.std([0.05, 0.02], ddof=1))


def test_a_curve_crosses_a_line_between_two_sizes():
    # Half way between 500 and 1,000 on the scale of their logarithms.
    assert crossing(SIZES, np.array([0.4, 0.6, 0.8]), 0.7) == pytest.approx(500 * 2**0.5)
    assert crossing(SIZES, np.array([0.4, 0.6, 0.8]), 0.6) == pytest.approx(500)
    assert crossing(SIZES, np.array([0.4, 0.6, 0.8]), 0.3) == 0
    assert crossing(SIZES, np.array([0.4, 0.6, 0.8]), 0.9) == float("inf")
    assert crossing(SIZES, np.array([0.4, 0.7, 0.6]), 0.65) < 500  # the first time


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3), st.floats(0, 1))
def test_a_crossing_lies_between_the_sizes_around_it(curve, line):
    at = crossing(SIZES, np.array(curve), line)
    below = [size for size, f1 in zip(SIZES, curve, strict=True) if f1 < line]
    if at == 0:
        assert curve[0] >= line
    elif at == float("inf"):
        assert below == list(SIZES)
    else:
        rounding = 1e-9
        assert SIZES[0] * (1 - rounding) <= at <= SIZES[-1] * (1 + rounding) and curve[0] < line <= max(curve)


def test_the_crossing_has_an_interval_that_holds_it():
    few = describe(EXPERIMENT, results(CELLS), resamples=400)["few_labels"]
    at = few["crossing"]["encoder"]
    # 51, 69 and 81 beside a line of 72.
    assert at["sentences"] == pytest.approx(500 * 2 ** (3 / 12))
    assert at["low"] < at["sentences"] < (at["high"] or 1e9)
    assert few["crossing"]["source"]["sentences"] == 0
    assert crossing_in_words({"sentences": 0.0, "low": 0.0, "high": 510.4}, SIZES) == (
        "after at most 250 sentences (95 %: at most 250 to 510)"
    )
    assert crossing_in_words({"sentences": 700.2, "low": 300.0, "high": None}, SIZES) == (
        "after 700 sentences (95 %: 300 to more than 1,000)"
    )


def test_few_labels_may_have_fewer_seeds_than_the_rest():
    cells = {group: seeds if group in {"de", "fr", "all"} else seeds[:1] for group, seeds in CELLS.items()}
    scores = describe(EXPERIMENT, results(cells), resamples=100)
    assert scores["few_labels"]["curves"]["encoder"][0]["by_seed"] == [0.5]
    assert scores["few_labels"]["curves"]["encoder"][0]["spread"] is None
    assert len(scores["groups"]["de"]["fr"]["by_seed"]) == 2


@pytest.mark.parametrize(
    ("words", "script"),
    [
        (["Лондон", "NATO", "город"], "Cyrillic"),
        (["東京", "タワー", "は"], "Cjk"),
        (["Straße", "42", "!"], "Latin"),
        (["42", "!"], "none"),
    ],
)
def test_the_script_of_most_letters_is_named(words, script):
    assert main_script(Counter(words))[0] == script


def test_the_worst_mistake_is_the_most_frequent_one():
    became = {"right": 0.6, "missed": 0.1, "borders": 0.05, "ORG": 0.25}
    assert worst_mistake({"became": became}) == ("ORG", 0.25)
    assert worst_mistake({"became": {"right": 1.0, "missed": 0.0}}) is None


def test_ranks_correlate_whatever_the_distances():
    assert rank_correlation([1, 2, 100], [9, 8, -5]) == pytest.approx(-1)
    assert rank_correlation([1, 2], [1, 2]) is None
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None


def explained(trained_on: str, target: str, seen: float, drop: float) -> dict[str, Any]:
    return {
        **{"trained_on": trained_on, "target": target, "words_seen": seen, "pieces_seen": seen, "drop": drop},
        **{"script": "Latin", "script_share": 1.0, "same_script": True, "f1": 0.5, "own": None},
        "types": {"PER": {"f1": 0.5, "gold": 10, "became": {"right": 0.5, "missed": 0.3, "LOC": 0.2}}},
    }


def test_tables_and_pictures_show_what_is_there():
    report = {
        "scores": describe(EXPERIMENT, results(CELLS), resamples=200),
        "explained": [explained("de", "fr", 0.9, 0.1), explained("fr", "de", 0.8, 0.2)],
        "cells": [],
    }
    tables = {table.title: table for table in outcome_tables(EXPERIMENT, report)}
    by_language = {row[0]: row[1:] for row in tables["Trained on, tested on"].rows}
    assert list(by_language) == ["de", "fr", "each alone", "all"]
    assert by_language["de"][1].startswith("72.0 ± 2.8 (")
    assert by_language["each alone"][0] == by_language["de"][0]
    assert "after 595 sentences" in tables["Few labels of fr"].meaning
    assert tables["Seen in training, and the drop"].rows[0][:4] == ("de", "fr", "90.0", "90.0")
    assert tables["Types, the worst first"].rows[0][-1] == "not found: 30.0"
    pytest.importorskip("matplotlib", reason="the extra `report` is not installed")
    pictures = draw_outcome(report)
    assert set(pictures) == {"drop", "few-labels"}
    assert all(content.startswith(b"\x89PNG") and len(content) > 10_000 for content in pictures.values())
