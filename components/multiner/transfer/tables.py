"""An experiment in tables: its plan before it is run, and what came out of it."""

from collections.abc import Collection, Sequence
from typing import Any

from ..tables import Table, count, percent
from .explained import in_words, rank_correlation, worst_mistake
from .plan import Planned, alone, together
from .recipe import ALL, EACH, Experiment
from .runs import Pace
from .scores import BEYOND_NOISE, MEAN

Report = dict[str, Any]
EACH_ALONE = "each alone"
MINUTE, HOUR = 60, 3600


def plan_tables(plan: Sequence[Planned], to_run: Collection[str], pace: Pace | None) -> list[Table]:
    """The cells of each group, one for each seed, and how long those take that are not finished.

    to_run (Collection[str]): The keys of the cells that are to be run.
    pace (Pace | None): None if it is not known.
    """
    groups: dict[str, list[Planned]] = {}
    for planned in plan:
        groups.setdefault(planned.cell.group, []).append(planned)
    rows: list[tuple[str, ...]] = []
    for group, cells in groups.items():
        first, missing = cells[0], [planned for planned in cells if planned.key in to_run]
        rows.append(
            (
                group,
                ", ".join(str(planned.cell.seed) for planned in cells),
                count(len(cells) - len(missing)),
                "-" if pace is None else duration(sum(map(pace.seconds, missing))),
                ", ".join(f"{name} {count(number)}" for name, number in first.sentences.items()),
                count(first.epochs),
                count(first.dev_sentences),
                count(first.test_sentences),
            )
        )
    waiting = {planned.key: planned for planned in plan if planned.key in to_run}
    said = f"{count(len(waiting))} of {count(len({each.key for each in plan}))} cells are to be run"
    said += f", with {count(sum(each.passes for each in waiting.values()))} sentences to learn from, each as often as "
    said += f"there are epochs, and {count(sum(each.test_sentences for each in waiting.values()))} to test on."
    if pace:
        said += f" At {pace.training:,.0f} and {pace.testing:,.0f} sentences a second that takes about "
        said += f"{duration(sum(map(pace.seconds, waiting.values())))}."
    columns = ("Trained on", "seeds", "finished", "time", "sentences to train on", "epochs", "dev", "test")
    return [Table("Plan", said, columns, rows)]


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / MINUTE:.0f} min" if seconds < HOUR else f"{seconds / HOUR:.1f} h"


def outcome_tables(experiment: Experiment, report: Report) -> list[Table]:
    """What came out; tables without rows are left out.

    report (Report): From `outcome.describe_outcome`.
    """
    scores = report["scores"]
    found = [
        _by_language(experiment, scores),
        _differences(
            "What training on more languages changes", "Languages trained on together", scores["together"], scores
        ),
        _few_labels(scores),
        _differences("What variants change", "Variants", scores["variants"], scores),
        _self_training(report["cells"]),
        _explained(report["explained"]),
        _types(report["explained"]),
        _time(report["cells"]),
    ]
    return [table for table in found if table.rows]


def _score(scored: Report) -> str:
    return f"{percent(scored['f1'])}{_spread(scored)} ({percent(scored['low'])} to {percent(scored['high'])})"


def _spread(scored: Report) -> str:
    return "" if scored["spread"] is None else f" ± {100 * scored['spread']:.1f}"


def _seeds(scores: Report) -> str:
    return ", ".join(map(str, scores["seeds"]))


def _by_language(experiment: Experiment, scores: Report) -> Table:
    languages = [experiment.source, *experiment.targets]
    groups = {alone(language): alone(language) for language in languages}
    groups |= {together(pair): together(pair) for pair in experiment.pairs} | {EACH_ALONE: EACH, ALL: ALL}
    return Table(
        "Trained on, tested on",
        f"Strict F1 in percent: mean over seeds ({_seeds(scores)}) ± standard deviation, and in parentheses the "
        f"95 % interval by bootstrap over test sentences and seeds ({count(scores['resamples'])} resamples, seed "
        f"{scores['seed']}). Where a language was not trained on it is zero-shot.",
        ("Trained on", *languages, "mean"),
        [
            (name, *(_score(scores["groups"][group][language]) for language in (*languages, MEAN)))
            for name, group in groups.items()
            if group in scores["groups"]
        ],
    )


def _differences(title: str, what: str, rows: Sequence[Report], scores: Report) -> Table:
    return Table(
        title,
        f"{what}: F1 of the first less F1 of the second, in points: mean over seeds ({_seeds(scores)}) ± standard "
        "deviation of the differences, with the 95 % interval and two-sided p-value of a bootstrap paired in test "
        "sentences and seeds. Unseen: all languages but the one that was trained on. Adjusted: for the number of "
        f"rows, by Holm's method; beyond noise is what is below {BEYOND_NOISE} then.",
        ("First", "second", "tested on", "difference", "95 %", "p", "adjusted", "beyond noise"),
        [
            (
                row["group"],
                EACH_ALONE if row["less"] == EACH else row["less"],
                row["test"],
                f"{100 * row['difference']:+.1f}{_spread(row)}",
                f"{100 * row['low']:+.1f} to {100 * row['high']:+.1f}",
                f"{row['p_value']:.3f}",
                f"{row['adjusted']:.3f}",
                "yes" if row["beyond_noise"] else "no",
            )
            for row in rows
        ],
    )


