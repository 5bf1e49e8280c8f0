"""An experiment in pictures: few labels beside zero-shot, and the drop in F1 beside what training has seen."""

from typing import TYPE_CHECKING, Any

from ..pictures import BLUE, FAINT, GREEN, INK, ORANGE, drawing, png
from .tables import crossing_in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Report = dict[str, Any]
WIDTH, HEIGHT = 8.5, 4.4  # inches
# Several languages beside the source have a marker each, since there are fewer colours that all can tell apart.
MARKERS = "osD^vP*X"
CURVES = {"encoder": (BLUE, "o", "-"), "source": (ORANGE, "s", "--")}


def draw_outcome(report: Report) -> dict[str, bytes]:
    """Draw what there is to draw.

    report (Report): From `outcome.describe_outcome`.
    RETURNS: PNG files by their names without the ending.
    RAISES: PicturesNeedMatplotlib.
    """
    with drawing():
        figures = {"drop": _drop(report["explained"])}
        if report["scores"]["few_labels"]:
            figures["few-labels"] = _few_labels(report["scores"]["few_labels"])
        return {name: png(figure) for name, figure in figures.items()}


def _few_labels(found: Report) -> "Figure":
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullLocator

    sizes, line, target = found["sizes"], found["zero_shot"], found["target"]
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = figure.subplots()
    axes.axhspan(100 * line["low"], 100 * line["high"], color=GREEN, alpha=0.18, linewidth=0)
    axes.axhline(100 * line["f1"], color=GREEN, linestyle=":", linewidth=2, label=f"zero-shot from {found['source']}")
    names = {"encoder": "from the encoder", "source": f"from the model trained on {found['source']}"}
    for curve, (color, marker, style) in CURVES.items():
        rows = found["curves"][curve]
        axes.fill_between(
            sizes,
            [100 * row["low"] for row in rows],
            [100 * row["high"] for row in rows],
            color=color,
            alpha=0.18,
            lw=0,
        )
        axes.plot(
            sizes, [100 * row["f1"] for row in rows], color=color, marker=marker, linestyle=style, label=names[curve]
        )
        # Each seed by itself, so that the spread is seen and not only its interval.
        for size, row in zip(sizes, rows, strict=True):
            seeds = row["by_seed"]
            axes.scatter([size] * len(seeds), [100 * f1 for f1 in seeds], color=color, s=9, zorder=3)
    crossing = found["crossing"]["encoder"]
    if crossing["sentences"]:
        low, high = crossing["low"] or sizes[0], crossing["high"] or sizes[-1]
        axes.errorbar(
            [crossing["sentences"]],
            [100 * line["f1"]],
            xerr=[[crossing["sentences"] - low], [high - crossing["sentences"]]],
            color=INK,
            marker="x",
            markersize=9,
            capsize=4,
            zorder=4,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.set_xlabel(f"sentences of {target} trained on")
    axes.set_ylabel(f"F1 on {target}, %")
    axes.set_title(
        f"From the encoder, zero-shot is reached\n{crossing_in_words(crossing, sizes)}", loc="left", fontweight="bold"
    )
    _plain(axes)
    figure.legend(frameon=False, loc="outside lower left", ncols=len(CURVES) + 1)
    return figure


def _drop(rows: list[Report]) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    trained = list(dict.fromkeys(row["trained_on"] for row in rows))
    for axes, name in zip(panels, ("pieces", "words"), strict=True):
        for number, group in enumerate(trained):
            chosen = [row for row in rows if row["trained_on"] == group]
            axes.scatter(
                [100 * row[f"{name}_seen"] for row in chosen],
                [100 * row["drop"] for row in chosen],
                color=(BLUE, ORANGE, GREEN, INK)[number % 4],
                marker=MARKERS[number % len(MARKERS)],
                s=42,
                label=group,
            )
            for row in chosen:
                axes.annotate(
                    row["target"],
                    (100 * row[f"{name}_seen"], 100 * row["drop"]),
                    xytext=(5, 4),
                    textcoords="offset points",
                    fontsize=9,
                )
        axes.set_xlabel(f"% of the target's {name} seen in training")
        axes.margins(x=0.12, y=0.12)
        _plain(axes)
    panels[0].set_ylabel("drop in F1, points")
    title = "What training has seen of a language, and the drop in F1\nfrom what was trained on to that language"
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        title="trained on",
        alignment="left",
        frameon=False,
        loc="outside lower left",
        ncols=len(trained),
    )
    return figure


def _plain(axes: "Axes") -> None:
    """Only what is read: a faint grid, and no frame at the top and at the right."""
    axes.grid(color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
