"""Running the cells of a plan, so that a run may be killed at any moment and goes on.

    FOLDER/corpora/      converted parts of the corpus
    FOLDER/results/      a file for each finished cell, by its key
    FOLDER/cells/KEY/    what a cell needs while it runs: its corpora, checkpoints and models

A model is kept as long as another cell of the plan starts from it or learns from what it annotates.
"""

import gc
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from io import StringIO
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Protocol

import numpy as np
import srsly
from filelock import FileLock, Timeout
from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.util import registry

from ..docbins import read_docs, without_annotation, write_docs
from ..errors import UserError
from ..evaluation import describe_errors
from ..figures import describe_machine
from ..files import write_json
from ..loop import train
from ..matching import count_matches, match
from ..pipe import with_own_encoder
from ..pipelines import load_pipeline
from ..predictions import word_spans
from ..remembered import RememberedAlone
from ..self_training import Taken, annotate_confidently
from .material import Draw, join
from .plan import Paths, Planned, Setup, make_config

Report = dict[str, Any]
Memories = dict[bytes, RememberedAlone]
CHECKPOINT_STEPS = 200
WARM_UP, TIMED = 4, 16  # steps of training
TIMED_SENTENCES = 200  # of prediction


class TransferError(UserError, RuntimeError):
    """An experiment cannot go on; the message says which cell, why, and what to do."""


class Watcher(Protocol):
    """Is told how far an experiment is."""

    def cell(self, planned: Planned, number: int, of: int) -> None:
        """A cell begins, the so-manieth (counted from 0) of those that are to be run."""

    def part(self, doing: str, done: int, of: int) -> None:
        """How far it is with what it is doing."""


class Store(NamedTuple):
    """Where an experiment keeps what it has made."""

    folder: Path

    @property
    def corpora(self) -> Path:
        """For `Material`."""
        return self.folder / "corpora"

    def result(self, key: str) -> Path:
        """The file of a finished cell."""
        return self.folder / "results" / f"{key}.json"

    def cell(self, key: str) -> Path:
        """The folder of a cell that runs."""
        return self.folder / "cells" / key

    def model(self, key: str) -> Path:
        """The pipeline that a cell has trained; it is there as soon as training has come to its end."""
        return self.cell(key) / "model"

    def is_finished(self, key: str) -> bool:
        """Whether a cell has its scores."""
        return self.result(key).exists()

    def read(self, plan: Sequence[Planned]) -> list[Report]:
        """The results of all cells, in the order of the plan."""
        return [srsly.read_json(self.result(planned.key)) for planned in plan]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Only one run at a time.

        RAISES: TransferError if there is another.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise TransferError(
                f"Another run is working in {self.folder}. Wait for its end, or give another folder with --work."
            ) from None
        try:
            yield
        finally:
            lock.release()


def cells_to_run(plan: Sequence[Planned], store: Store) -> list[Planned]:
    """The cells that are not finished, and those whose models they need and which are gone."""
    chosen: dict[str, Planned] = {}
    needed: set[str] = set()
    for planned in reversed(plan):
        gone = planned.key in needed and not store.model(planned.key).exists()
        if not store.is_finished(planned.key) or gone:
            chosen[planned.key] = planned
            needed |= set(planned.models)
    return list(reversed(chosen.values()))


def run_plan(plan: Sequence[Planned], setup: Setup, store: Store, watcher: Watcher, use_gpu: int = -1) -> None:
    """Run what is not finished.

    use_gpu (int): As in `spacy train`.
    RAISES: TransferError when another run works there, or when a training is hopeless; what reading corpora does.
    """
    with store.locked():
        waiting = cells_to_run(plan, store)
        memories: Memories = {}
        for number, planned in enumerate(waiting):
            watcher.cell(planned, number, len(waiting))
            try:
                run_cell(planned, setup, store, watcher, memories, use_gpu)
            except UserError as error:
                raise TransferError(f"{planned.cell.name}: {error}") from error
            # Pipelines refer to themselves, and garbage is collected by the number of objects, not by their memory.
            gc.collect()
            _tidy(store, keep={key for later in waiting[number + 1 :] for key in later.models})


def _tidy(store: Store, keep: set[str]) -> None:
    """Remove what finished cells have left that no other one needs."""
    for folder in store.cell("").glob("*"):
        if store.is_finished(folder.name) and folder.name not in keep:
            shutil.rmtree(folder)