def _few_labels(scores: Report) -> Table:
    found = scores["few_labels"]
    columns = ("Sentences", "from the encoder", "from the source's model")
    if found is None:
        return Table("", "", columns, [])
    crossings = {name: crossing_in_words(found["crossing"][name], found["sizes"]) for name in found["crossing"]}
    return Table(
        f"Few labels of {found['target']}",
        f"Strict F1 on {found['target']} after training on so many of its sentences. Zero-shot from {found['source']} "
        f"is {_score(found['zero_shot'])}. From the encoder that is reached {crossings['encoder']}; from the model "
        f"trained on {found['source']}, {crossings['source']}.",
        columns,
        [
            (count(size), _score(encoder), _score(source))
            for size, encoder, source in zip(
                found["sizes"], found["curves"]["encoder"], found["curves"]["source"], strict=True
            )
        ],
    )


def crossing_in_words(found: Report, sizes: Sequence[int]) -> str:
    """Where a curve reaches a line, for example 'after 730 sentences (95 %: 610 to 900)'."""

    def place(sentences: float | None) -> str:
        if sentences is None:
            return f"more than {sizes[-1]:,}"
        return f"{sentences:,.0f}" if sentences else f"at most {sizes[0]:,}"

    low, high = place(found["low"]), place(found["high"])
    between = low if low == high else f"{low} to {high}"
    return f"after {place(found['sentences'])} sentences (95 %: {between})"


def _self_training(cells: Sequence[Report]) -> Table:
    keys = ("read", "kept", "without_entity", "entities", "words", "unsaid")
    return Table(
        "What self-training took",
        "Sentences that the source's model annotated, and those that were kept because it was sure of all their "
        "entities; of these, those without any, their entities, words, and words of which nothing is said.",
        ("Cell", "seed", "language", *(key.replace("_", " ") for key in keys)),
        [
            (cell["group"], str(cell["seed"]), language, *(count(taken[key]) for key in keys))
            for cell in cells
            for language, taken in (cell["self_training"] or {}).items()
        ],
    )


def _explained(rows: Sequence[Report]) -> Table:
    by_share = sorted(rows, key=lambda row: -float(row["pieces_seen"]))
    drops = [float(row["drop"]) for row in rows]
    said = ""
    for name in ("pieces", "words"):
        found = rank_correlation([float(row[f"{name}_seen"]) for row in rows], drops)
        said += "" if found is None else f" Rank correlation of the drop with the share of {name}: {found:+.2f}."
    return Table(
        "Seen in training, and the drop",
        "Of the target's running words and pieces, the share that occurs in the training sentences, in percent; beside "
        "it F1, by how many points it is lower than on the languages trained on, and F1 of training on the target "
        f"alone.{said}",
        ("Trained on", "target", "pieces seen", "words seen", "script", "F1", "drop", "own training"),
        [
            (
                row["trained_on"],
                row["target"],
                percent(row["pieces_seen"]),
                percent(row["words_seen"]),
                f"{row['script']}, {'the same' if row['same_script'] else 'another'}",
                percent(row["f1"]),
                f"{100 * row['drop']:.1f}",
                percent(row["own"]),
            )
            for row in by_share
        ],
    )


def _types(rows: Sequence[Report]) -> Table:
    shown: list[tuple[str, ...]] = []
    for row in rows:
        for label, of_type in sorted(row["types"].items(), key=lambda item: float(item[1]["f1"])):
            mistake = worst_mistake(of_type)
            shown.append(
                (
                    row["trained_on"],
                    row["target"],
                    label,
                    percent(of_type["f1"]),
                    count(of_type["gold"]),
                    percent(of_type["became"].get("right")),
                    "-" if mistake is None else f"{in_words(mistake[0])}: {percent(mistake[1])}",
                )
            )
    return Table(
        "Types, the worst first",
        "Of each pair the types with F1, the number of gold entities over all seeds, the share of these that is right, "
        "and what most of the others became.",
        ("Trained on", "target", "type", "F1", "gold", "right", "most of the rest"),
        shown,
    )


def _time(cells: Sequence[Report]) -> Table:
    seconds = [cell["training"]["seconds"] or 0.0 for cell in cells]
    testing = sum(test["seconds"] for cell in cells for test in cell["tests"].values())
    return Table(
        "Cells",
        f"{count(len(cells))} cells: training, with its evaluations on dev, took {duration(sum(seconds))}, testing "
        f"{duration(testing)}. Chosen: the step by whose weights the cell is judged, and F1 on dev then.",
        ("Cell", "seed", "sentences", "epochs", "steps", "chosen", "F1 on dev", "training"),
        [
            (
                cell["group"],
                str(cell["seed"]),
                count(sum(cell["sentences"].values())),
                count(cell["epochs"]),
                count(cell["training"]["steps"]),
                count(cell["training"]["chosen_step"]),
                percent(cell["training"]["chosen_f1"]),
                "-" if cell["training"]["seconds"] is None else duration(cell["training"]["seconds"]),
            )
            for cell in cells
        ],
    )
