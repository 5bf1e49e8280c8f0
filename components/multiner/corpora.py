"""Corpora for spaCy: from files to DocBin, and from DocBin to training examples."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from spacy.vocab import Vocab

from .columns import ColumnFile, Layout, Repair, Sentence, read_columns
from .files import new_file
from .spacing import spaces_after
from .tags import Scheme, spans_from_tags

COLUMN_SUFFIXES = frozenset([".conll", ".conllu", ".iob", ".iob2", ".bio", ".txt", ".tsv"])
# What corpora call the three parts.
SPLITS = {
    "train": ("train", "training"),
    "dev": ("dev", "val", "valid", "validation", "development", "testa"),
    "test": ("test", "testb"),
}
MANY_LANGUAGES = "xx"
LANGUAGE = "language"
SOURCE = "source"


@dataclass(frozen=True)
class Source:
    """Where a corpus comes from and on what terms; goes into `meta.json` of a model trained on it."""

    name: str
    url: str
    license: str


SOURCES = {
    "sample": Source("multiner sample (de, fr, it, en)", "corpus/sample in the project's repository", "CC0-1.0"),
    "panx": Source(
        "PAN-X (WikiANN; Pan et al. 2017, Rahimi et al. 2019)",
        "https://github.com/google-research/xtreme",
        "as WikiANN",
    ),
    "wnut17": Source(
        "WNUT-17 emerging entities (Derczynski et al. 2017)",
        "https://github.com/leondz/emerging_entities_17",
        "CC-BY-4.0",
    ),
    "wikineural": Source(
        "WikiNEuRal (Tedeschi et al. 2021)", "https://github.com/Babelscape/wikineural", "CC-BY-NC-SA-4.0"
    ),
}


@dataclass
class Conversion:
    """What went into a corpus, for people to check."""

    schemes: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    docs: int = 0
    words: int = 0
    document_starts: int = 0
    left_out: int = 0
    repairs: list[Repair] = field(default_factory=list)

    @property
    def entities(self) -> int:
        """All entities of all types."""
        return self.labels.total()


def convert(
    sources: Sequence[Path],
    out: Path,
    *,
    split: str | None = None,
    language: str | None = None,
    layout: Layout | None = None,
    scheme: Scheme | None = None,
    encoding: str = "utf-8",
    repair: bool = False,
    sentences: int = 0,
    seed: int = 0,
) -> Conversion:
    """Convert column files to one `.spacy` file; nothing is written unless all of them are sound.

    sources, split: See `find_sources`.
    language (str | None): Of sentences that do not say their own, nor lie in a folder named after it.
    layout, scheme, encoding, repair: See `read_columns`.
    sentences, seed (int): Take so many sentences, shuffled as `sample` does; 0 for all of them in order.
    RAISES: FileNotFoundError, ColumnError.
    """
    found, conversion = read_files(
        find_sources(sources, split), layout=layout, scheme=scheme, encoding=encoding, repair=repair
    )
    chosen = sample(found, sentences, seed) if sentences else found
    conversion.left_out = len(found) - len(chosen)
    write_corpus(chosen, out, conversion, language=language)
    return conversion


def find_sources(sources: Sequence[Path], split: str | None) -> list[Path]:
    """The column files among files and folders.

    split (str | None): Of folders, take only the files of this part: "train", "dev" or "test". A file belongs to
        it if its name without the suffix is one of the part's usual names, alone or set off by . - or _ in it.
    RAISES: FileNotFoundError when a source does not exist or a folder holds no file of that part.
    """
    files: list[Path] = []
    for source in sources:
        if source.is_file():
            files.append(source)
            continue
        if not source.is_dir():
            raise FileNotFoundError(f"There is no file or folder {source}.")
        found = sorted(
            file
            for file in source.rglob("*")
            if file.suffix in COLUMN_SUFFIXES and (split is None or _split_of(file) == split)
        )
        if not found:
            wanted = f"'{split}' file ({', '.join(SPLITS[split])})" if split else "file"
            endings = " ".join(sorted(COLUMN_SUFFIXES))
            raise FileNotFoundError(f"The folder {source} has no {wanted} ending in one of {endings}.")
        files += found
    return files


def _split_of(file: Path) -> str | None:
    name = file.stem.lower().replace("-", ".").replace("_", ".").split(".")
    return next((split for split, names in SPLITS.items() if any(part in names for part in name)), None)


def read_files(
    files: Sequence[Path],
    *,
    layout: Layout | None = None,
    scheme: Scheme | None = None,
    encoding: str = "utf-8",
    repair: bool = False,
) -> tuple[list[Sentence], Conversion]:
    """Read column files one after another; see `read_columns`."""
    conversion = Conversion()
    sentences: list[Sentence] = []
    for file in files:
        content: ColumnFile = read_columns(file, layout=layout, scheme=scheme, encoding=encoding, repair=repair)
        sentences += content.sentences
        conversion.schemes[content.scheme.value] += 1
        conversion.repairs += content.repairs
        conversion.document_starts += content.document_starts
    return sentences, conversion


def sample(sentences: Sequence[Sentence], count: int, seed: int) -> list[Sentence]:
    """The first `count` sentences in the order that `datasets.Dataset.shuffle(seed=seed)` puts them in."""
    order = np.random.default_rng(seed).permutation(len(sentences))
    return [sentences[index] for index in order[:count].tolist()]


def to_doc(sentence: Sentence, vocab: Vocab, language: str | None) -> Doc:
    """A sentence as spaCy sees it: words, blanks by the rules of its language, entities.

    `doc.user_data` gets "language", if it is known, and "source", the file and line it came from.
    """
    doc = Doc(vocab, words=sentence.words, spaces=spaces_after(sentence.words, language))
    doc.set_ents([Span(doc, start, end, label=label) for start, end, label in spans_from_tags(sentence.tags)])
    doc.user_data[SOURCE] = f"{sentence.path}:{sentence.line}"
    if language:
        doc.user_data[LANGUAGE] = language
    return doc


def write_corpus(
    sentences: Iterable[Sentence], out: Path, conversion: Conversion, *, language: str | None = None
) -> None:
    """Write sentences as a DocBin, one document each, and count them.

    language (str | None): For sentences that do not say their own, nor lie in a folder named after it.
    """
    vocab = Vocab()
    docs = DocBin(store_user_data=True)
    for sentence in sentences:
        own = sentence.language or _language_of(sentence.path) or (language if language != MANY_LANGUAGES else None)
        docs.add(to_doc(sentence, vocab, own))
        conversion.docs += 1
        conversion.words += len(sentence.words)
        conversion.languages[own or "unknown"] += 1
        conversion.labels.update(tag[2:] for tag in sentence.tags if tag.startswith("B-"))
    with new_file(out) as unfinished:
        docs.to_disk(unfinished)
    repairs_path(out).unlink(missing_ok=True)  # an earlier conversion's
    if conversion.repairs:
        with new_file(repairs_path(out)) as unfinished, unfinished.open("w", encoding="utf8") as file:
            for change in conversion.repairs:
                file.write(json.dumps(_repair_record(change), ensure_ascii=False) + "\n")


def repairs_path(corpus: Path) -> Path:
    """Where the list of a corpus's repairs is written."""
    return corpus.with_suffix(".repairs.jsonl")


