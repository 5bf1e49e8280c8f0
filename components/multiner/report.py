"""The analysis as a page that can be mailed: one HTML file without a network, and the same figures in Markdown."""

from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from spacy import displacy

from .matching import ERRORS, KINDS
from .report_plots import errors_by_type, f1_by_type, reliability
from .report_tables import analysis_tables, score_tables, sentence_tables
from .tables import markdown_parts, plain

Report = dict[str, Any]
# Tints of Okabe and Ito's colours, on which black letters can be read; types take them in turn.
TINTS = ("#9fd3f2", "#f6cf85", "#8fdcc0", "#eab8d3", "#f4ae86", "#f5ee9d", "#b9c7d6")
MARKDOWN_SENTENCES = 10
NO_BREAK = "\u00a0"
RIGHT, WRONG = "✓", "✗"  # beside the types, so that nobody has to tell colours apart


def markdown_page(report: Report) -> str:
    """The figures of `analysis.analyse` and the dearest sentences, as Markdown."""
    parts = [f"# Where {plain(report['model'])} fails on {plain(report['data'])}"]
    parts += markdown_parts(score_tables(report["scores"]))
    if report["without_losses"]:
        parts.append(report["without_losses"])
    parts += markdown_parts(analysis_tables(report))
    parts += markdown_parts(sentence_tables(report, MARKDOWN_SENTENCES))
    return "\n\n".join(parts) + "\n"


def html_page(report: Report) -> str:
    """What `analysis.analyse` reports as one HTML page, with everything in it that it needs."""
    environment = Environment(loader=PackageLoader("multiner"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    scores = report["scores"]
    types = sorted(scores["errors"]["by_type"])
    tables = {table.title: table for table in [*score_tables(scores), *analysis_tables(report)]}
    heat = {title: tables.pop(title, None) for title in ("Which type became which", "Which tag became which")}
    summary = tables.pop("In one number")
    bins = scores["calibration"]
    return environment.get_template("report.html.jinja").render(
        report=report,
        scores=scores,
        types=types,
        kinds=KINDS,
        errors=ERRORS,
        summary=summary,
        tables=tables.values(),
        heat={title: (table, _shares(table.rows)) for title, table in heat.items() if table is not None},
        # These are SVG and displaCy's HTML, in which all text is escaped already.
        f1_plot=Markup(f1_by_type(scores)) if types else "",
        errors_plot=Markup(errors_by_type(scores["errors"])) if types else "",
        reliability_plot=Markup(reliability(bins)) if bins else "",
        sentences=[_shown(sentence, types) for sentence in report["sentences"]],
    )


def _shares(rows: list[tuple[str, ...]]) -> list[list[float]]:
    """How much of its row each cell of a table is."""
    values = [[float(cell.replace(",", "")) for cell in row[1:]] for row in rows]
    return [[value / (sum(row) or 1) for value in row] for row in values]


def _shown(sentence: Report, types: list[str]) -> Report:
    """A sentence with gold and predicted entities drawn, and with what it can be filtered by."""
    wrong = [error for error in sentence["errors"] if error["kind"] != "right"]
    gold = {tuple(span) for span in sentence["gold"]}
    predicted = {tuple(span[:3]) for span in sentence["predicted"]}
    losses = sentence.get("losses") or [None] * len(sentence["words"])
    return {
        **sentence,
        "wrong": wrong,
        "pairs": " ".join(f"{error['kind']}|{_slug(types, error['type'])}" for error in wrong),
        "drawn": [
            ("gold", Markup(_draw(sentence, gold, predicted, types))),
            ("predicted", Markup(_draw(sentence, predicted, gold, types))),
        ],
        "rows": list(zip(sentence["words"], sentence["gold_tags"], sentence["predicted_tags"], losses, strict=True)),
    }


def _slug(types: list[str], label: str) -> int:
    """A type by its number: labels may have blanks in them."""
    return types.index(label)


def _draw(sentence: Report, spans: set[Any], other: set[Any], types: list[str]) -> str:
    """Entities by displaCy, those marked that the other side does not have."""
    text, places = "", []
    for word, space in zip(sentence["words"], sentence["spaces"], strict=True):
        places.append((len(text), len(text) + len(word)))
        text += word + " " * space
    entities = [
        {
            "start": places[start][0],
            "end": places[end - 1][1],
            "label": f"{label}{NO_BREAK}{RIGHT if (start, end, label) in other else WRONG}",
        }
        for start, end, label in sorted(spans)
    ]
    tints = {label: TINTS[number % len(TINTS)] for number, label in enumerate(types)}
    colors = {f"{label}{NO_BREAK}{mark}".upper(): tint for label, tint in tints.items() for mark in (RIGHT, WRONG)}
    drawn: str = displacy.render(
        {"text": text, "ents": entities, "title": None},
        style="ent",
        manual=True,
        jupyter=False,
        options={"colors": colors},
    )
    return drawn
