"""Smaller pipelines: a vocabulary for some languages or texts, and weights in fewer bytes.

A multilingual encoder of 250,000 pieces has a vector for each of them, most of which a pipeline for four languages
never looks at. Without them it is a fraction of the size, and tags the words that it was trimmed for as before.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from spacy.language import Language

from .alphabets import characters_of_languages, script_of
from .docbins import gold_words_corpus
from .errors import UserError
from .files import swapped_folder
from .loading_speed import measure_loading
from .model import TaggerShim
from .pipe import with_own_encoder
from .pipelines import load_pipeline
from .storage import Storage
from .tables import Table, percent

PREFIXES = ("▁", "##", "Ġ")  # how vocabularies write that a word begins, or goes on


class NothingToTrim(UserError, ValueError):
    """The pipeline has no encoder of its own whose vocabulary could be trimmed."""


class Trimmed(NamedTuple):
    """How many pieces the vocabulary had and has, and for how many different words and characters it was trimmed."""

    pieces_before: int
    pieces: int
    words: int
    characters: int


def make_smaller(
    model: str,
    output: Path,
    texts: Iterable[str],
    languages: Sequence[str],
    storage: Storage,
    check: Sequence[Path],
) -> dict[str, Any]:
    """Write a trimmed copy of a pipeline, and measure both.

    model (str): A folder, or the name of an installed package.
    output (Path): Folder for the copy; what stands there is replaced when all is written.
    texts (Iterable[str]): Texts whose words are covered.
    languages (Sequence[str]): Languages of which all words are covered, by their letters.
    check (Sequence[Path]): `.spacy` files to score both on.
    RETURNS: JSON-ready: what `Trimmed` says, "stored_as", "before" and "after" as `measure_loading` gives them, and
        "strict_f1" for each corpus before and after.
    RAISES: FileNotFoundError; ModelFilesError; NothingToTrim; TokenizerCannotBeTrimmed; WordListsMissing.
    """
    nlp = load_pipeline(model)
    before = [strict_f1(nlp, corpus) for corpus in check]
    trimmed = trim(nlp, words_of_texts(nlp, texts), characters_of_languages(languages), storage)
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
        f"Trimmed for {report['words']:,} words and all words of {report['characters']:,} characters",
        "Loading is from the start of the first import on, in a process of its own.",
        ("", "before", "after"),
        rows,
    )


def trim(nlp: Language, words: Iterable[str], characters: Collection[str], storage: Storage) -> Trimmed:
    """Leave a pipeline the pieces that some words can be made of, and say how its weights are stored.

    Words that are covered are cut as before. Single characters of the scripts that they are written in stay, so that
    other words of these scripts are cut into smaller pieces and not into unknown ones.

    nlp (Language): Changed in place.
    words (Iterable[str]): Words to cover, as the pipeline's tokenizer gives them.
    characters (Collection[str]): All words that are made of these are covered too.
    storage (str): "float32", "bfloat16" or "int8", see `multiner.storage`.
    RAISES: NothingToTrim; TokenizerCannotBeTrimmed.
    """
    pipes = with_own_encoder(nlp)
    if not pipes:
        raise NothingToTrim("The pipeline has no trained component `multiner` with an encoder of its own.")
    different = sorted(set(words))
    # Signs, of which Arabic has its own too, do not say in which script a language is written.
    letters = filter(str.isalpha, characters)
    scripts = {script_of(character) for text in chain(different, letters) for character in text}
    before = after = 0
    for pipe in pipes:
        shim = pipe.shim
        vocabulary = shim.vocabulary()
        single = {number for piece, number in vocabulary.items() if _is_character(piece, scripts)}
        kept = shim.pieces_of(different) | _pieces_made_of(shim, characters) | single
        before += len(vocabulary)
        after += shim.keep_pieces(kept)
        shim.cfg["stored_as"] = nlp.config["components"][pipe.name]["model"]["stored_as"] = storage
    return Trimmed(before, after, len(different), len(characters))


def _pieces_made_of(shim: TaggerShim, characters: Collection[str]) -> set[int]:
    """All pieces that words of these characters can be cut into.

    A vocabulary writes characters in its own way, some of them as several (RoBERTa's bytes), or others in their place
    (small ones, or without accents): it is looked at how it writes each of them.
    """
    vocabulary = shim.vocabulary()
    written = shim.pieces_of(sorted(characters)) - {shim.reading.unknown}
    parts = {part for piece, number in vocabulary.items() if number in written for part in _without_prefix(piece)}
    return {number for piece, number in vocabulary.items() if parts.issuperset(_without_prefix(piece))}


def words_of_texts(nlp: Language, texts: Iterable[str]) -> Iterator[str]:
    """The words of texts, as the pipeline's tokenizer cuts them. Its vocabulary does not grow by them."""
    with nlp.memory_zone():
        for text in texts:
            yield from (word.text for word in nlp.make_doc(text) if not word.is_space)


def strict_f1(nlp: Language, corpus: Path) -> float:
    """The share of entities found exactly, on the corpus's own words."""
    return float(nlp.evaluate(gold_words_corpus(corpus)(nlp))["ents_f"])


def _is_character(piece: str, scripts: Collection[str]) -> bool:
    character = _without_prefix(piece)
    return len(character) == 1 and script_of(character) in scripts


def _without_prefix(piece: str) -> str:
    """The piece without the sign that a word begins or goes on, if there is more to it than that."""
    prefix = next((prefix for prefix in PREFIXES if piece.startswith(prefix) and piece != prefix), "")
    return piece.removeprefix(prefix)
