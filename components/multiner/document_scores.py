"""What is found in documents of several sentences, beside what is found in the same sentences one by one.

Corpora have single sentences, and users have documents. So sentences are joined to documents here, which are read as
far as a window reaches and sentence by sentence.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.scorer import PRFScore
from spacy.tokens import Doc

from .docbins import read_docs, without_annotation
from .pipe import with_own_encoder
from .pipelines import load_pipeline

Report = dict[str, Any]


def measure_documents(model: str, corpora: Sequence[Path], lengths: Sequence[int]) -> Iterator[Report]:
    """Tag corpora as documents of several lengths, in both ways.

    lengths (Sequence[int]): How many words a document has at least; with 1 each sentence is one.
    RETURNS: For each length and way the strict F1 in each corpus, their mean, and words a second.
    """
    pipelines = {by_sentence: _that_reads(model, by_sentence) for by_sentence in (False, True)}
    for length in lengths:
        for by_sentence, nlp in pipelines.items():
            scores, words, seconds = {}, 0, 0.0
            for corpus in corpora:
                gold = list(joined(read_docs(corpus, nlp.vocab), length))
                documents = [without_annotation(doc) for doc in gold]
                start = time.perf_counter()
                found = list(nlp.pipe(documents))
                seconds += time.perf_counter() - start
                words += sum(map(len, gold))
                scores[str(corpus)] = _strict_f1(gold, found)
            yield {
                "words_of_a_document": length,
                "by_sentence": by_sentence,
                "f1": scores,
                "mean_f1": sum(scores.values()) / len(scores),
                "words_per_second": words / seconds,
            }


def _that_reads(model: str, by_sentence: bool) -> Language:
    nlp = load_pipeline(model)
    for pipe in with_own_encoder(nlp):
        pipe.shim.read_by_sentence(by_sentence)
    return nlp


def joined(docs: Iterator[Doc], length: int) -> Iterator[Doc]:
    """Sentences that follow each other as documents of at least so many words; the last one has what is left."""
    gathered: list[Doc] = []
    for doc in docs:
        gathered.append(doc)
        if sum(map(len, gathered)) >= length:
            yield _one(gathered)
            gathered = []
    if gathered:
        yield _one(gathered)


def _one(docs: Sequence[Doc]) -> Doc:
    words = [word for doc in docs for word in doc]
    return Doc(
        docs[0].vocab,
        words=[word.text for word in words],
        spaces=[bool(word.whitespace_) or word.i + 1 == len(word.doc) for word in words],
        ents=[f"{word.ent_iob_ or 'O'}-{word.ent_type_}".removesuffix("-") for word in words],
    )


def _strict_f1(gold: Sequence[Doc], found: Sequence[Doc]) -> float:
    score = PRFScore()
    for wanted, given in zip(gold, found, strict=True):
        score.score_set(*({(span.start, span.end, span.label_) for span in doc.ents} for doc in (given, wanted)))
    return score.fscore
