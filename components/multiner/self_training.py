"""Sentences that a trained pipeline annotates for the next one, as far as it is sure of them (Yarowsky 1995).

What it is not sure of is not taken for right, nor for wrong: sentences with an entity of too little confidence are left
out, and of words outside of entities that might be in one nothing is said, which training passes over.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import minibatch

from .decoding import log_softmax
from .docbins import read_sentences
from .errors import UserError
from .pipe import Multiner
from .predictions import word_spans
from .sentences import MISSING, Sentence
from .tags import OUTSIDE, tags_from_spans


class NoTeacher(UserError, ValueError):
    """A pipeline that cannot say how sure it is."""


class Threshold(NamedTuple):
    """How sure a pipeline has to be, with calibrated probabilities.

    entities (float): Of each entity of a sentence, or the sentence is left out.
    outside (float): Of a word's being outside of entities, or nothing is said of the word.
    """

    entities: float
    outside: float


@dataclass
class Taken:
    """What became of the sentences, for people to see.

    read, kept (int): Sentences.
    without_entity (int): Of those that were kept.
    entities (int): In those that were kept.
    words, unsaid (int): Their words, and those of which nothing is said.
    """

    read: int = 0
    kept: int = 0
    without_entity: int = 0
    entities: int = 0
    words: int = 0
    unsaid: int = 0


def read_unlabelled(path: Path) -> Iterator[Sentence]:
    """The sentences of a `.spacy` file or a folder of them, without their annotation if there is any."""
    for sentence in read_sentences(path):
        yield sentence._replace(tags=[MISSING] * len(sentence.words))


def annotate_confidently(
    nlp: Language, sentences: Iterable[Sentence], threshold: Threshold, taken: Taken
) -> Iterator[Sentence]:
    """Sentences with the entities that a pipeline is sure of.

    nlp (Language): With a component `multiner`, the first of which says the entities.
    sentences (Iterable[Sentence]): Their tags are not looked at.
    taken (Taken): Is kept up to date.
    RAISES: NoTeacher.
    """
    pipe = next((component for _, component in nlp.pipeline if isinstance(component, Multiner)), None)
    if pipe is None:
        raise NoTeacher(
            f"The pipeline ({', '.join(nlp.pipe_names) or 'empty'}) has no component `multiner`, whose confidences say "
            "which sentences are kept. Take one that scripts/train.py made."
        )
    for batch in minibatch(sentences, nlp.batch_size):  # type: ignore[no-untyped-call]  # spaCy says no types
        docs = [Doc(nlp.vocab, words=sentence.words, spaces=sentence.spaces) for sentence in batch]
        scores = pipe.tag_scores(docs)
        found = pipe.decode(docs, scores)
        pipe.set_annotations(docs, found)
        for sentence, doc, scored, (_, sure) in zip(batch, docs, scores, found, strict=True):
            taken.read += 1
            if (sure < threshold.entities).any():
                continue
            tags = tags_from_spans(word_spans(doc), len(doc))
            doubtful = _outside(scored, pipe.cfg["temperature"]) < threshold.outside
            said = [
                MISSING if tag == OUTSIDE and doubt else tag for tag, doubt in zip(tags, doubtful.tolist(), strict=True)
            ]
            taken.kept += 1
            taken.without_entity += not doc.ents
            taken.entities += len(doc.ents)
            taken.words += len(said)
            taken.unsaid += said.count(MISSING)
            yield sentence._replace(tags=said)


def _outside(scores: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """How probable it is of each word that it is in no entity."""
    probabilities: NDArray[np.float64] = np.exp(log_softmax(scores / temperature))[:, 0]
    return probabilities
