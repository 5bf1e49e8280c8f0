"""What a pipeline makes of annotated documents, found out once; every score and analysis works from it."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from spacy.attrs import NORM, ORTH, SPACY
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import minibatch

from .docbins import read_docs, without_annotation
from .errors import UserError
from .model import Scores
from .pipe import Multiner
from .pipelines import load_pipeline
from .tags import Span
from .watching import Watch, unwatched


class WordsChanged(UserError, ValueError):
    """A component joined or split words, so that its entities cannot be compared with gold ones word by word."""


@dataclass(frozen=True)
class Predictions:
    """Documents with gold entities, and what a pipeline found in them.

    gold (list[Doc]): The annotated documents.
    predicted (list[Doc]): The same words with the pipeline's entities.
    raw (list[Doc]): The same texts in the pipeline's own words, with its entities.
    gold_spans, predicted_spans (list[list[Span]]): Entities by words, of `gold` and `predicted`.
    confidences (list[dict[Span, float]] | None): How sure the pipeline is of its entities; None if it does not say.
    scores (list[Scores] | None): For each document an array (words, tags), if a component `multiner` found the
        entities; the tags are those of `labels`.
    labels (tuple[str, ...]): The types that the pipeline can find.
    temperature (float): What scores are divided by before they are probabilities.
    pieces (list[str] | None): The first piece of every word of all documents, empty for white space; None where that
        is not known.
    seconds (float): What predicting `predicted` took.
    """

    gold: list[Doc]
    predicted: list[Doc]
    raw: list[Doc]
    gold_spans: list[list[Span]]
    predicted_spans: list[list[Span]]
    confidences: list[dict[Span, float]] | None
    scores: list[Scores] | None
    labels: tuple[str, ...]
    temperature: float
    pieces: list[str] | None
    seconds: float

    @property
    def words(self) -> int:
        """The number of gold words."""
        return sum(map(len, self.gold))


def predict_files(model: str, data: Path, watch: Watch) -> Predictions:
    """Load a pipeline and a corpus and predict the one with the other; see `predict`.

    RAISES: FileNotFoundError when either is not there; ModelFilesError when the pipeline is damaged.
    """
    nlp = load_pipeline(model)
    return predict(nlp, list(read_docs(data, nlp.vocab)), watch)


def predict(nlp: Language, gold: Sequence[Doc], watch: Watch = unwatched) -> Predictions:
    """Let a pipeline find the entities of annotated documents, in their words and in their texts.

    A text that the pipeline cuts into the very words of the corpus is not looked at a second time.

    watch (Watch): Is given the documents as they are gone through.
    RAISES: WordsChanged.
    """
    gold = list(gold)
    scores: list[Scores] = []
    pipe: Multiner | None = None
    start = time.perf_counter()
    docs: Iterable[Doc] = (without_annotation(doc, nlp.vocab) for doc in gold)
    for _, component in nlp.pipeline:
        if pipe is None and isinstance(component, Multiner):
            pipe = component
            docs = _annotated(pipe, docs, nlp.batch_size, scores)
        else:
            docs = component.pipe(docs) if hasattr(component, "pipe") else map(component, docs)
    predicted = list(watch("predicting", docs))
    seconds = time.perf_counter() - start
    for reference, system in zip(gold, predicted, strict=True):
        if len(reference) != len(system):
            raise WordsChanged(
                f"Of the {len(reference)} words of '{reference.text[:60]}' the pipeline made {len(system)}. Leave out "
                "the component that joins or splits words, such as merge_entities."
            )
    return Predictions(
        gold,
        predicted,
        _predict_texts(nlp, gold, predicted, watch),
        [word_spans(doc) for doc in gold],
        [word_spans(doc) for doc in predicted],
        _confidences(predicted),
        scores if pipe is not None else None,
        pipe.labels if pipe is not None else _labels(nlp),
        pipe.cfg["temperature"] if pipe is not None else 1.0,
        _first_pieces(pipe, gold) if pipe is not None else None,
        seconds,
    )


def word_spans(doc: Doc) -> list[Span]:
    """The entities of a document by words."""
    return [Span(entity.start, entity.end, entity.label_) for entity in doc.ents]


def _annotated(pipe: Multiner, docs: Iterable[Doc], batch_size: int, scores: list[Scores]) -> Iterator[Doc]:
    """Documents with entities, as `pipe.pipe` gives them; their scores are kept."""
    for batch in minibatch(docs, batch_size):  # type: ignore[no-untyped-call]  # spaCy says no types
        found = pipe.tag_scores(batch)
        scores += found
        pipe.set_annotations(batch, pipe.decode(batch, found))
        yield from batch


def _predict_texts(nlp: Language, gold: Sequence[Doc], predicted: Sequence[Doc], watch: Watch) -> list[Doc]:
    made = [nlp.make_doc(doc.text) for doc in gold]
    attributes = [ORTH, NORM, SPACY]  # what components see of a word
    other = [
        number
        for number, (text, words) in enumerate(zip(made, gold, strict=True))
        if not np.array_equal(text.to_array(attributes), without_annotation(words, nlp.vocab).to_array(attributes))
    ]
    raw = list(predicted)
    annotated = watch("predicting texts", nlp.pipe([made[number] for number in other]))
    for number, doc in zip(other, annotated, strict=True):
        raw[number] = doc
    return raw


def _confidences(docs: Sequence[Doc]) -> list[dict[Span, float]] | None:
    """From any component that keeps them as spaCy's own components for spans do."""
    result: list[dict[Span, float]] = []
    known = False
    for doc in docs:
        group = next((group for group in doc.spans.values() if "scores" in group.attrs), None)
        known |= group is not None
        sure: Any = () if group is None else group.attrs["scores"]
        spans = [] if group is None else [Span(entity.start, entity.end, entity.label_) for entity in group]
        result.append(dict(zip(spans, map(float, sure), strict=True)))
    return result if known else None


def _labels(nlp: Language) -> tuple[str, ...]:
    return tuple(sorted({label for name in nlp.pipe_names for label in nlp.pipe_labels.get(name, ())}))


def _first_pieces(pipe: Multiner, docs: Sequence[Doc]) -> list[str] | None:
    pieces = [pipe.shim.piece_texts(doc) for doc in docs]
    return None if None in pieces else [word[0] if word else "" for of_doc in pieces for word in of_doc or ()]
