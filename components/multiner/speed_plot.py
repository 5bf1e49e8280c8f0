"""How fast each way tags words, as a picture."""

from pathlib import Path
from typing import Any

from .pictures import BLUE, FAINT, INK, drawing, write_png

WIDTH, BAR, MARGIN = 8.5, 0.34, 1.1  # inches
OURS = "ours"
PIPELINE = "transformers pipeline"


def draw_speed(report: dict[str, Any], path: Path) -> None:
    """Draw words a second as bars, ours in colour, with how many times the best pipeline of transformers that is.

    report (dict): From `prediction_speed.measure_speed`.
    path (Path): The PNG file.
    RAISES: PicturesNeedMatplotlib.
    """
    with drawing():
        from matplotlib.figure import Figure

        names = list(report["ways"])
        speeds = [report["ways"][name]["words_per_second"] for name in names]
        best = best_pipeline(report)
        figure = Figure(figsize=(WIDTH, BAR * len(names) + MARGIN), layout="constrained")
        axes = figure.subplots()
        bars = axes.barh(names, speeds, color=[BLUE if name.startswith(OURS) else FAINT for name in names])
        labels = [f"{speed:,.0f}  ({speed / best:.1f})" for speed in speeds]
        axes.bar_label(bars, labels, padding=4, color=INK)
        axes.invert_yaxis()
        axes.set(xlim=(0, 1.25 * max(speeds)), xlabel="words a second (times the best pipeline of transformers)")
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.set_title(f"{report['words']:,} words in {report['texts']:,} texts", loc="left", color=INK)
        write_png(figure, path)


def best_pipeline(report: dict[str, Any]) -> float:
    """Words a second of the pipeline of transformers as it comes, in float32, with the batches that suit it best."""
    rows = report["ways"].items()
    return max(float(row["words_per_second"]) for name, row in rows if name.startswith(f"{PIPELINE}, "))
