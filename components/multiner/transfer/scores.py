"""What the cells of an experiment say together: means and spread over seeds, intervals, differences beyond noise.

Intervals are of the bootstrap: test sentences are drawn anew, the same ones for all cells, and seeds are drawn anew,
the same ones for all groups. So differences are paired in both. Drawn of few seeds, their spread looks smaller than it
is.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..intervals import compare_paired, interval, resampled_sums
from ..matching import Integers, precision_recall_f1
from .plan import alone, few, few_from_source, of_variant, together, usual_groups
from .recipe import ALL, EACH, SOURCE, Experiment, Variant

Report = dict[str, Any]
Floats = NDArray[np.float64]
MEAN, TARGETS, UNSEEN = "mean", "mean of targets", "mean of unseen"
RESAMPLES = 1000
BEYOND_NOISE = 0.05


class Group(NamedTuple):
    """F1 of the cells of a group on a test set, or its mean over several.

    by_seed: Array (seeds,).
    resampled: Array (resamples,) of the mean over seeds.
    """

    by_seed: Floats
    resampled: Floats

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return float(self.by_seed.mean())

    def report(self) -> Report:
        """JSON-ready."""
        low, high = interval(self.resampled)
        spread = float(self.by_seed.std(ddof=1)) if len(self.by_seed) > 1 else None
        return {"f1": self.mean, "spread": spread, "low": low, "high": high, "by_seed": self.by_seed.tolist()}


Groups = dict[str, dict[str, Group]]
# A group and the one that it is compared with: their names, both by the test set, and the test set.
Compared = tuple[str, str, Mapping[str, Group], Mapping[str, Group], str]


def score_groups(
    experiment: Experiment, results: Sequence[Report], resamples: int = RESAMPLES, seed: int = 0
) -> Groups:
    """F1 of each group on each test set, and the means over all of them and over all but the source's.

    results (Sequence): Of all cells.
    resamples, seed (int): Of the bootstrap.
    RETURNS: By group, then by language; `MEAN` and `TARGETS` where all languages were tested.
    """
    cells: defaultdict[str, dict[int, Report]] = defaultdict(dict)
    for result in results:
        cells[result["group"]][result["seed"]] = result["tests"]
    groups: Groups = {group: {} for group in cells}
    for language in experiment.languages:
        tested = {group: [tests[language] for tests in of.values() if language in tests] for group, of in cells.items()}
        counts = np.stack([_micro(test) for tests in tested.values() for test in tests], axis=1)
        observed = precision_recall_f1(counts.sum(axis=0))[..., 2]
        resampled = precision_recall_f1(resampled_sums(counts, resamples, seed))[..., 2]
        end = 0
        for group, tests in tested.items():
            if tests:
                start, end = end, end + len(tests)
                # Of as many seeds the same ones are drawn for all groups.
                drawn = np.random.default_rng(seed).integers(start, end, (resamples, len(tests)))
                groups[group][language] = Group(
                    observed[start:end], np.take_along_axis(resampled, drawn, axis=1).mean(axis=1)
                )
    for by_language in groups.values():
        if len(by_language) == len(experiment.languages):
            means = {MEAN: experiment.languages, TARGETS: experiment.targets}
            by_language |= {name: _mean([by_language[each] for each in chosen]) for name, chosen in means.items()}
    return groups


def _micro(test: Report) -> Integers:
    """Array (sentences, 3): right, predicted and gold entities of all types."""
    counts = np.zeros((test["sentences"], 3), np.int64)
    rows = np.array(test["counts"], np.int64).reshape(-1, 5)
    np.add.at(counts, rows[:, 0], rows[:, 2:])
    return counts


def _mean(groups: Sequence[Group]) -> Group:
    return Group(
        np.mean([group.by_seed for group in groups], axis=0), np.mean([group.resampled for group in groups], axis=0)
    )


def describe(experiment: Experiment, results: Sequence[Report], resamples: int = RESAMPLES, seed: int = 0) -> Report:
    """All that is said of scores.

    RETURNS: JSON-ready "groups" (see `Group.report`), "together" and "variants" (differences, see `_differences`),
        "few_labels" (None if not asked for), "resamples" and "seed".
    """
    groups = score_groups(experiment, results, resamples, seed)
    return {
        "resamples": resamples,
        "seed": seed,
        "seeds": list(experiment.seeds),
        "groups": {group: _report(by_language) for group, by_language in groups.items()}
        | ({EACH: _report(_own(experiment, groups))} if EACH in experiment.trainings else {}),
        "together": _together(experiment, groups),
        "variants": _variants(experiment, groups),
        "few_labels": _few_labels(experiment, groups),
    }


def _own(experiment: Experiment, groups: Groups) -> dict[str, Group]:
    """Each language by the model that was trained on it alone."""
    own = {language: groups[alone(language)][language] for language in experiment.languages}
    return {
        **own,
        MEAN: _mean([own[language] for language in experiment.languages]),
        TARGETS: _mean([own[language] for language in experiment.targets]),
    }


def _report(by_language: Mapping[str, Group]) -> Report:
    return {language: group.report() for language, group in by_language.items()}


def _together(experiment: Experiment, groups: Groups) -> list[Report]:
    """What training on more languages changes."""
    places = (*experiment.languages, MEAN)
    pairs = []
    if {EACH, ALL} <= set(experiment.trainings):
        pairs.append((ALL, EACH, groups[ALL], _own(experiment, groups)))
    usual = alone(experiment.source)
    for group in [*(together(pair) for pair in experiment.pairs), *({ALL} & set(experiment.trainings))]:
        pairs.append((group, usual, groups[group], groups[usual]))
    return _differences([(*pair, place) for pair in pairs for place in places])


def _variants(experiment: Experiment, groups: Groups) -> list[Report]:
    """What the variants change; the mean is over what they are for: all languages, or those never trained on."""
    compared: list[Compared] = []
    for variant in experiment.variants:
        if variant.on == EACH:
            compared += _on_each(experiment, groups, variant)
            continue
        [usual] = usual_groups(experiment, variant)
        group = of_variant(usual, variant)
        for place in (*experiment.languages, TARGETS if variant.on == SOURCE else MEAN):
            compared.append((group, usual, groups[group], groups[usual], place))
    return _differences(compared)


def _on_each(experiment: Experiment, groups: Groups, variant: Variant) -> Iterator[Compared]:
    """Zero-shot from each language to all others, and the mean of that."""
    changed, unchanged = [], []
    for language, usual in zip(experiment.languages, usual_groups(experiment, variant), strict=True):
        others = [other for other in experiment.languages if other != language]
        group = of_variant(usual, variant)
        changed.append(_mean([groups[group][other] for other in others]))
        unchanged.append(_mean([groups[usual][other] for other in others]))
        yield group, usual, {UNSEEN: changed[-1]}, {UNSEEN: unchanged[-1]}, UNSEEN
    yield of_variant(EACH, variant), EACH, {UNSEEN: _mean(changed)}, {UNSEEN: _mean(unchanged)}, UNSEEN


def _differences(compared: Sequence[Compared]) -> list[Report]:
    """Paired differences of groups.

    RETURNS: For each one "group", "less" (the one that it is compared with), "test", "difference", its interval "low"
        and "high", "p_value", the same "adjusted" for how many there are (Holm 1979), whether it is "beyond_noise",
        the difference "by_seed", and their standard deviation "spread" (None of one seed).
    """
    rows: list[Report] = []
    for group, usual, scored, usually, place in compared:
        first, second = usually[place], scored[place]
        found = compare_paired(first.mean, second.mean, np.stack([first.resampled, second.resampled], axis=1))
        by_seed = second.by_seed - first.by_seed
        spread = float(by_seed.std(ddof=1)) if len(by_seed) > 1 else None
        row = {"group": group, "less": usual, "test": place, **found._asdict()}
        rows.append({**row, "by_seed": by_seed.tolist(), "spread": spread})
    least = 0.0
    for number, row in enumerate(sorted(rows, key=lambda row: float(row["p_value"]))):
        least = max(least, min(1.0, row["p_value"] * (len(rows) - number)))
        row["adjusted"] = least
        row["beyond_noise"] = least < BEYOND_NOISE
    return rows


def _few_labels(experiment: Experiment, groups: Groups) -> Report | None:
    """F1 over the number of sentences, from the encoder and from the source's model, and where it meets zero-shot."""
    if experiment.few_labels is None:
        return None
    target, sizes = experiment.few_labels.target, experiment.few_labels.sizes
    line = groups[alone(experiment.source)][target]
    curves = {
        "encoder": [groups[few(target, size)][target] for size in sizes],
        "source": [groups[few_from_source(experiment, size)][target] for size in sizes],
    }
    return {
        "target": target,
        "source": experiment.source,
        "sizes": list(sizes),
        "zero_shot": line.report(),
        "curves": {name: [group.report() for group in curve] for name, curve in curves.items()},
        "crossing": {name: describe_crossing(sizes, curve, line) for name, curve in curves.items()},
    }


