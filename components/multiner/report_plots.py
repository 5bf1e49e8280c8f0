"""Pictures for a page: SVG that takes its ink from the page, so that it reads in the dark and in the light.

Colours are Okabe and Ito's, which colour-blind people can tell apart, and no picture needs them: what they say stands
in words or figures beside them.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from .matching import ERRORS, KINDS

Report = dict[str, Any]
WIDTH, ROW, LEFT = 720, 28, 150  # of drawings, of their rows, and of the names at the left
COLORS = {
    "type": "#0072B2",
    "borders": "#E69F00",
    "both": "#CC79A7",
    "missed": "#D55E00",
    "spurious": "#56B4E9",
}
DARK = {"type", "missed"}  # of these: white letters read better on them


def f1_by_type(scores: Report) -> str:
    """F1 of each type with its 95 % interval, the best first, and the average of all."""
    strict, spread = scores["strict"], scores["intervals"]
    rows = [(label, row["f1"], spread["f1_per_type"][label]) for label, row in strict["per_type"].items()]
    rows.sort(key=lambda row: -row[1])
    rows.append(("all (micro)", strict["micro"]["f1"], spread["scores"]["micro_f1"]))
    room = WIDTH - LEFT - 150

    def x(share: float) -> float:
        return LEFT + room * share

    parts = []
    for tick in range(0, 101, 20):
        at = x(tick / 100)
        parts.append(f'<line class="faint" x1="{at:.1f}" x2="{at:.1f}" y1="4" y2="{ROW * len(rows) + 4}"/>')
        parts.append(_text(at, ROW * len(rows) + 20, str(tick), "middle", "small"))
    for number, (name, f1, (low, high)) in enumerate(rows):
        y = ROW * number + ROW / 2 + 4
        parts.append(_text(LEFT - 10, y + 4, name, "end"))
        parts.append(
            f'<line class="accent" stroke-width="5" stroke-linecap="round" opacity=".55" '
            f'x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{y}" y2="{y}"/>'
        )
        parts.append(f'<circle cx="{x(f1):.1f}" cy="{y}" r="5.5" class="dot"/>')
        parts.append(_text(WIDTH - 4, y + 4, f"{100 * f1:.1f}  ({100 * low:.1f} to {100 * high:.1f})", "end", "figure"))
    return _svg("F1 by type with 95 % intervals", ROW * len(rows) + 28, parts)


def errors_by_type(errors: Report) -> str:
    """How many errors of each kind each type has."""
    rows = {label: [row[kind] for kind in ERRORS] for label, row in errors["by_type"].items()}
    most = max((sum(row) for row in rows.values()), default=0) or 1
    room = WIDTH - LEFT - 60
    parts: list[str] = []
    x = float(LEFT)
    for kind in ERRORS:
        parts.append(f'<rect x="{x}" y="2" width="13" height="13" rx="2" fill="{COLORS[kind]}"/>')
        parts.append(_text(x + 18, 13, kind))
        x += 40 + 8 * len(kind)
    for number, (label, row) in enumerate(sorted(rows.items(), key=lambda item: -sum(item[1]))):
        y = ROW * number + 26
        parts.append(_text(LEFT - 10, y + 15, label, "end"))
        x = float(LEFT)
        for kind, value in zip(ERRORS, row, strict=True):
            width = room * value / most
            if width > 0:
                parts.append(
                    f'<rect x="{x:.1f}" y="{y}" width="{max(width - 1.5, 1):.1f}" height="{ROW - 7}" '
                    f'fill="{COLORS[kind]}"><title>{escape(label)}, {kind}, {KINDS[kind]}: {value:,}</title></rect>'
                )
            if width > 9 * len(f"{value:,}") + 4:
                parts.append(_text(x + width / 2, y + 15, f"{value:,}", "middle", "on-dark" if kind in DARK else "on"))
            x += width
        parts.append(_text(x + 6, y + 15, f"{sum(row):,}", "start", "figure"))
    return _svg("Errors by type and kind", ROW * len(rows) + 28, parts)


def reliability(bins: Sequence[Report]) -> str:
    """How many of the entities of a confidence are right; on the diagonal it would be just as many."""
    size, left, bottom = 300, 60, 316

    def point(row: Mapping[str, float]) -> tuple[float, float]:
        return left + size * row["confidence"], bottom - size * row["right"]

    parts = [f'<rect class="frame" x="{left}" y="{bottom - size}" width="{size}" height="{size}"/>']
    parts.append(f'<line class="diagonal" x1="{left}" y1="{bottom}" x2="{left + size}" y2="{bottom - size}"/>')
    for tick in (0, 20, 40, 60, 80, 100):
        parts.append(_text(left + size * tick / 100, bottom + 18, str(tick), "middle", "small"))
        parts.append(_text(left - 8, bottom - size * tick / 100 + 4, str(tick), "end", "small"))
    parts.append(_text(left + size / 2, bottom + 38, "confidence, %", "middle"))
    parts.append(
        f'<text transform="rotate(-90)" x="{-(bottom - size / 2)}" y="18" text-anchor="middle">right entities, %</text>'
    )
    most = max((row["entities"] for row in bins), default=1)
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(point, bins))
    parts.append(f'<polyline points="{line}" fill="none" class="accent" stroke-width="2"/>')
    for row in bins:
        x, y = point(row)
        radius = 3 + 8 * (row["entities"] / most) ** 0.5
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" class="dot"><title>confidence '
            f"{100 * row['confidence']:.1f} %, right {100 * row['right']:.1f} %, {row['entities']:,} entities"
            "</title></circle>"
        )
    return _svg("Reliability of confidences", bottom + 46, parts, width=left + size + 16)


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(text)}</text>'


def _svg(title: str, height: float, parts: Sequence[str], width: float = WIDTH) -> str:
    return (
        f'<svg role="img" aria-label="{escape(title)}" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'style="max-width: {width:.0f}px">{"".join(parts)}</svg>'
    )
