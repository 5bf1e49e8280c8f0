"""Why transfer works better for some languages than for others: what training has seen of them, and what goes wrong."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from spacy.strings import StringStore

from ..matching import precision_recall_f1
from ..statistics import Cutting
from .material import Draw, Material
from .plan import alone, together
from .recipe import EACH, Experiment

Report = dict[str, Any]
Shares = NDArray[np.float64]
MISTAKES = {"borders": "found with other words", "missed": "not found"}


def explain(
    experiment: Experiment, results: Sequence[Report], scores: Report, material: Material, cutting: Cutting
) -> list[Report]:
    """For each set of languages that was trained on and each language that was not: what was seen, and what was found.

    results (Sequence): Of all cells.
    scores (Report): From `scores.describe`.
    cutting (Cutting): Of the encoder.
    RETURNS: For each "trained_on", "target", shares "words_seen" and "pieces_seen" of the target's running words and
        pieces in the test sentences that occur in the training sentences, "script" and "script_share" of the target's
        letters, "same_script" (whether training has the same), "f1", "drop" (of F1 from the languages trained on),
        "own" (F1 of training on the target alone, None if that is not part of it), and "types": for each one "f1",
        "gold" and what "became" of the gold entities, as shares: "right", "borders", "missed" and other types by their
        name. Sums over seeds.
    """
    cells: defaultdict[str, list[Report]] = defaultdict(list)
    for result in results:
        cells[result["group"]].append(result["tests"])
    sets: dict[str, tuple[str, ...]] = {alone(language): (language,) for language in experiment.languages}
    sets |= {together(pair): pair for pair in experiment.pairs}
    sets = {group: languages for group, languages in sets.items() if group in cells}
    own = scores["groups"].get(EACH, {})
    count = partial(_count, cutting)
    tested = {language: count(material.test(language)) for language in experiment.languages}
    trained = {
        language: count(material.train(language)) for language in {each for row in sets.values() for each in row}
    }
    scripts = {language: main_script(words.words) for language, words in tested.items()}
    rows = []
    for group, trained_on in sets.items():
        f1 = {language: scores["groups"][group][language]["f1"] for language in experiment.languages}
        best = float(np.mean([f1[language] for language in trained_on]))
        for target in experiment.languages:
            if target in trained_on:
                continue
            script, share = scripts[target]
            rows.append(
                {
                    "trained_on": group,
                    "target": target,
                    **_seen([trained[language] for language in trained_on], tested[target]),
                    "script": script,
                    "script_share": share,
                    "same_script": any(scripts[language][0] == script for language in trained_on),
                    "f1": f1[target],
                    "drop": best - f1[target],
                    "own": own[target]["f1"] if own else None,
                    "types": _types([tests[target] for tests in cells[group]]),
                }
            )
    return rows


class _Words(NamedTuple):
    """How often words and pieces occur."""

    words: Counter[str]
    pieces: Counter[int]


def _count(cutting: Cutting, draw: Draw) -> _Words:
    words = Counter(word for sentence in draw.unlabelled() for word in sentence.words)
    return _Words(words, _pieces_of(words, cutting))


def _pieces_of(words: Counter[str], cutting: Cutting) -> Counter[int]:
    strings = StringStore()
    pieces: Counter[int] = Counter()
    ids, counts = cutting.cutter([strings.add(word) for word in words], strings.__getitem__)
    end = np.cumsum(counts)
    for times, start, stop in zip(words.values(), (end - counts).tolist(), end.tolist(), strict=True):
        for piece in ids[start:stop].tolist():
            pieces[piece] += times
    return pieces


def _seen(trained: Sequence[_Words], tested: _Words) -> dict[str, float]:
    return {
        "words_seen": _share(tested.words, [each.words for each in trained]),
        "pieces_seen": _share(tested.pieces, [each.pieces for each in trained]),
    }


def _share(counts: Mapping[Any, int], among: Sequence[Mapping[Any, int]]) -> float:
    """The share of what is counted that occurs among others at all."""
    total = sum(counts.values())
    return sum(times for each, times in counts.items() if any(each in known for known in among)) / max(total, 1)


def main_script(words: Mapping[str, int]) -> tuple[str, float]:
    """The script of most letters, as Unicode names it, and its share of them.

    words (Mapping[str, int]): How often each occurs.
    """
    letters: Counter[str] = Counter()
    for word, times in words.items():
        for letter in word:
            if letter.isalpha():
                letters[letter] += times
    scripts: Counter[str] = Counter()
    for letter, times in letters.items():
        scripts[unicodedata.name(letter, "unknown").partition(" ")[0].capitalize()] += times
    if not scripts:
        return "none", 0.0
    script, most = scripts.most_common(1)[0]
    return script, most / scripts.total()


def _types(tests: Sequence[Report]) -> Report:
    """F1 of each type, and what became of its gold entities, over all seeds."""
    counts: defaultdict[str, Any] = defaultdict(lambda: np.zeros(3, np.int64))
    became: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for test in tests:
        for _, label, *row in test["counts"]:
            counts[test["labels"][label]] += np.array(row, np.int64)
        for label in test["labels"]:
            kinds = test["errors"]["by_type"][label]
            became[label].update({kind: kinds[kind] for kind in ("right", "borders", "missed")})
            confusion = test["errors"]["confusion"][label]
            became[label].update({other: confusion[other] for other in test["labels"] if other != label})
    return {
        label: {
            "f1": float(precision_recall_f1(row)[2]),
            "gold": int(row[2]),
            "became": {name: times / int(row[2]) for name, times in became[label].items() if row[2]},
        }
        for label, row in sorted(counts.items())
    }


def worst_mistake(of_type: Report) -> tuple[str, float] | None:
    """What became most often of the entities of a type that were not found, and of what share of all of them."""
    wrong = {name: share for name, share in of_type["became"].items() if name != "right" and share}
    return max(wrong.items(), key=lambda item: item[1]) if wrong else None


def in_words(mistake: str) -> str:
    """A kind of mistake, or the type that entities were taken for."""
    return MISTAKES.get(mistake, f"taken for {mistake}")


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's correlation; None of fewer than three pairs, or where one side never changes."""
    first_ranks, second_ranks = (np.argsort(np.argsort(values)).astype(np.float64) for values in (first, second))
    if len(first) < 3 or len(set(first)) == 1 or len(set(second)) == 1:
        return None
    correlation: Shares = np.corrcoef(np.stack([first_ranks, second_ranks]))
    return float(correlation[0, 1])
