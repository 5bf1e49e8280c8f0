"""Pictures of what was counted in a corpus.

Each shows one thing and says it in its title.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from .pictures import BLUE, FAINT, GREEN, INK, ORANGE, drawing, png
from .statistics import LENGTHS, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SPLIT_COLORS = {"train": BLUE, "dev": ORANGE, "test": GREEN}
# The first lines are wider, so that each is seen where splits are alike.
LINE_WIDTHS = {"train": 4, "dev": 2.7, "test": 1.4}
# From dark to light, so that the order shows without colours too.
LENGTH_COLORS = ("#08306b", "#2171b5", "#6baed6", "#bdd7e7", "#e6e6e6")
WIDTH, BAR, LEGEND = 8.5, 0.21, 0.3  # inches


def draw(report: Report) -> dict[str, bytes]:
    """Draw what there is to draw.

    report (Report): From `statistics.describe`.
    RETURNS: PNG files by their names without the ending.
    RAISES: PicturesNeedMatplotlib.
    """
    with drawing():
        figures = {}
        if report["labels"]:
            figures = {"entity-types": _entity_types(report), "entity-lengths": _entity_lengths(report)}
        if any(split["all"]["entities"] for split in report.get("unseen", {}).values()):
            figures["unseen-entities"] = _unseen(report)
        if any(row["words"] for row in report["splits"].values()):
            figures["sentence-lengths"] = _sentence_lengths(report)
        return {name: png(figure) for name, figure in figures.items()}


def _entity_types(report: Report) -> "Figure":
    splits = report["splits"]
    counts = {split: row["entities_by_type"] for split, row in splits.items()}
    total = {label: sum(row[label] for row in counts.values()) for label in report["labels"]}
    order = sorted(total, key=lambda label: -total[label])
    share = total[order[0]] / sum(total.values())
    return _bars(
        f"{order[0]} is the most frequent of {len(order)} types: {100 * share:.0f} % of all entities",
        {split: [row[label] for label in order] for split, row in counts.items()},
        order,
        "{:,.0f}",
    )


def _unseen(report: Report) -> "Figure":
    shown = {split: row for split, row in report["unseen"].items() if row["all"]["entities"]}
    order = [label for label in report["labels"] if any(row["by_type"][label]["entities"] for row in shown.values())]
    last = shown[list(shown)[-1]]
    order.sort(key=lambda label: -(last["by_type"][label]["share_unseen"] or 0))
    said = ", ".join(f"{100 * row['all']['share_unseen']:.0f} % of entities in {split}" for split, row in shown.items())
    shares: dict[str, list[float | None]] = {}
    for split, row in shown.items():
        parts = [*(row["by_type"][label] for label in order), row["all"]]
        shares[split] = [100 * part["share_unseen"] if part["entities"] else None for part in parts]
    return _bars(f"Unseen in train: {said}", shares, [*order, "all"], "{:.0f} %")


def _bars(title: str, values: Mapping[str, Sequence[float | None]], names: Sequence[str], label: str) -> "Figure":
    """Groups of bars, one group for each name and in it one bar for each split.

    values (Mapping): Of each split one for each name, or None where there is nothing to have a share of.
    label (str): The format of the numbers at the bars.
    """
    rows = len(names) * (len(values) + 0.8)
    figure, (axes,) = _figure(title, BAR * rows + LEGEND)
    thickness = 1 / (len(values) + 0.8)
    for number, (split, row) in enumerate(values.items()):
        at = [place + thickness * (number - (len(values) - 1) / 2) for place in range(len(names))]
        bars = axes.barh(
            at, [value or 0 for value in row], height=0.92 * thickness, color=SPLIT_COLORS[split], label=split
        )
        texts = ["no entities" if value is None else label.format(value) for value in row]
        axes.bar_label(bars, texts, padding=3, fontsize=9)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    # Room for the numbers after the bars.
    longest = max(value or 0 for row in values.values() for value in row)
    axes.set_xlim(0, 1.08 * longest or 1)
    axes.margins(y=0.01)
    _only_bars(axes, len(values))
    return figure


def _entity_lengths(report: Report) -> "Figure":
    """One bar of 100 % for each type, all splits taken together."""
    names = [*report["labels"], "all"]
    rows: dict[str, list[int]] = {name: [0] * len(LENGTHS) for name in names}
    for counts in report["splits"].values():
        lengths = counts["entity_lengths"]
        for name, row in (*lengths["by_type"].items(), ("all", lengths["all"])):
            rows[name] = [so_far + row[length] for so_far, length in zip(rows[name], LENGTHS, strict=True)]
    single = rows["all"][0] / sum(rows["all"])
    names.sort(key=lambda name: (name == "all", -rows[name][0] / sum(rows[name])))
    figure, (axes,) = _figure(f"{100 * single:.0f} % of the entities have one word", 1.7 * BAR * len(names) + LEGEND)
    for number, (length, color) in enumerate(zip(LENGTHS, LENGTH_COLORS, strict=True)):
        shares = [100 * rows[name][number] / sum(rows[name]) for name in names]
        before = [100 * sum(rows[name][:number]) / sum(rows[name]) for name in names]
        words = "1 word" if length == "1" else f"{length} words"
        bars = axes.barh(names, shares, left=before, height=0.75, color=color, edgecolor="white", label=words)
        # A number is written where there is room for it.
        texts = [f"{share:.0f} %" if share >= 6 else "" for share in shares]
        axes.bar_label(bars, texts, label_type="center", color="white" if number < 2 else INK, fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    _only_bars(axes, len(LENGTHS))
    return figure


def _only_bars(axes: "Axes", columns: int) -> None:
    """Take away the frame and the ticks, which say nothing that the numbers at the bars do not, and add a legend."""
    axes.xaxis.set_ticks([])
    axes.tick_params(left=False)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.legend(frameon=False, ncols=columns, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)


def _sentence_lengths(report: Report) -> "Figure":
    """The share of sentences up to each length, in words and beside that in pieces if these were counted."""
    splits = {split: row for split, row in report["splits"].items() if row["words"]}
    window = report["window"]
    first, counts = next(iter(splits.items()))
    summary = counts["words_per_sentence"]
    title = f"Half of the sentences in {first} have at most {summary['median']} words, 95 % at most "
    figure, panels = _figure(f"{title}{summary['percentile_95']}", 2.9, panels=2 if window else 1)
    _share_up_to(panels[0], {split: row["sentences_by_words"] for split, row in splits.items()}, "words")
    panels[0].legend(frameon=False, loc="upper left")
    if window:
        _share_up_to(panels[1], {split: row["sentences_by_pieces"] for split, row in splits.items()}, "pieces")
        room = window - report["special_pieces"]
        panels[1].axvline(room, color=INK, linestyle="--", linewidth=1)
        longer = sum(row["pieces"]["sentences_longer_than_window"] for row in splits.values())
        text = f"window of {window}:\nsentences longer\nthan that: {longer:,}"
        panels[1].annotate(text, (room, 4), xytext=(-3, 0), textcoords="offset points", ha="right", fontsize=9)
    return figure


def _share_up_to(axes: "Axes", histograms: Mapping[str, Mapping[str, int]], unit: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    for split, histogram in histograms.items():
        lengths = [int(length) for length in histogram]
        total = sum(histogram.values())
        shares = [100 * part / total for part in accumulate(histogram.values())]
        axes.step(lengths, shares, where="post", color=SPLIT_COLORS[split], linewidth=LINE_WIDTHS[split], label=split)
    # On a logarithmic scale one very long sentence does not squeeze all the others.
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_ylim(0, 101)
    axes.set_xlabel(f"{unit} in a sentence")
    axes.set_ylabel("% of sentences up to this length")
    axes.grid(color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _figure(title: str, height: float, panels: int = 1) -> "tuple[Figure, Sequence[Axes]]":
    """An empty figure with a title.

    height (float): Inches without the title and what stands around the panels.
    panels (int): Drawings side by side.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(WIDTH, height + 0.8), layout=ConstrainedLayoutEngine(h_pad=0.08))
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=12)
    return figure, figure.subplots(1, panels, squeeze=False)[0]
