"""Pipelines that compute in int8: made only if they find what they found before, as annotated sentences show."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from spacy.language import Language
from spacy.scorer import Scorer
from spacy.tokens import Doc
from spacy.training import Example

from .docbins import read_docs, without_annotation
from .errors import UserError
from .files import swapped_folder
from .layout import TYPES
from .model import TaggerShim
from .pipe import Multiner, with_own_encoder
from .pipelines import load_pipeline
from .precision import Precision, has_fast_int8
from .tables import Table, percent

MOST_LOSS = 0.003
# A pipeline of which more layers have to stay in floating point gains too little to be called one in int8.
MOST_FLOAT_LAYERS = 0.5
# Sentences that are enough to tell which layers change scores most.
SENTENCES = 200


class Int8NotUsable(UserError, ValueError):
    """This processor or this encoder gains nothing by int8."""


class Int8LosesTooMuch(UserError, ValueError):
    """The pipeline finds less in int8; the message has the figures."""


class Measured(NamedTuple):
    """F1 (exact entities, on the corpus's own words) and words a second in some number format."""

    f1: float
    words_per_second: float


def quantise(model: str, output: Path, corpus: Path, most_loss: float = MOST_LOSS) -> dict[str, Any]:
    """Write a copy of a pipeline that computes in int8.

    If it lost more F1 than allowed, the layers that int8 changes most stay in floating point, as few as possible.

    model (str): A folder, or the name of an installed package.
    output (Path): Folder for the copy; what stands there is replaced when all is written.
    corpus (Path): A `.spacy` file, or a folder of them, that was not trained on; the dev part as a rule.
    most_loss (float): The most F1 that may be lost, as a share: .003 is 0.3 points.
    RETURNS: JSON-ready "model", "corpus", "float_layers" (those that stay in floating point, counted from the lowest),
        "layers", and "before" and "after" as `Measured`.
    RAISES: FileNotFoundError; ModelFilesError; Int8NotUsable; Int8LosesTooMuch.
    """
    nlp = load_pipeline(model)
    pipe, layers = _component(nlp)
    shim = pipe.shim
    gold = list(read_docs(corpus, nlp.vocab))
    before = _measure(nlp, shim, gold, "auto")
    after = _measure(nlp, shim, gold, "int8")
    order: list[int] = []
    kept = 0
    while before.f1 - after.f1 > most_loss:
        order = order or _most_changed(pipe, gold[:SENTENCES], layers)
        kept += 1
        if kept > MOST_FLOAT_LAYERS * layers:
            raise Int8LosesTooMuch(
                f"On {corpus} the F1 of {model} is {percent(before.f1)}, and in int8 {percent(after.f1)}, even with "
                f"{kept - 1} of {layers} layers in floating point. At most {100 * most_loss:.1f} points may be lost. "
                "Nothing was written. Leave it in floating point."
            )
        after = _measure(nlp, shim, gold, "int8", order[:kept])
    float_layers = sorted(order[:kept])
    nlp.config["components"][pipe.name]["model"].update(precision="int8", float_layers=float_layers)
    with swapped_folder(output) as unfinished:
        nlp.to_disk(unfinished)
    about = {"model": model, "corpus": str(corpus), "float_layers": float_layers, "layers": layers}
    return {**about, "before": before._asdict(), "after": after._asdict()}


def quantising_table(report: dict[str, Any]) -> Table:
    """What `quantise` measured, as a table."""
    before, after = report["before"], report["after"]
    return Table(
        f"{report['layers'] - len(report['float_layers'])} of {report['layers']} layers in int8",
        f"F1 of exact entities on the words of {report['corpus']}, and how fast its words were tagged here.",
        ("", "before", "after"),
        [
            ("F1", f"{100 * before['f1']:.2f}", f"{100 * after['f1']:.2f}"),
            ("Words a second", *(f"{side['words_per_second']:,.0f}" for side in (before, after))),
        ],
    )


def _component(nlp: Language) -> tuple[Multiner, int]:
    """The component that can compute in int8, and how many layers its encoder has."""
    if not has_fast_int8(torch.device("cpu")):
        raise Int8NotUsable(
            "This processor does not multiply in int8 (with AVX2 or later), so nothing would be faster here and the "
            "loss could not be measured. Do this on a machine like the one that will use the pipeline."
        )
    pipe = next(iter(with_own_encoder(nlp)), None)
    if pipe is None:
        raise Int8NotUsable("The pipeline has no trained component `multiner` with an encoder of its own.")
    layout = pipe.shim.layout
    if layout is None:
        raise Int8NotUsable(
            f"The encoder of '{pipe.name}' is a {type(pipe.shim.network.encoder).__name__}, which cannot compute in "
            f"int8; those that can are of the types {', '.join(sorted(TYPES))}."
        )
    return pipe, layout.layers


def _measure(
    nlp: Language,
    shim: TaggerShim,
    gold: Sequence[Doc],
    precision: Precision,
    float_layers: Sequence[int] = (),
) -> Measured:
    shim.compute_in(precision, float_layers)
    docs = [without_annotation(doc) for doc in gold]
    start = time.perf_counter()
    found = list(nlp.pipe(docs))
    seconds = time.perf_counter() - start
    scores = Scorer(nlp).score([Example(doc, right) for doc, right in zip(found, gold, strict=True)])
    return Measured(float(scores["ents_f"]), sum(map(len, gold)) / seconds)


def _most_changed(pipe: Multiner, gold: Sequence[Doc], layers: int) -> list[int]:
    """Layers in the order in which int8 in them alone changes scores, the one first that changes them most."""
    docs = [without_annotation(doc) for doc in gold]

    def scores(float_layers: Sequence[int]) -> NDArray[np.float32]:
        pipe.shim.compute_in("int8", float_layers)
        return np.concatenate(pipe.tag_scores(docs))

    every = range(layers)
    exact = scores(every)
    changes = [np.abs(scores([other for other in every if other != layer]) - exact).mean() for layer in every]
    return sorted(every, key=lambda layer: -float(changes[layer]))
