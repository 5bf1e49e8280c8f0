"""Corpora for spaCy: from files, folders and named datasets to DocBin, and what went in.

    sources --readers--> sentences --languages, labels, drawing--> sentences --docbins--> .spacy files

Everything streams: a corpus may be larger than the memory.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .catalog import HUB, SPLITS, HubCorpus
from .columns import open_columns
from .docbins import SHARD, read_sentences, write_docs
from .files import new_file, new_folder
from .hub import DatasetError, open_dataset, with_repository
from .jsonl import read_jsonl
from .labels import LabelMap, check_label_set
from .recipes import Recipe, SourceRecipe
from .sentences import MISSING, Account, CorpusError, Sentence, SplitError
from .tags import split_tag
from .tokenizer import MANY_LANGUAGES

COLUMN_SUFFIXES = (".conll", ".conllu", ".iob", ".iob2", ".bio", ".txt", ".tsv")
JSON_LINES_SUFFIXES = (".jsonl", ".ndjson")
DOCBIN_SUFFIX = ".spacy"
SUFFIXES = (*COLUMN_SUFFIXES, *JSON_LINES_SUFFIXES, DOCBIN_SUFFIX)
CHANGES_SUFFIX = ".changes.jsonl"
DATASET_FILES = ("*.parquet", "*.arrow")
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")

Labelled = tuple[LabelMap, Sentence]
Reader = Callable[[Account], Iterator[Sentence]]
Watcher = Callable[[Iterator[Sentence]], Iterator[Sentence]]


@dataclass
class Conversion(Account):
    """What went into a corpus, for people to check.

    languages, labels (Counter): Sentences by language, and entities by label, as written.
    renamed (list): Source, label, its new name ("" if dropped) and the number of its entities.
    absent (list): Sources that have no such part.
    left_out (int): Sentences that were not drawn.
    other_languages (int): Sentences in languages that were not asked for.
    """

    languages: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    renamed: list[tuple[str, str, str, int]] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    docs: int = 0
    words: int = 0
    unannotated_words: int = 0
    left_out: int = 0
    other_languages: int = 0

    @property
    def entities(self) -> int:
        """All entities of all types."""
        return self.labels.total()


def convert(
    recipe: Recipe,
    out: Path,
    *,
    split: str | None = None,
    sentences: int = 0,
    seed: int = 0,
    shard: int = SHARD,
    watch: Watcher = iter,
) -> Conversion:
    """Convert sources to one `.spacy` file, or a folder of shards; nothing is written unless all of them are sound.

    out (Path): The file. Beside it a list of changes is written if there are any.
    split (str | None): Of folders and datasets take this part: "train", "dev" or "test".
    sentences (int): Draw so many sentences; 0 for all. Those that `datasets.Dataset.shuffle(seed)` puts first, in the
        order of the corpus.
    seed (int): Of drawing, here and by a recipe's fractions.
    shard (int): Sentences in a shard.
    watch (Watcher): Wraps the stream of sentences, to show progress.
    RAISES: FileNotFoundError, CorpusError, DatasetError, LabelError.
    """
    _check_target(out)
    conversion = Conversion()
    label_maps = [LabelMap(source.rename) for source in recipe.sources]
    stream = _read_all(recipe, split, seed, label_maps, conversion)
    if sentences:
        total = sum(1 for _ in _read_all(recipe, split, seed, label_maps, Conversion()))
        stream = _drawn(stream, draw(total, sentences, seed), conversion)
    with new_file(changes_path(out)) as changes:
        write_docs(_checked(watch(_counted(stream, conversion)), recipe, label_maps, conversion), out, shard=shard)
        _write_changes(conversion, changes)
    if not conversion.changes:
        changes_path(out).unlink()
    return conversion


def convert_splits(
    recipe: Recipe, out: Path, *, sentences: int = 0, seed: int = 0, shard: int = SHARD, watch: Watcher = iter
) -> dict[str, Conversion]:
    """Convert the train, dev and test parts of folders or named corpora into a folder, as far as they are there.

    out (Path): Gets train.spacy, dev.spacy and test.spacy; it is replaced as a whole.
    sentences (int): Draw so many sentences of the part to train on; 0 for all. See `convert`.
    RAISES: As `convert`; SplitError when none of the parts is there.
    """
    _check_target(out)
    conversions: dict[str, Conversion] = {}
    missing: list[SplitError] = []
    with new_folder(out) as unfinished:
        for split in SPLITS:
            try:
                conversions[split] = convert(
                    recipe,
                    unfinished / f"{split}{DOCBIN_SUFFIX}",
                    split=split,
                    sentences=sentences if split == "train" else 0,
                    seed=seed,
                    shard=shard,
                    watch=watch,
                )
            except SplitError as error:
                missing.append(error)
        if not conversions:
            raise missing[0]
    return conversions


def has_splits(recipe: Recipe) -> bool:
    """Whether the sources are folders or named corpora, which have parts, and not single files.

    RAISES: CorpusError when some are and others are not.
    """
    files = [source.origin for source in recipe.sources if Path(source.origin).is_file()]
    if files and len(files) < len(recipe.sources):
        raise CorpusError(files[0], "this is a file, while other sources are in parts.", "Name a part with --split.")
    return not files


def changes_path(corpus: Path) -> Path:
    """Where the list of what was changed in a corpus is written."""
    return corpus.with_suffix(CHANGES_SUFFIX)


def draw(count: int, wanted: int, seed: int) -> NDArray[np.bool_]:
    """Which of `count` rows `datasets.Dataset.shuffle(seed=seed).select(range(wanted))` takes."""
    mask = np.zeros(count, dtype=bool)
    mask[np.random.default_rng(seed).permutation(count)[:wanted]] = True
    return mask


def find_files(folder: Path, split: str) -> list[Path]:
    """The files of one part in a folder and below.

    split (str): "train", "dev" or "test". A file belongs to it if its name without the suffix is one of the part's
        usual names, alone or set off by . - or _ in it.
    RAISES: SplitError when there is none.
    """
    files = [file for file in sorted(folder.rglob("*")) if file.suffix in SUFFIXES and _split_of(file) == split]
    # A folder train.spacy holds the shards of the part, whatever they are called.
    shards = [file for file in files if file.is_dir()]
    found = [file for file in files if not any(shard in file.parents for shard in shards)]
    if not found:
        raise SplitError(
            f"{folder}",
            f"the folder has no '{split}' file ({', '.join(SPLITS[split])}) ending in one of {' '.join(SUFFIXES)}.",
            "Rename the files, or name them one by one.",
        )
    return found


def _split_of(file: Path) -> str | None:
    name = re.split(r"[-._]", file.stem.lower())
    return next((split for split, names in SPLITS.items() if any(part in names for part in name)), None)


def _check_target(out: Path) -> None:
    """Refuse to replace a folder that is not a corpus."""
    others = [
        file for file in out.rglob("*") if not file.is_dir() and not file.name.endswith((DOCBIN_SUFFIX, CHANGES_SUFFIX))
    ]
    if out.is_dir() and others:
        raise CorpusError(
            f"{out}", f"the folder holds other files, such as {others[0]}.", "Name another file or folder to write."
        )


def _read_all(
    recipe: Recipe, split: str | None, seed: int, label_maps: list[LabelMap], conversion: Conversion
) -> Iterator[Labelled]:
    """The sentences of all sources, in the wanted languages and shares, with what becomes of their labels."""
    absent: list[SplitError] = []
    for source, label_map in zip(recipe.sources, label_maps, strict=True):
        try:
            readers = _readers(source, split)
        except SplitError as error:
            absent.append(error)
            conversion.absent.append(source.origin)
            continue
        chosen = _shares(source, readers, seed) if source.fractions else None
        for sentence in _wanted(source, readers, chosen, label_map, conversion):
            yield label_map, sentence
    if len(absent) == len(recipe.sources):
        raise absent[0]


def _wanted(
    source: SourceRecipe,
    readers: list[Reader],
    chosen: dict[str, NDArray[np.bool_]] | None,
    label_map: LabelMap,
    conversion: Conversion,
) -> Iterator[Sentence]:
    """The sentences in the wanted languages, all of them or the chosen ones."""
    met: Counter[str] = Counter()
    for reader in readers:
        for sentence in reader(conversion):
            language = sentence.language or ""
            if source.languages and language not in source.languages:
                conversion.other_languages += 1
                continue
            met[language] += 1
            label_map.meet(sentence.tags)
            if chosen is not None and not chosen[language][met[language] - 1]:
                conversion.left_out += 1
                continue
            yield sentence
    absent = [language for language in source.languages if not met[language]]
    if absent:
        raise CorpusError(source.origin, f"there is no sentence in '{absent[0]}'.", "Name other languages with --lang.")


def _shares(source: SourceRecipe, readers: list[Reader], seed: int) -> dict[str, NDArray[np.bool_]]:
    """For each language, which of its sentences are drawn."""
    sizes = Counter(sentence.language for reader in readers for sentence in reader(Account()))
    return {
        language: draw(sizes[language], int(fraction * sizes[language]), seed)
        for language, fraction in zip(source.languages, source.fractions, strict=True)
    }


def _drawn(stream: Iterable[Labelled], mask: NDArray[np.bool_], conversion: Conversion) -> Iterator[Labelled]:
    for item, taken in zip(stream, mask.tolist(), strict=True):
        if taken:
            yield item
        conversion.left_out += not taken


def _counted(stream: Iterable[Labelled], conversion: Conversion) -> Iterator[Sentence]:
    """The sentences with their final labels; they are counted."""
    counts: Counter[str] = Counter()
    for label_map, sentence in stream:
        tags = label_map.apply(sentence.tags)
        counts.update(tags)
        conversion.docs += 1
        conversion.languages[sentence.language or "unknown"] += 1
        yield sentence._replace(tags=tags)
    conversion.words = counts.total()
    conversion.unannotated_words = counts[MISSING]
    for tag, count in counts.items():
        prefix, label = split_tag(tag)
        if prefix == "B":
            conversion.labels[label] = count


def _checked(
    stream: Iterable[Sentence], recipe: Recipe, label_maps: list[LabelMap], conversion: Conversion
) -> Iterator[Sentence]:
    """Pass sentences on; at their end, before anything is in place, see that the labels are what the recipe says."""
    yield from stream
    for source, label_map in zip(recipe.sources, label_maps, strict=True):
        if source.origin not in conversion.absent:
            label_map.check(source.origin)
        conversion.renamed += [(source.origin, *change) for change in label_map.changes()]
    if recipe.labels:
        check_label_set(conversion.labels, recipe.labels)
    if not conversion.docs:
        raise CorpusError(recipe.sources[0].origin, "nothing is left of the corpus.", "Draw more sentences.")


def _write_changes(conversion: Conversion, path: Path) -> None:
    with path.open("w", encoding="utf8") as file:
        for change in conversion.changes:
            file.write(json.dumps(change._asdict(), ensure_ascii=False) + "\n")


def _readers(source: SourceRecipe, split: str | None) -> list[Reader]:
    """What reads a source: one reader for each file, or for each language of a dataset."""
    path = Path(source.origin)
    if source.origin in HUB and not path.exists():
        return _dataset_readers(source, HUB[source.origin], split)
    if path.is_file():
        return [_file_reader(source, path)]
    if path.is_dir() and any(file for pattern in DATASET_FILES for file in path.rglob(pattern)):
        return _dataset_readers(source, _described(source), split)
    if path.is_dir():
        if split is None:
            raise CorpusError(source.origin, "this is a folder.", "Name a part of it with --split.")
        return [_file_reader(source, file) for file in find_files(path, split)]
    if REPOSITORY.fullmatch(source.origin) and not path.parent.is_dir():
        return _dataset_readers(source, _described(source), split)
    raise FileNotFoundError(
        f"There is no file or folder {source.origin}, and no corpus of that name; those are {', '.join(HUB)}."
    )


def _described(source: SourceRecipe) -> HubCorpus:
    """A dataset that is not in the catalog, as the recipe describes it."""
    return HubCorpus(source.origin, source.languages)


def _dataset_readers(source: SourceRecipe, corpus: HubCorpus, split: str | None) -> list[Reader]:
    if split is None:
        raise CorpusError(source.origin, "this corpus is in parts.", "Name one with --split.")
    if source.repository:
        corpus = with_repository(corpus, source.repository)
    said: dict[str, Any] = {
        "config": source.config,
        "revision": source.revision,
        "words": source.words_field,
        "tags": source.tags_field,
        "tag_names": source.tag_names,
    }
    corpus = replace(corpus, **{name: value for name, value in said.items() if value})
    unknown = [language for language in source.languages if language not in corpus.languages]
    if unknown:
        raise DatasetError(
            f"{source.origin} has no language '{unknown[0]}'; it has {', '.join(corpus.languages)}. Correct --lang."
        )
    languages: tuple[str | None, ...] = source.languages or corpus.languages
    if "{language}" not in corpus.config + "".join(corpus.splits["train"]):
        # One part for all, in which a column may say the language of each row.
        languages = (languages[0] if len(corpus.languages) == 1 else source.language,)
    elif not source.languages:
        raise DatasetError(
            f"{source.origin} is kept by language. Name those to take with --lang: {', '.join(corpus.languages)}."
        )
    return [_dataset_reader(source, corpus, split, language) for language in languages]


def _dataset_reader(source: SourceRecipe, corpus: HubCorpus, split: str, language: str | None) -> Reader:
    part = open_dataset(corpus, split, language)

    def read(account: Account) -> Iterator[Sentence]:
        return part.sentences(scheme=source.scheme, repair=source.repair, account=account)

    return read


def _file_reader(source: SourceRecipe, path: Path) -> Reader:
    language = _language_of(path) or (source.language if source.language != MANY_LANGUAGES else None)

    def read(account: Account) -> Iterator[Sentence]:
        for sentence in _read_file(source, path, language, account):
            yield sentence if sentence.language else sentence._replace(language=language)

    return read


def _read_file(source: SourceRecipe, path: Path, language: str | None, account: Account) -> Iterator[Sentence]:
    if path.suffix in JSON_LINES_SUFFIXES:
        return read_jsonl(
            path,
            words_field=source.words_field,
            tags_field=source.tags_field,
            names=source.tag_names or None,
            scheme=source.scheme,
            language=language,
            repair=source.repair,
            account=account,
        )
    if path.suffix == DOCBIN_SUFFIX:
        return read_sentences(path)
    file = open_columns(path, layout=source.layout, scheme=source.scheme, encoding=source.encoding)
    return file.sentences(repair=source.repair, account=account)


def _language_of(path: Path) -> str | None:
    folder = path.parent.name
    return folder if len(folder) == 2 and folder.isalpha() and folder.islower() else None
