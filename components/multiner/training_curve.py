"""The curve of a run of training: loss and F1 on dev over the steps."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from .pictures import BLUE, FAINT, ORANGE, drawing, write_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 7.5, 4.2  # inches


def draw_curve(log: Path, picture: Path) -> None:
    """Draw what `multiner.ProgressLogger.v1` has logged. Nothing is drawn of a run that was never evaluated.

    log (Path): Its file, one JSON object a line.
    picture (Path): Where the PNG goes.
    RAISES: PicturesNeedMatplotlib.
    """
    rows = [json.loads(line) for line in log.read_text(encoding="utf8").splitlines()]
    if not rows:
        return
    with drawing():
        write_png(_figure(rows), picture)


def _figure(rows: list[dict[str, float]]) -> "Figure":
    from matplotlib.figure import Figure

    steps = [row["Step"] for row in rows]
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    left = figure.subplots()
    right = left.twinx()
    best = max(rows, key=lambda row: row["F1"])
    for axes, name, color in ((left, "F1", BLUE), (right, "Loss", ORANGE)):
        axes.plot(steps, [row[name] for row in rows], color=color, marker="o", markersize=4)
        axes.set_ylabel("F1 on dev, %" if name == "F1" else "Loss, mean since the evaluation before", color=color)
        axes.tick_params(axis="y", colors=color)
        axes.set_ylim(bottom=0)
        axes.spines["top"].set_visible(False)
    left.axhline(best["F1"], color=FAINT, zorder=0)
    left.set_xlabel("Step")
    left.set_title(f"Best F1 {best['F1']:.1f} after step {best['Step']:,}", loc="left")
    return figure
