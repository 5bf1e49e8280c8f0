"""How long evaluation and analysis take beside prediction, measured with predictions that cost nothing."""

from collections.abc import Sequence

import numpy as np
from spacy.tokens import Doc
from spacy.tokens import Span as DocSpan

from .decoding import best_legal_tags, confidences, spans_of
from .docbins import without_annotation
from .losses import tag_numbers
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
        found = spans_of(best_legal_tags(scores), labels)
        known = confidences(scores, found, labels)
        system = without_annotation(doc)
        system.set_ents([DocSpan(system, start, end, label=label) for start, end, label in found])
        predicted.append(system)
        all_scores.append(scores)
        spans.append(found)
        sure.append(dict(zip(found, map(float, known), strict=True)))
    return Predictions(
        list(gold), predicted, predicted, list(map(word_spans, gold)), spans, sure, all_scores, labels, 1.0, None, 0.0
    )
