"""Smaller pipelines: a vocabulary for some languages or texts, and weights in fewer bytes.

A multilingual encoder of 250,000 pieces has a vector for each of them, most of which a pipeline for four languages
never looks at. Without them it is a fraction of the size, and tags the words that it was trimmed for as before.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from spacy.language import Language

from .docbins import gold_words_corpus
from .errors import UserError
from .files import swapped_folder
from .loading_speed import measure_loading
from .pipe import with_own_encoder
from .pipelines import load_pipeline
from .storage import Storage
from .tables import Table, percent

PREFIXES = ("▁", "##", "Ġ")  # how vocabularies write that a word begins, or goes on


class NothingToTrim(UserError, ValueError):
    """The pipeline has no encoder of its own whose vocabulary could be trimmed."""


class WordListsMissing(UserError, ImportError):
    """The package with word lists of languages is not installed, or does not know the language."""


class Trimmed(NamedTuple):
    """How many pieces the vocabulary had and has, and how many different words it was trimmed for."""

    pieces_before: int
    pieces: int
    words: int


def make_smaller(
    model: str,
    output: Path,
    texts: Iterable[str],
    languages: Sequence[str],
    words: int,
    storage: Storage,
    check: Sequence[Path],
) -> dict[str, Any]:
    """Write a trimmed copy of a pipeline, and measure both.

    model (str): A folder, or the name of an installed package.
    output (Path): Folder for the copy; what stands there is replaced when all is written.
    texts (Iterable[str]): Texts whose words are covered.
    languages (Sequence[str]): Languages whose most frequent words are covered too.
    words (int): How many of each language.
    check (Sequence[Path]): `.spacy` files to score both on.
    RETURNS: JSON-ready: what `Trimmed` says, "stored_as", "before" and "after" as `measure_loading` gives them, and
        "strict_f1" for each corpus before and after.
    RAISES: FileNotFoundError; ModelFilesError; NothingToTrim; TokenizerCannotBeTrimmed; WordListsMissing.
    """
    nlp = load_pipeline(model)
    before = [strict_f1(nlp, corpus) for corpus in check]
    frequent = chain.from_iterable(words_of_language(language, words) for language in languages)
    trimmed = trim(nlp, words_of_texts(nlp, chain(texts, frequent)), storage)
    with swapped_folder(output) as unfinished:
        nlp.to_disk(unfinished)
    smaller = load_pipeline(str(output))
    after = [strict_f1(smaller, corpus) for corpus in check]
    loading = [measure_loading(each) for each in (model, str(output))]
    scores = [
        {"corpus": str(corpus), "before": old, "after": new}
        for corpus, old, new in zip(check, before, after, strict=True)
    ]
    about = {"model": model, **trimmed._asdict(), "stored_as": storage}
    return {**about, "before": loading[0], "after": loading[1], "strict_f1": scores}


def trimming_table(report: dict[str, Any]) -> Table:
    """What `make_smaller` measured, as a table."""
    rows: list[tuple[str, ...]] = [("Pieces", f"{report['pieces_before']:,}", f"{report['pieces']:,}")]
    for title, key in (
        ("Size, MB", "size_mb"),
        ("Loading, s", "load_seconds"),
        ("Memory when loaded, MB", "memory_mb"),
    ):
        rows.append((title, *(f"{report[side][key]:,}" for side in ("before", "after"))))
    for row in report["strict_f1"]:
        rows.append((f"Strict F1, {row['corpus']}", percent(row["before"]), percent(row["after"])))
    return Table(
        f"Trimmed for {report['words']:,} words",
        "Loading is from the start of the first import on, in a process of its own.",
        ("", "before", "after"),
        rows,
    )


def trim(nlp: Language, words: Iterable[str], storage: Storage) -> Trimmed:
    """Leave a pipeline the pieces that some words are made of, and say how its weights are stored.

    Words that are covered are cut as before. Single characters of the scripts that these words are written in stay, so
    that other words of these languages are cut into smaller pieces and not into unknown ones.

    nlp (Language): Changed in place.
    words (Iterable[str]): Words as the pipeline's tokenizer gives them.
    storage (str): "float32", "bfloat16" or "int8", see `multiner.storage`.
    RAISES: NothingToTrim; TokenizerCannotBeTrimmed.
    """
    pipes = with_own_encoder(nlp)
    if not pipes:
        raise NothingToTrim("The pipeline has no trained component `multiner` with an encoder of its own.")
    different = sorted(set(words))
    scripts = {script_of(character) for word in different for character in word}
    before = after = 0
    for pipe in pipes:
        shim = pipe.shim
        vocabulary = shim.vocabulary()
        characters = {number for piece, number in vocabulary.items() if _is_character(piece, scripts)}
        before += len(vocabulary)
        after += shim.keep_pieces(shim.pieces_of(different) | characters)
        shim.cfg["stored_as"] = nlp.config["components"][pipe.name]["model"]["stored_as"] = storage
    return Trimmed(before, after, len(different))


def words_of_texts(nlp: Language, texts: Iterable[str]) -> Iterator[str]:
    """The words of texts, as the pipeline's tokenizer cuts them. Its vocabulary does not grow by them."""
    with nlp.memory_zone():
        for text in texts:
            yield from (word.text for word in nlp.make_doc(text) if not word.is_space)


def words_of_language(language: str, count: int) -> Iterator[str]:
    """The most frequent words of a language: in small letters, with a capital, and in capitals.

    language (str): Its code, for example "de".
    count (int): How many, at most.
    RAISES: WordListsMissing.
    """
    if find_spec("wordfreq") is None:
        raise WordListsMissing(
            "The most frequent words of languages come with the package wordfreq: pip install 'spacy-multiner[trim]'. "
            "Or give texts alone."
        )
    from wordfreq import available_languages, top_n_list

    known = available_languages("best")
    if language not in known:
        raise WordListsMissing(f"wordfreq has no words of '{language}', only of {', '.join(sorted(known))}.")
    for word in top_n_list(language, count):
        yield from (word, word.capitalize(), word.upper())


def strict_f1(nlp: Language, corpus: Path) -> float:
    """The share of entities found exactly, on the corpus's own words."""
    return float(nlp.evaluate(gold_words_corpus(corpus)(nlp))["ents_f"])


def script_of(character: str) -> str:
    """The script that a character belongs to, by the first word of its name in Unicode; empty if it has none."""
    return unicodedata.name(character, "").partition(" ")[0]


def _is_character(piece: str, scripts: set[str]) -> bool:
    prefix = next((prefix for prefix in PREFIXES if piece.startswith(prefix) and piece != prefix), "")
    character = piece.removeprefix(prefix)
    return len(character) == 1 and script_of(character) in scripts
