"""The usual recipe for fine-tuning beside ours: the same encoder, sentences, epochs and batches in one run.

The usual one is what notebooks and courses teach: a token classifier with transformers' `Trainer`, each word's label on
its first piece, a collator that fills up batches, AdamW with a weight decay of .01 and a linear decay of the rate.
"""

import gc
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import spacy
import srsly
import torch
from numpy.typing import NDArray
from spacy.tokens import Doc
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import load_config
from spacy.vocab import Vocab
from thinc.api import Config

from .docbins import read_docs, without_annotation
from .errors import UserError
from .memory_use import MEGABYTE, in_own_process, peak_megabytes
from .predictions import word_spans
from .tags import IGNORED, LabelStrategy, piece_labels, tag_names, tags_from_spans

STRATEGY: LabelStrategy = "first"
Report = dict[str, Any]


class TrainerMissing(UserError, ImportError):
    """What the usual recipe needs is not installed."""


class Comparison(NamedTuple):
    """What both sides train on and how.

    encoder: A folder in Hugging Face's format.
    train, dev, test: `.spacy` files or folders of them. The usual recipe has no use for dev: it keeps its last weights.
    config: The config of ours for `spacy train`.
    epochs, batch_size, seed: The same for both.
    learn_rate: Of the usual recipe. Ours has that of the config.
    settings: Of ours, by their places in the config, as `spacy train` takes them.
    """

    encoder: Path
    train: Path
    dev: Path
    test: Path
    config: Path
    epochs: int
    batch_size: int
    seed: int
    learn_rate: float
    settings: Mapping[str, Any] = {}

    def report(self) -> Report:
        """All of it, JSON-ready."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in self._asdict().items()}


def compare_training(comparison: Comparison) -> dict[str, Report]:
    """Train in the usual way and in ours, each in a process of its own, one after the other.

    RETURNS: JSON-ready "usual" and "ours", each with "training_seconds" (loading, evaluating and saving left out),
        "sentences_per_second" of these, "seconds" of the whole process until the scores are there, "peak_memory_mb",
        "test_default" and "test_strict" (F1 by seqeval); and "ratio" of the speeds and of the memory.
    RAISES: TrainerMissing; FileNotFoundError.
    """
    reports = {
        name: in_own_process(_measure, side, comparison)
        for name, side in (("usual", train_usual), ("ours", train_ours))
    }
    ratio = {key: reports["ours"][key] / reports["usual"][key] for key in ("sentences_per_second", "peak_memory_mb")}
    return {**reports, "ratio": {key: round(value, 2) for key, value in ratio.items()}}


def _measure(side: Callable[[Comparison], Report], comparison: Comparison) -> Report:
    start = time.perf_counter()
    report = side(comparison)
    if torch.cuda.is_available():
        report["peak_gpu_memory_mb"] = round(torch.cuda.max_memory_allocated() / MEGABYTE)
    return {**report, "seconds": round(time.perf_counter() - start, 1), "peak_memory_mb": peak_megabytes()}


def train_usual(comparison: Comparison) -> Report:
    """Fine-tune with transformers' `Trainer`, and score its last weights on the test sentences.

    RAISES: TrainerMissing.
    """
    if find_spec("accelerate") is None:
        raise TrainerMissing(
            "transformers' Trainer needs accelerate. Install it with: pip install 'spacy-multiner[benchmark]'."
        )
    # Only here, because inference has no use for them and they take seconds to import.
    from transformers import AutoModelForTokenClassification, AutoTokenizer
    from transformers.data.data_collator import DataCollatorForTokenClassification
    from transformers.trainer import Trainer
    from transformers.training_args import TrainingArguments

    vocab = Vocab()
    docs, test = list(read_docs(comparison.train, vocab)), list(read_docs(comparison.test, vocab))
    labels = sorted({entity.label_ for doc in docs for entity in doc.ents})
    tags = tag_names(labels)
    tokenizer = AutoTokenizer.from_pretrained(comparison.encoder)
    torch.manual_seed(comparison.seed)
    model = AutoModelForTokenClassification.from_pretrained(comparison.encoder, num_labels=len(tags))
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=comparison.epochs,
            per_device_train_batch_size=comparison.batch_size,
            learning_rate=comparison.learn_rate,
            weight_decay=0.01,
            seed=comparison.seed,
            save_strategy="no",
            dataloader_pin_memory=torch.cuda.is_available(),
            report_to=[],
        )
        collator = DataCollatorForTokenClassification(tokenizer)
        encoded = [_encode(doc, tokenizer, tags) for doc in docs]
        trainer: Any = Trainer(model, arguments, collator, encoded, processing_class=tokenizer)
        start = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - start
        encoded_test = [_encode(doc, tokenizer, tags) for doc in test]
        best = trainer.predict(encoded_test).predictions.argmax(axis=-1)
    predicted = [_tags_of_words(doc, tokenizer, row, tags) for doc, row in zip(test, best, strict=True)]
    return _report(len(docs) * comparison.epochs, seconds, test, predicted)


def tags_of(doc: Doc) -> list[str]:
    """The IOB2 tags of a document's words."""
    return tags_from_spans(word_spans(doc), len(doc))