def run_cell(
    planned: Planned, setup: Setup, store: Store, watcher: Watcher, memories: Memories, use_gpu: int = -1
) -> None:
    """Train a cell if its model is not there, test it if its scores are not there, and write these.

    memories: Where cells remember together what frozen layers give, see `TaggerShim.share_remembered`.
    """
    cell, folder = planned.cell, store.cell(planned.key)
    model = store.model(planned.key)
    if not model.exists():
        _write_corpora(planned, setup, store, watcher)
        paths = Paths(
            str(folder / "train.spacy"),
            str(folder / "dev.spacy"),
            str(setup.encoder),
            str(store.model(planned.models[0])) if cell.starts_from else "",
        )
        config = make_config(cell, setup, paths, sum(planned.sentences.values()))
        nlp = init_nlp(config, use_gpu=use_gpu)
        _share(nlp, memories)
        output = folder / "training"
        with (folder / "log.txt").open("a", encoding="utf8") as log:
            train(
                nlp,
                output,
                resume=True,
                checkpoint_steps=CHECKPOINT_STEPS,
                use_gpu=use_gpu,
                stdout=log,
                stderr=StringIO(),
                watch=_Account(folder / "account.json", watcher),
            )
        (output / "model-best").rename(model)
        shutil.rmtree(output)
    if store.is_finished(planned.key):
        return
    account: Report = srsly.read_json(folder / "account.json")
    taken = folder / "taken.json"
    write_json(
        {
            "key": planned.key,
            "group": cell.group,
            "seed": cell.seed,
            "sentences": dict(planned.sentences),
            "self_training": srsly.read_json(taken) if taken.exists() else None,
            "epochs": planned.epochs,
            "training": account,
            "machine": describe_machine(),
            "made_of": planned.made_of,
            "tests": _test(planned, setup, model, watcher, memories),
        },
        store.result(planned.key),
    )


class _Account:
    """Keeps account of a training in a file, for it may be killed, and tells the watcher of it."""

    def __init__(self, path: Path, watcher: Watcher) -> None:
        self.path, self.watcher = path, watcher
        self.first_step, self.begun = -1, 0.0

    def __call__(self, step: int, last: int, info: Report | None) -> None:
        now = time.perf_counter()
        if self.first_step < 0:
            self.first_step, self.begun = step, now
        self.watcher.part("training", step, last)
        if info is not None:
            steps = step - self.first_step
            best, at = max((score, -step) for score, step in info["checkpoints"])
            # A run that went on is timed by the pace of its last process.
            seconds = (now - self.begun) / steps * (step + 1) if steps else None
            account = {
                "steps": step + 1,
                "seconds": seconds,
                "evaluations": [{"step": step, "f1": score} for score, step in info["checkpoints"]],
                "chosen_step": -at,
                "chosen_f1": best,
            }
            write_json(account, self.path)


def _write_corpora(planned: Planned, setup: Setup, store: Store, watcher: Watcher) -> None:
    """Write what a cell is trained on and its epoch chosen by, if that is not there yet."""
    cell, material, folder = planned.cell, setup.material, store.cell(planned.key)
    # In an order that does not depend on the one in which languages are named.
    drawn = [material.train(language, count, cell.draw) for language, count in sorted(cell.sentences.items())]
    if cell.self_training and not (folder / "train.spacy").exists():
        teacher = load_pipeline(str(store.model(planned.models[-1])))
        taken: dict[str, Taken] = {}
        sentences = list(join(drawn))
        for number, language in enumerate(sorted(cell.self_training.languages)):
            watcher.part(f"annotating {language}", number, len(cell.self_training.languages))
            unlabelled = material.train(language, cell.self_training.sentences, cell.draw).unlabelled()
            taken[language] = Taken()
            sentences += annotate_confidently(teacher, unlabelled, cell.self_training.threshold, taken[language])
        write_json({language: asdict(each) for language, each in taken.items()}, folder / "taken.json")
        write_docs(sentences, folder / "train.spacy")
    elif not (folder / "train.spacy").exists():
        write_docs(join(drawn), folder / "train.spacy")
    if not (folder / "dev.spacy").exists():
        write_docs(join(material.dev(language) for language in sorted(cell.choose_on)), folder / "dev.spacy")


def _share(nlp: Language, memories: Memories) -> None:
    """Most sentences come in several cells, whose encoders have the same lowest layers: these read each once."""
    for pipe in with_own_encoder(nlp):
        pipe.shim.share_remembered(memories)


