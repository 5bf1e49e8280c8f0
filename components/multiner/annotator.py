"""A pipeline that turns a shard of documents into the bytes of a file, the same shard always into the same bytes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from spacy.language import Language
from spacy.tokens import Doc

from .compacting import LongRun
from .devices import prepare_device
from .errors import UserError
from .inputs import Record, Reject
from .outputs import FORMATS, Annotated, Entity, Shape
from .pipe import Multiner
from .pipelines import load_pipeline

DECIMALS = 4  # of confidences, which mean no more than that


class AnnotatorError(UserError, ValueError):
    """The pipeline cannot annotate as it was asked to; the message says what to change."""


@dataclass(frozen=True)
class Settings:
    """What decides, beside input and model, what comes out.

    threshold (float): Entities of less confidence are left out; those whose component says none stay.
    labels (tuple): Only entities of these types; all if empty.
    batch_size (int | None): Documents that the pipeline gets at once; its own setting if None.
    format (str): One of `multiner.outputs.FORMATS`.
    text_column, entities_column (str): Where the text is, and where the entities go.
    shard_documents, shard_characters (int): A shard ends where it has so many of either.
    """

    threshold: float = 0.0
    labels: tuple[str, ...] = ()
    batch_size: int | None = None
    format: str = "jsonl"
    text_column: str = "text"
    entities_column: str = "entities"
    shard_documents: int = 5000
    shard_characters: int = 2_000_000


class Job(NamedTuple):
    """A shard that is to be annotated."""

    number: int
    records: list[Record]


class Result(NamedTuple):
    """A shard that is annotated.

    content: The bytes of its file.
    documents, words, entities: How many there are in it.
    rejects: Documents that the pipeline does not take.
    """

    number: int
    content: bytes
    documents: int
    words: int
    entities: int
    rejects: list[Reject]


class Annotator:
    """Loads a pipeline once and annotates shards with it.

    model (str): A folder, or the name of an installed pipeline.
    shape (Shape): What the files look like.
    gpu_id (int): The GPU to use; -1 for the CPU.
    threads (int | None): Threads to compute with on a CPU; as torch finds best if None.
    RAISES: FileNotFoundError, ModelFilesError; DeviceError; AnnotatorError if it has no component that finds entities,
        or not the labels that are wanted.
    """

    def __init__(
        self, model: str, settings: Settings, shape: Shape, *, gpu_id: int = -1, threads: int | None = None
    ) -> None:
        if threads:
            torch.set_num_threads(threads)
        prepare_device(gpu_id)
        self.nlp = load_annotating(model)
        self._run = LongRun(self.nlp)
        self.settings = settings
        self.shape = shape
        labels = _labels(self.nlp)
        if unknown := [label for label in settings.labels if labels and label not in labels]:
            raise AnnotatorError(f"{model} finds no entities of type '{unknown[0]}', but {', '.join(sorted(labels))}.")

    def __call__(self, job: Job) -> Result:
        """Annotate a shard. What it took of memory is free again when this returns, but for the first words met."""
        records, rejects = [], []
        for record in job.records:
            reason = self._unfit(record)
            if reason:
                rejects.append(Reject(record.source, record.line, reason, record.read))
            else:
                records.append(record)
        counts = {"words": 0, "entities": 0}

        def documents() -> Iterator[Annotated]:
            texts = (record.text for record in records)
            for record, doc in zip(records, self.nlp.pipe(texts, batch_size=self.settings.batch_size), strict=True):
                entities = entities_of(self.nlp, doc, self.settings)
                counts["words"] += len(doc)
                counts["entities"] += len(entities)
                yield Annotated(record.columns, entities, doc)

        with self._run.part():
            content = FORMATS[self.settings.format][1](documents(), self.shape)
        return Result(job.number, content, len(records), **counts, rejects=rejects)

    def _unfit(self, record: Record) -> str | None:
        if self.settings.entities_column in record.columns and self.settings.format != "docbin":
            return (
                f"it has a column '{self.settings.entities_column}' already; say with --into how the new one is called"
            )
        if len(record.text) > self.nlp.max_length:
            return f"{len(record.text):,} characters, and spaCy takes {self.nlp.max_length:,} at most; split the text"
        return None


def entities_of(nlp: Language, doc: Doc, settings: Settings) -> list[Entity]:
    """The entities of a document that the settings want, with their confidences."""
    confidences: dict[tuple[int, int], float] = {}
    for _, pipe in nlp.pipeline:
        group = doc.spans.get(pipe.cfg["spans_key"]) if isinstance(pipe, Multiner) else None
        if group is not None:
            for span, score in zip(group, group.attrs["scores"], strict=True):
                confidences[span.start, span.end] = round(float(score), DECIMALS)
    found = []
    for span in doc.ents:
        confidence = confidences.get((span.start, span.end))
        sure = confidence is None or confidence >= settings.threshold
        if sure and (not settings.labels or span.label_ in settings.labels):
            found.append(Entity(span.start_char, span.end_char, span.label_, span.text, confidence))
    return found


def load_annotating(model: str) -> Language:
    """Load a pipeline that annotates entities.

    model (str): A folder, or the name of an installed package.
    RAISES: FileNotFoundError; ModelFilesError; AnnotatorError if nothing in it finds entities.
    """
    nlp = load_pipeline(model)
    if not any("doc.ents" in nlp.get_pipe_meta(name).assigns for name in nlp.pipe_names):
        raise AnnotatorError(
            f"{model} has no component that finds entities, but {', '.join(nlp.pipe_names) or 'none'}."
        )
    return nlp


def _labels(nlp: Language) -> set[str]:
    """The types of entities that a pipeline can find; empty if that cannot be known, as of rules."""
    labels: set[str] = set()
    for name in nlp.pipe_names:
        if "doc.ents" in nlp.get_pipe_meta(name).assigns:
            own: Any = getattr(nlp.get_pipe(name), "labels", ())
            if not own:
                return set()
            labels.update(own)
    return labels