def _repair_record(repair: Repair) -> dict[str, str | int]:
    problem = repair.problem
    return {
        "file": str(repair.path),
        "line": repair.line,
        "word": repair.word,
        "tag": problem.tag,
        "read_as": problem.iob2,
        "reason": problem.reason,
    }


def _language_of(path: Path) -> str | None:
    folder = path.parent.name
    return folder if len(folder) == 2 and folder.isalpha() and folder.islower() else None


def gold_words_corpus(path: Path, limit: int = 0) -> Callable[[Language], Iterator[Example]]:
    """A reader of `.spacy` files whose examples are tokenised as the gold data is.

    Registered as `multiner.GoldWords.v1`. spaCy's own reader tokenises the text again when the data says where
    blanks are; for training and for scores that compare with the literature the corpus's words are wanted.

    path (Path): A `.spacy` file, or a folder of them.
    limit (int): At most so many documents; 0 for all.
    RAISES: FileNotFoundError.
    """

    def read(nlp: Language) -> Iterator[Example]:
        for number, doc in enumerate(read_docs(path, nlp.vocab), 1):
            yield Example(without_annotation(doc), doc)
            if number == limit:
                return

    return read


def count_steps(corpus: Path, batch_size: int, epochs: float) -> int:
    """How many batches some epochs over a corpus are. Registered as `multiner.steps.v1`.

    corpus (Path): A `.spacy` file, or a folder of them.
    batch_size (int): Sentences in a batch.
    RAISES: FileNotFoundError.
    """
    return max(1, round(epochs * ceil(count_docs(corpus) / batch_size)))


def count_docs(corpus: Path) -> int:
    """The number of documents in a `.spacy` file or a folder of them."""
    return sum(len(DocBin().from_disk(file)) for file in _corpus_files(corpus))


def read_docs(path: Path, vocab: Vocab) -> Iterator[Doc]:
    """The documents of a `.spacy` file, or of all such files in a folder.

    RAISES: FileNotFoundError.
    """
    for file in _corpus_files(path):
        yield from DocBin().from_disk(file).get_docs(vocab)


def _corpus_files(path: Path) -> list[Path]:
    path = Path(path)  # spaCy hands over what stands in a config, a string
    files = sorted(path.rglob("*.spacy")) if path.is_dir() else [path]
    if not files or not all(file.exists() for file in files):
        raise FileNotFoundError(f"There is no corpus at {path}. Make it with scripts/convert.py.")
    return files


def without_annotation(doc: Doc) -> Doc:
    """A document with the same words and blanks, and nothing else."""
    return Doc(doc.vocab, words=[token.text for token in doc], spaces=[bool(token.whitespace_) for token in doc])
