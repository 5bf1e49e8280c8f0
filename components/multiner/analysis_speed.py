"""How long evaluation and analysis take beside prediction, measured with predictions that cost nothing."""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from spacy.tokens import Doc
from spacy.tokens import Span as DocSpan
from spacy.vocab import Vocab

from .analysis import analyse, write_analysis
from .decoding import best_legal_tags, confidences, entities_of, in_a_row, spans_of
from .docbins import read_docs, without_annotation
from .evaluation import account
from .losses import tag_numbers
from .memory_use import peak_megabytes
from .predictions import Predictions, word_spans

SURENESS = 4.0  # how much higher the score of the gold tag is than the mean of the others
NOISE = 1.4


def disturbed(gold: Sequence[Doc], seed: int) -> Predictions:
    """Predictions of a model that there is not: scores that favour the gold tags, with noise, decoded as ours are."""
    generator = np.random.default_rng(seed)
    labels = tuple(sorted({entity.label_ for doc in gold for entity in doc.ents}))
    predicted, all_scores, spans, sure = [], [], [], []
    for doc in gold:
        scores = generator.normal(0, NOISE, (len(doc), 1 + 2 * len(labels))).astype(np.float32)
        scores[np.arange(len(doc)), tag_numbers(word_spans(doc), len(doc), labels)] += SURENESS
        rows = in_a_row(scores, [len(doc)])
        entities = entities_of(best_legal_tags(rows))
        found = spans_of(entities, labels)
        known = confidences(rows.scores, entities)
        system = without_annotation(doc)
        system.set_ents([DocSpan(system, start, end, label=label) for start, end, label in found])
        predicted.append(system)
        all_scores.append(scores)
        spans.append(found)
        sure.append(dict(zip(found, map(float, known), strict=True)))
    return Predictions(
        list(gold), predicted, predicted, list(map(word_spans, gold)), spans, sure, all_scores, labels, 1.0, None, 0.0
    )


def measure_analysis(test: Path, train: Path, seed: int) -> dict[str, Any]:
    """Evaluate and analyse a corpus as the commands do, with predictions that are only disturbed gold entities.

    test, train (Path): `.spacy` files, or folders of them.
    seed (int): Of the disturbance and of the bootstrap.
    RETURNS: JSON-ready sizes, the F1 of what was predicted, seconds of each part, and the peak memory of this process
        in MB. "evaluate" alone is what scripts/evaluate.py does after predicting; scripts/analyze.py does all others.
    """
    seconds: dict[str, float] = {}

    def timed(name: str, what: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = what()
        seconds[name] = round(time.perf_counter() - start, 2)
        return result

    vocab = Vocab()
    gold = list(read_docs(test, vocab))
    predictions = disturbed(gold, seed)
    known = timed("read train", lambda: list(read_docs(train, vocab)))
    scores = timed("evaluate", lambda: account(predictions, seen=set(), seed=seed))
    report, rows = timed("analyze, evaluation included", lambda: analyse(predictions, known, seed=seed))
    about = {"model": "disturbed gold entities", "data": str(test), "train": str(train)}
    with tempfile.TemporaryDirectory() as folder:
        timed("write", lambda: write_analysis({**about, **report}, rows, Path(folder)))
    return {
        "data": str(test),
        "train": str(train),
        "sentences": len(gold),
        "words": predictions.words,
        "resamples": scores["intervals"]["resamples"],
        "f1": scores["strict"]["micro"]["f1"],
        "seconds": seconds,
        "seconds_of_analyze": round(sum(seconds.values()) - seconds["evaluate"], 2),
        "peak_memory_mb": peak_megabytes(),
    }
