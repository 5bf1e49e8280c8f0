"""Doubtful sentences out to people who label them again, and what they correct back into the corpus."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from spacy.attrs import ENT_IOB

from .docbins import IOB_CODES, LANGUAGE, SOURCE, read_sentences, write_docs
from .errors import UserError
from .files import new_file
from .jsonl import read_jsonl
from .predictions import Predictions
from .sentences import CorpusError, Sentence
from .tags import tags_from_spans


class Relabelled(NamedTuple):
    """What came back into a corpus: sentences in all, those in the file, and how much of them was changed."""

    sentences: int
    looked_at: int
    changed_sentences: int
    changed_words: int


def relabelling_rows(predictions: Predictions, suspects: Iterable[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """Sentences to look at again, the likeliest errors first, in the form that `multiner.jsonl` reads.

    Sentences with words of which nothing is annotated are left out: there is nothing to be wrong, and their tags
    could not be written down.

    suspects (Iterable): From `suspects.find_suspects`.
    limit (int): At most so many.
    RETURNS: "tokens" and "tags" as they are annotated, which are to be corrected; beside them "suggested" (the tags
        that were predicted), "doubts", "document" (the number in the corpus, counted from 0), "source", "language".
    """
    doubts: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for suspect in suspects:
        doubts[suspect["document"]].append({key: value for key, value in suspect.items() if key != "document"})
    complete = (number for number in doubts if (predictions.gold[number].to_array(ENT_IOB) != IOB_CODES[""]).all())
    rows = []
    for number in islice(complete, limit):
        doc = predictions.gold[number]
        rows.append(
            {
                "tokens": [token.text for token in doc],
                "tags": tags_from_spans(predictions.gold_spans[number], len(doc)),
                "suggested": tags_from_spans(predictions.predicted_spans[number], len(doc)),
                "language": doc.user_data.get(LANGUAGE),
                "document": number,
                "source": doc.user_data.get(SOURCE),
                "doubts": doubts[number],
            }
        )
    return rows


def write_rows(rows: Iterable[dict[str, Any]], path: Path) -> None:
    """Write JSON lines."""
    with new_file(path) as unfinished, unfinished.open("w", encoding="utf8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def relabel(corpus: Path, corrected: Path, out: Path) -> Relabelled:
    """Write a corpus anew with the tags that were corrected in a file of `relabelling_rows`.

    Words, blanks, languages and sources stay as they are.

    corpus (Path): The `.spacy` file, or the folder of them, that the rows are from.
    corrected (Path): The JSON lines; rows may be missing.
    out (Path): Where the corrected corpus goes; not `corpus` itself.
    RAISES: CorpusError for rows that cannot be read or are of another corpus; FileNotFoundError.
    """
    if out.resolve() == corpus.resolve():
        raise UserError(f"{out} would be overwritten while it is read. Give another place for the corrected corpus.")
    corrections = dict(_corrections(corrected))
    seen = changed = words = 0

    def sentences() -> Iterator[Sentence]:
        nonlocal seen, changed, words
        for number, sentence in enumerate(read_sentences(corpus)):
            seen += 1
            place, new = corrections.pop(number, (None, sentence))
            if new.words != sentence.words:
                raise CorpusError(
                    f"{place}",
                    f"the words are not those of document {number} in {corpus}, '{' '.join(sentence.words)[:60]}'.",
                    "Give the corpus that was analysed, and change only tags.",
                )
            different = sum(one != other for one, other in zip(new.tags, sentence.tags, strict=True))
            changed += different > 0
            words += different
            yield sentence._replace(tags=new.tags)
        if corrections:
            place, _ = next(iter(corrections.values()))
            raise CorpusError(f"{place}", f"{corpus} has only {seen} documents.", "Give the corpus that was analysed.")

    looked_at = len(corrections)
    write_docs(sentences(), out)
    return Relabelled(seen, looked_at, changed, words)


def _corrections(path: Path) -> Iterator[tuple[int, tuple[str, Sentence]]]:
    """The number of each document, with the place of its row and what it says now."""
    lines = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    for sentence, line in zip(read_jsonl(path), lines, strict=True):
        number = json.loads(line).get("document")
        if not isinstance(number, int):
            raise CorpusError(
                sentence.source,
                f"'document' is {number!r}.",
                "It is the number of the sentence, which analyze.py wrote.",
            )
        yield number, (sentence.source, sentence)
