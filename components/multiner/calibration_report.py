"""How far the confidences of a trained pipeline can be trusted: figures and a reliability diagram."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spacy.language import Language

from .calibration import BINS, calibration_error, reliability
from .decoding import confidences
from .docbins import read_docs, without_annotation
from .errors import UserError
from .pictures import BLUE, FAINT, ORANGE, drawing, write_png
from .pipe import Multiner
from .pipelines import load_pipeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class NoConfidences(UserError, ValueError):
    """A pipeline without a component that says how sure it is."""


def describe_calibration(model: str, corpus: Path) -> dict[str, Any]:
    """Compare confidences with what is right, without a temperature and with the one that the pipeline has.

    model (str): A folder, or the name of an installed pipeline.
    corpus (Path): A `.spacy` file, or a folder of them.
    RETURNS: JSON-ready "temperature", "entities", and "before" and "after": "error" and "bins".
    RAISES: NoConfidences; FileNotFoundError; ModelFilesError.
    """
    nlp = load_pipeline(model)
    place, pipe = _find_component(nlp)
    gold = list(read_docs(corpus, nlp.vocab))
    with nlp.select_pipes(enable=nlp.pipe_names[:place]):
        docs = list(nlp.pipe(without_annotation(doc) for doc in gold))
    outcomes = pipe.outcomes(docs, gold)
    report: dict[str, Any] = {
        "model": model,
        "corpus": str(corpus),
        "temperature": pipe.cfg["temperature"],
        "entities": len(outcomes.right),
        "share_right": float(outcomes.right.mean()) if len(outcomes.right) else None,
    }
    for when, temperature in (("before", 1.0), ("after", pipe.cfg["temperature"])):
        sure = confidences(outcomes.scores, outcomes.entities, temperature)
        report[when] = {
            "error": calibration_error(sure, outcomes.right),
            "bins": [part._asdict() for part in reliability(sure, outcomes.right)],
        }
    return report


def _find_component(nlp: Language) -> tuple[int, Multiner]:
    for place, (_, component) in enumerate(nlp.pipeline):
        if isinstance(component, Multiner):
            return place, component
    raise NoConfidences(f"The pipeline has no component 'multiner'; its components are {', '.join(nlp.pipe_names)}.")


def draw_reliability(reports: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw for each report how many entities of a confidence are right, before and after.

    reports (Sequence): From `describe_calibration`.
    path (Path): The PNG file.
    RAISES: PicturesNeedMatplotlib.
    """
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4.4 * len(reports), 4.6), layout="constrained")
        for axes, report in zip(figure.subplots(1, len(reports), squeeze=False)[0], reports, strict=True):
            _draw_one(axes, report)
        write_png(figure, path)


def _draw_one(axes: "Axes", report: dict[str, Any]) -> None:
    axes.plot([0, 100], [0, 100], color=FAINT, linewidth=2, zorder=1)
    for when, color in (("before", ORANGE), ("after", BLUE)):
        bins = report[when]["bins"]
        most = max((part["entities"] for part in bins), default=1)
        label = f"{when}: off by {100 * (report[when]['error'] or 0):.1f} points"
        points = [(100 * part["confidence"], 100 * part["right"], part["entities"]) for part in bins]
        sure, right, entities = zip(*points, strict=True) if points else ((), (), ())
        axes.plot(sure, right, color=color, linewidth=1.6, label=label, zorder=2)
        axes.scatter(sure, right, s=[12 + 120 * count / most for count in entities], color=color, zorder=3)
    axes.set(xlim=(0, 102), ylim=(0, 102), xlabel="confidence, %", ylabel="right entities, %")
    axes.set_title(f"{Path(report['corpus']).parent.stem}: {report['entities']:,} entities in {BINS} bins", loc="left")
    axes.set_aspect("equal")
    axes.legend(frameon=False, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