def _encode(doc: Doc, tokenizer: Any, tags: Sequence[str]) -> dict[str, list[int]]:
    encoded = tokenizer([token.text for token in doc], is_split_into_words=True, truncation=True)
    numbers = [tags.index(tag) for tag in tags_of(doc)]
    return {**encoded, "labels": piece_labels(numbers, encoded.word_ids(), STRATEGY).tolist()}


def _tags_of_words(doc: Doc, tokenizer: Any, best: NDArray[np.int64], tags: Sequence[str]) -> list[str]:
    """The tags of first pieces; `O` for words that were cut off."""
    encoded = tokenizer([token.text for token in doc], is_split_into_words=True, truncation=True)
    found = ["O"] * len(doc)
    for place, label in enumerate(piece_labels(range(len(doc)), encoded.word_ids(), STRATEGY).tolist()):
        if label != IGNORED:
            found[label] = tags[best[place]]
    return found


def train_ours(comparison: Comparison) -> Report:
    """Fine-tune as `spacy train` does, with evaluation on dev after each epoch, and score the best epoch."""
    with tempfile.TemporaryDirectory() as folder:
        overrides = {
            "paths.train": str(comparison.train),
            "paths.dev": str(comparison.dev),
            "paths.encoder": str(comparison.encoder),
            "system.epochs": comparison.epochs,
            "system.seed": comparison.seed,
            "training.batcher.size": comparison.batch_size,
            **comparison.settings,
        }
        trained = train_logged(load_config(comparison.config, overrides=overrides, interpolate=False), Path(folder))
        gc.collect()  # the pipeline that was trained is part of a cycle, and would stay beside the one that is loaded
        best = spacy.load(Path(folder) / "model-best")
        test = list(read_docs(comparison.test, best.vocab))
        predicted = [tags_of(doc) for doc in best.pipe(map(without_annotation, test))]
    return _report(trained.sentences, trained.seconds, test, predicted)


class Trained(NamedTuple):
    """What a training did.

    epochs: What `multiner.ProgressLogger.v1` wrote after each of them.
    sentences: Those of the corpus, as often as there were epochs.
    seconds: Of training alone; evaluating and saving are left out.
    """

    epochs: list[Report]
    sentences: int
    seconds: float


def train_logged(config: Config, folder: Path, use_gpu: int = -1) -> Trained:
    """Train as `spacy train` does, and read what was logged after each epoch.

    folder (Path): Where the pipelines of the best and the last epoch and the log go.
    """
    log = folder / "training.jsonl"
    logged = config.merge({"training": {"logger": {"output": str(log)}}})
    nlp = init_nlp(logged, use_gpu=use_gpu)
    train(nlp, folder, use_gpu=use_gpu)
    # The first line is from before training.
    epochs = [row for row in srsly.read_jsonl(log) if row["Step"]]
    lengths = list(map(len, read_docs(Path(nlp.config["paths"]["train"]), nlp.vocab)))
    seconds = sum(sum(lengths) / row["Words/s"] for row in epochs)
    return Trained(epochs, len(epochs) * len(lengths), seconds)


def _report(sentences: int, seconds: float, gold: Sequence[Doc], predicted: list[list[str]]) -> Report:
    from seqeval.metrics import f1_score
    from seqeval.scheme import IOB2

    tags = [tags_of(doc) for doc in gold]
    return {
        "training_seconds": round(seconds, 3),
        "sentences_per_second": round(sentences / seconds, 2),
        "test_default": float(f1_score(tags, predicted, zero_division=0)),
        "test_strict": float(f1_score(tags, predicted, mode="strict", scheme=IOB2, zero_division=0)),
    }