def _test(planned: Planned, setup: Setup, model: Path, watcher: Watcher, memories: Memories) -> Report:
    """What a pipeline finds in the test sentences of each language."""
    nlp = load_pipeline(str(model))
    _share(nlp, memories)
    done, tests = 0, {}
    for language in planned.cell.tests:

        def tell(number: int, language: str = language, before: int = done) -> None:
            watcher.part(f"testing {language}", before + number, planned.test_sentences)

        tests[language] = count_found(nlp, _docs(setup.material.test(language), nlp), tell)
        done += tests[language]["sentences"]
    return tests


def count_found(nlp: Language, gold: Sequence[Doc], tell: Callable[[int], None]) -> Report:
    """What a pipeline finds of the entities of annotated documents, in their words, counted by sentence.

    tell (Callable): Is told how many documents are done.
    RETURNS: JSON-ready "sentences", "words", "seconds", "labels", "counts": rows of the numbers of a sentence and a
        label, and how many entities of them are right, predicted and gold; and "errors" (see
        `evaluation.describe_errors`).
    """
    start = time.perf_counter()
    predicted = []
    for doc in nlp.pipe(without_annotation(doc) for doc in gold):
        predicted.append(doc)
        tell(len(predicted))
    seconds = time.perf_counter() - start
    matches = match(map(word_spans, gold), map(word_spans, predicted))
    counts = count_matches(matches, len(gold))
    return {
        "sentences": len(gold),
        "words": sum(map(len, gold)),
        "seconds": seconds,
        "labels": list(counts.labels),
        "counts": [
            [sentence, label, *counts.values[sentence, label].tolist()]
            for sentence, label in np.argwhere(counts.values.any(axis=-1)).tolist()
        ],
        "errors": describe_errors(matches, counts.labels),
    }


def _docs(draw: Draw, nlp: Language) -> list[Doc]:
    rows = set(draw.rows)
    return [doc for row, doc in enumerate(read_docs(draw.part.docs, nlp.vocab)) if row in rows]


class Pace(NamedTuple):
    """Sentences a second: learnt from, and annotated."""

    training: float
    testing: float

    def seconds(self, planned: Planned) -> float:
        """How long a cell takes."""
        return planned.passes / self.training + _annotated(planned) / self.testing


def _annotated(planned: Planned) -> float:
    """How many sentences a cell annotates: of dev before and after each epoch, and once more for calibration."""
    return planned.test_sentences + 2 * (planned.epochs + 1) * planned.dev_sentences


def pace_so_far(plan: Sequence[Planned], store: Store) -> Pace | None:
    """The pace of the cells that are finished, or None if there are none whose time is known."""
    paces = []
    for planned in plan:
        if store.is_finished(planned.key):
            result = srsly.read_json(store.result(planned.key))
            tests = result["tests"].values()
            testing = sum(test["sentences"] for test in tests) / sum(test["seconds"] for test in tests)
            evaluating = (_annotated(planned) - planned.test_sentences) / testing
            if result["training"]["seconds"] and result["training"]["seconds"] > evaluating:
                paces.append(Pace(planned.passes / (result["training"]["seconds"] - evaluating), testing))
    return Pace(*map(statistics.median, zip(*paces, strict=True))) if paces else None


def measure_pace(planned: Planned, setup: Setup, use_gpu: int = -1) -> Pace:
    """Learn from some batches of a cell that starts from the encoder, annotate some sentences, by the clock."""
    cell = planned.cell
    drawn = [setup.material.train(language, count, cell.draw) for language, count in cell.sentences.items()]
    with TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.spacy"
        write_docs(join(drawn), corpus)
        config = make_config(
            cell, setup, Paths(str(corpus), str(corpus), str(setup.encoder)), sum(planned.sentences.values())
        )
        nlp = init_nlp(config, use_gpu=use_gpu)
        settings = registry.resolve(nlp.config.interpolate()["training"], schema=ConfigSchemaTraining)
        docs = list(read_docs(corpus, nlp.vocab))
    batches: Callable[..., Any] = settings["batcher"]
    examples = [Example(without_annotation(doc), doc) for doc in docs]
    learnt = 0
    begun = start = time.perf_counter()
    for number, batch in enumerate(islice(batches(examples), WARM_UP + TIMED)):
        if number == WARM_UP:
            learnt, begun = 0, time.perf_counter()
        nlp.update(batch, drop=0.1, sgd=settings["optimizer"])
        learnt += len(batch)
    training = learnt / max(time.perf_counter() - (begun if learnt else start), 1e-6)
    some = [without_annotation(doc) for doc in docs[:TIMED_SENTENCES]]
    start = time.perf_counter()
    annotated = sum(1 for _ in nlp.pipe(some))
    return Pace(training, annotated / max(time.perf_counter() - start, 1e-6))