def describe_crossing(sizes: Sequence[int], curve: Sequence[Group], line: Group) -> Report:
    """After how many sentences a curve reaches a line.

    RETURNS: "sentences", and the interval "low" and "high" by the bootstrap over sentences and seeds: 0 is less than
        the smallest size, None more than the largest.
    """
    values = np.array(
        [
            crossing(sizes, row, at)
            for row, at in zip(np.stack([group.resampled for group in curve], 1), line.resampled, strict=True)
        ]
    )
    # No mean of two values: one of them may be without end.
    low, high = np.quantile(values, (0.025, 0.975), method="inverted_cdf")
    at = crossing(sizes, np.array([group.mean for group in curve]), line.mean)
    found = {"sentences": at, "low": float(low), "high": float(high)}
    return {name: value if np.isfinite(value) else None for name, value in found.items()}


def crossing(sizes: Sequence[int], curve: Floats, line: float) -> float:
    """After how many sentences a curve first reaches a line; between two sizes it is straight over their logarithm.

    sizes (Sequence[int]): Ascending.
    curve: Array (sizes,).
    RETURNS: 0 if it does at the smallest size; infinity if it never does.
    """
    reached = np.flatnonzero(curve >= line)
    if not len(reached):
        return float("inf")
    after = int(reached[0])
    if after == 0:
        return 0.0
    share = (line - curve[after - 1]) / (curve[after] - curve[after - 1])
    first, second = np.log(sizes[after - 1 : after + 1])
    return float(np.exp(first + share * (second - first)))
