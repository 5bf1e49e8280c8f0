"""Datasets of the Hugging Face hub, or of local folders that have the same form, as sentences.

Both are read by `datasets.load_dataset`; where the hub cannot be reached, a folder with the files of the repository
takes its place.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .catalog import HubCorpus
from .errors import UserError
from .sentences import Account, CorpusError, Sentence, SplitError, sentence_from_row
from .tags import Scheme, TagError, detect_scheme

if TYPE_CHECKING:
    from datasets import Dataset

BATCH = 1000  # rows that are made Python objects at a time


class DatasetError(UserError, ValueError):
    """A dataset that cannot be had or is not as it was described; the message says what to do."""


class Split:
    """One part of a dataset, loaded and described; `open_dataset` makes it."""

    def __init__(self, rows: "Dataset", name: str, corpus: HubCorpus, language: str | None) -> None:
        self.rows = rows
        self.name = name
        self.corpus = corpus
        self.language = language
        self.tag_names = _tag_names(corpus, rows, name)

    def sentences(
        self, *, scheme: Scheme | None = None, repair: bool = False, account: Account | None = None
    ) -> Iterator[Sentence]:
        """The rows one by one, however many there are.

        scheme (Scheme | None): The tagging scheme; by the names of the tags, or IOB2, if None.
        repair (bool): Turn illegal tag sequences into legal ones and list every change, instead of refusing them.
        account (Account | None): Gets the changes, and rows without words, which are no sentences.
        RAISES: CorpusError for rows that make no sentence.
        """
        account = Account() if account is None else account
        scheme = scheme or _scheme(self.tag_names, self.name)
        account.schemes[scheme.value] += 1
        columns = [column for column in (self.corpus.words, self.corpus.tags, self.corpus.language) if column]
        rows = self.rows.select_columns(list(dict.fromkeys(columns))).with_format("arrow")
        row = 0
        for table in rows.iter(BATCH):
            for words, tags, *own in zip(*(table.column(name).to_pylist() for name in columns), strict=True):
                if words:
                    yield sentence_from_row(
                        words,
                        tags,
                        f"{self.name}, row {row}",
                        names=self.tag_names,
                        scheme=scheme,
                        language=own[0] if own else self.language,
                        repair=repair,
                        account=account,
                    )
                account.empty_rows += not words
                row += 1


def open_dataset(corpus: HubCorpus, split: str, language: str | None) -> Split:
    """Load one part of a dataset from the hub, the cache of an earlier time, or a folder.

    split (str): "train", "dev" or "test".
    language (str | None): Fills `{language}` in the names of configuration and split, and is the language of the
        sentences unless a column says it.
    RAISES: DatasetError when the dataset, its configuration or columns are not there or tags have other names than
        they should; SplitError when the part is not there.
    """
    return Split(*_load(corpus, split, language), corpus, language)


def with_repository(corpus: HubCorpus, repository: str) -> HubCorpus:
    """The same corpus from another place: a folder, or another repository, whose main branch is read."""
    return replace(corpus, repository=repository, revision="main")


def _load(corpus: HubCorpus, split: str, language: str | None) -> tuple["Dataset", str]:
    """The split, and its name for messages."""
    try:
        from datasets import load_dataset
    except ImportError:
        raise DatasetError(
            'Corpora by name are read by the library "datasets", which is not installed. '
            'Install it: pip install --constraint constraints.txt --editable ".[hub]"'
        ) from None
    config = corpus.config.format(language=language)
    name = f"{corpus.repository} {config}".strip()
    local = Path(corpus.repository).is_dir()
    try:
        parts = load_dataset(corpus.repository, config or None, revision=None if local else corpus.revision)
    except ConnectionError as error:
        raise DatasetError(
            f"The hub cannot be reached for {name}: {error} Put the repository's files into a folder and name it with "
            "--repository, or give column files."
        ) from error
    except (FileNotFoundError, ValueError, RuntimeError) as error:
        raise DatasetError(f"There is no {name}: {error} See --repository, --config, --revision and --lang.") from error
    wanted = [part.format(language=language) for part in corpus.splits[split]]
    its_split = next((part for part in wanted if part in parts), None)
    if its_split is None:
        raise SplitError(name, f"there is no part {' or '.join(map(repr, wanted))}.", f"It has {', '.join(parts)}.")
    dataset: Dataset = parts[its_split]
    name = f"{name} {its_split}"
    missing = [
        column for column in (corpus.words, corpus.tags, corpus.language) if column not in {"", *dataset.column_names}
    ]
    if missing:
        raise DatasetError(
            f"{name} has no column {', '.join(map(repr, missing))}; it has {', '.join(dataset.column_names)}. "
            "Name the columns with --words-field and --tags-field."
        )
    return dataset, name


def _tag_names(corpus: HubCorpus, dataset: "Dataset", name: str) -> Sequence[str] | None:
    """What numbers in the tag column stand for; None if it has text."""
    feature: Any = getattr(dataset.features[corpus.tags], "feature", None)
    if feature is None:
        raise DatasetError(f"The column '{corpus.tags}' of {name} has no lists. Name another one with --tags-field.")
    own: list[str] | None = getattr(feature, "names", None)
    if own and corpus.tag_names and tuple(own) != corpus.tag_names:
        raise DatasetError(
            f"The tags of {name} are {', '.join(own)}, but {', '.join(corpus.tag_names)} were expected. "
            "Correct --tag-names, or leave it out."
        )
    return own or corpus.tag_names or None


def _scheme(names: Sequence[str] | None, name: str) -> Scheme:
    try:
        found = detect_scheme([[tag] for tag in names or ()])
    except TagError as error:
        raise CorpusError(name, str(error), "Name the scheme with --scheme.") from None
    # Names alone cannot tell IOB1 from IOB2, which is what datasets have.
    return Scheme.IOB2 if found is Scheme.IOB1 else found
