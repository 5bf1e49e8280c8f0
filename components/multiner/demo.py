"""What a pipeline finds in one text, as a page shows it: highlighted entities, and the pieces, words and tags."""

import html
import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from spacy.language import Language

from .annotator import Settings, entities_of, load_annotating
from .errors import UserError
from .outputs import Entity
from .pictures import BLUE, GREEN, ORANGE
from .pipe import Multiner
from .pipelines import folder_of

EXAMPLES = {
    "Deutsch": "Letzten Herbst zog Sabine Hollenweger von Wuppertal nach Chur, um bei der Rhätischen Bahn zu arbeiten.",
    "Français": "L'Université de Neuchâtel a remis hier un doctorat honoris causa à Mariam Touré, née à Dakar.",
    "Italiano": "La Banca Popolare di Ferrara aprirà una filiale a Lugano, ha annunciato ieri Giulia Ferrante.",
    "English": "Priya Nair left the World Health Organization in May and moved from Geneva to Glasgow.",
}
# Okabe and Ito's, see `multiner.pictures`.
COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#D55E00", "#56B4E9", "#F0E442")
# Colours are mixed into whatever the page's own background is, so light and dark need no other ones.
STYLE = """
<style>
.stMainBlockContainer { padding-top: 3rem; }
.marked { line-height: 2.4; white-space: pre-wrap; overflow-wrap: anywhere; font-size: 1.05rem; }
.marked .entity { padding: .22em .35em; border-radius: .35em; border-bottom: 3px solid var(--colour);
  background: color-mix(in srgb, var(--colour) 26%, transparent);
  -webkit-box-decoration-break: clone; box-decoration-break: clone; }
.marked .about { font-size: .72em; margin-left: .5em; white-space: nowrap; opacity: .85; }
.marked .label { font-weight: 700; letter-spacing: .03em; margin-right: .4em; }
"""


class DemoError(UserError, RuntimeError):
    """The page cannot be shown."""


class Finding(NamedTuple):
    """What a pipeline found in a text.

    entities: All of them, whatever their confidence.
    words: For each word its text, its pieces, and the entity that it is in by number, or None.
    """

    text: str
    entities: list[Entity]
    words: list[tuple[str, list[str], int | None]]


def load_for_page(model: str) -> Language:
    """A pipeline that finds entities of any confidence, so that the page can choose among them."""
    nlp = load_annotating(model)
    for _, pipe in nlp.pipeline:
        if isinstance(pipe, Multiner):
            pipe.cfg["threshold"] = 0.0
    return nlp


def find(nlp: Language, text: str) -> Finding:
    """Look at one text."""
    doc = nlp(text)
    entities = entities_of(nlp, doc, Settings())
    inside = {word.i: number for number, span in enumerate(doc.ents) for word in span}
    shims = [pipe.shim for _, pipe in nlp.pipeline if isinstance(pipe, Multiner)]
    pieces = (shims[-1].piece_texts(doc) if shims else None) or [[] for _ in doc]
    words = [(word.text, pieces[word.i], inside.get(word.i)) for word in doc if not word.is_space]
    return Finding(text, entities, words)


def is_sure(entity: Entity, threshold: float) -> bool:
    """Whether an entity is shown; one without a confidence is."""
    return entity.confidence is None or entity.confidence >= threshold


def highlight(finding: Finding, threshold: float, colours: Mapping[str, str]) -> str:
    """The text as HTML, with its entities marked by colour, and label and confidence beside them."""
    parts, done = [], 0
    for entity in finding.entities:
        if not is_sure(entity, threshold):
            continue
        sure = "" if entity.confidence is None else f"{entity.confidence:.2f}"
        parts.append(html.escape(finding.text[done : entity.start]))
        parts.append(
            f'<span class="entity {class_of(entity.label)}">{html.escape(entity.text)}<span class="about">'
            f'<span class="label">{html.escape(entity.label)}</span>{sure}</span></span>'
        )
        done = entity.end
    parts.append(html.escape(finding.text[done:]))
    rules = "".join(f".marked .{class_of(label)} {{ --colour: {colour}; }}\n" for label, colour in colours.items())
    return f'{STYLE}{rules}</style><div class="marked">{"".join(parts)}</div>'


def class_of(label: str) -> str:
    """A CSS class for a label, which may have any characters."""
    return f"label-{label.encode().hex()}"


def colours_of(labels: Sequence[str]) -> dict[str, str]:
    """A colour for each label, the same whatever else there is in the text."""
    return {label: COLOURS[number % len(COLOURS)] for number, label in enumerate(sorted(set(labels)))}


def labels_of(nlp: Language) -> list[str]:
    """The entity types of a pipeline."""
    return sorted({label for name in nlp.pipe_names for label in getattr(nlp.get_pipe(name), "labels", ())})


def table(finding: Finding, threshold: float) -> list[dict[str, str]]:
    """A row for each piece: the piece, its word, and the tag on the word's first piece."""
    rows = []
    before = None
    for word, pieces, number in finding.words:
        tag = "O"
        if number is not None and is_sure(finding.entities[number], threshold):
            tag = f"{'I' if number == before else 'B'}-{finding.entities[number].label}"
        before = number
        for index, piece in enumerate(pieces or [""]):
            rows.append({"Piece": piece, "Word": "" if index else word, "Tag": "" if index else tag})
    return rows


def download(findings: Mapping[str, Finding], threshold: float) -> dict[str, Any]:
    """What is shown, JSON-ready: the text, and the entities that each pipeline found."""
    text = next(iter(findings.values())).text
    pipelines = {
        model: [entity._asdict() for entity in finding.entities if is_sure(entity, threshold)]
        for model, finding in findings.items()
    }
    return {"text": text, "threshold": threshold, "pipelines": pipelines}


def serve(models: Sequence[str], *, port: int, address: str) -> NoReturn:
    """Show the page until the process is ended.

    RAISES: DemoError if Streamlit is not installed; FileNotFoundError if there is no such pipeline.
    """
    if importlib.util.find_spec("streamlit") is None:
        raise DemoError('The page needs Streamlit; install it with: pip install "spacy-multiner[demo]"')
    for model in models:
        folder_of(model)
    options = {
        "server.headless": "true",  # opens no browser, and asks for no e-mail address
        "server.port": port,
        "server.address": address,
        "server.fileWatcherType": "none",
        "browser.serverAddress": "localhost",  # or it asks a server in the net what its address is
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
    }
    page = Path(__file__).parent / "page" / "show.py"
    command = [sys.executable, "-m", "streamlit", "run", str(page)]
    command += [f"--{name}={value}" for name, value in options.items()]
    # This process becomes Streamlit's, so that whoever ends it ends the page.
    os.execv(sys.executable, [*command, "--", *models])
