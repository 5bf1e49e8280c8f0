"""Sentences to spaCy's binary format and back: `.spacy` files, or folders of them.

A corpus of millions of sentences does not fit into one `DocBin`, which is built and read as a whole. So a corpus that
is larger than one shard becomes a folder of shards under the name that the file would have; spaCy and everything here
reads either.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import chain, islice
from math import ceil
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from spacy.attrs import IS_SPACE
from spacy.language import Language
from spacy.strings import StringStore
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.vocab import Vocab
from srsly.msgpack import Packer, Unpacker

from . import ranks
from .files import new_file, new_folder
from .sentences import MISSING, CorpusError, Sentence
from .spacing import spaces_after
from .tags import split_tag

LANGUAGE = "language"
SOURCE = "source"
SIZE_LIMITS = (1_500, 50_000)  # the most sentences that are hundreds, and thousands, in `by_size`
SHARD = 50_000  # sentences; about half a gigabyte while it is written
IOB_CODES = {"": 0, "I": 1, "O": 2, "B": 3}  # of spaCy's ENT_IOB; the empty one is a missing annotation
ENTITY_IOB = dict(enumerate(("", "I", "O", "B")))


def write_docs(sentences: Iterable[Sentence], out: Path, *, shard: int = SHARD) -> None:
    """Write sentences, one document each, with blanks, entities, language and source.

    out (Path): The `.spacy` file; a folder of shards if there are more sentences than one shard holds.
    shard (int): Sentences in a shard. So many are in memory at a time, and no more.
    """
    rest = iter(sentences)
    first = pack(islice(rest, shard))
    following = next(rest, None)
    if following is None:
        with new_file(out) as unfinished:
            first.to_disk(unfinished)
        return
    with new_folder(out) as unfinished:
        first.to_disk(unfinished / f"{0:05}.spacy")
        rest, number = chain([following], rest), 1
        while len(docs := pack(islice(rest, shard))):
            docs.to_disk(unfinished / f"{number:05}.spacy")
            number += 1


def pack(sentences: Iterable[Sentence]) -> DocBin:
    """Sentences as a `DocBin`.

    The arrays are filled directly, since making a `Doc` of every sentence only to take it apart again takes most of
    the time of a conversion. `doc.user_data` gets "source" and, if it is known, "language".
    """
    docs = DocBin(attrs=["ENT_IOB", "ENT_TYPE"], store_user_data=True)
    packer = Packer(use_bin_type=True)  # one for all: making one looks through all entry points
    strings = _Hashes()
    tag_codes = _TagCodes(strings)
    for words, tags, language, source, spaces in sentences:
        rows = np.empty((len(words), 3), dtype=np.uint64)
        rows[:, 0] = [strings[word] for word in words]
        rows[:, 1:] = [tag_codes[tag] for tag in tags]
        docs.tokens.append(rows)
        blanks = spaces_after(words, language) if spaces is None else spaces
        docs.spaces.append(np.array(blanks, dtype=bool).reshape(-1, 1))
        docs.flags.append({"has_unknown_spaces": False})
        docs.cats.append({})
        docs.span_groups.append(b"")
        about = {SOURCE: source, LANGUAGE: language} if language else {SOURCE: source}
        docs.user_data.append(packer.pack(about))
    docs.strings.update(strings)
    return docs


class _Hashes(dict[str, int]):
    """spaCy's hash of each string, as its string store gives it."""

    def __init__(self) -> None:
        super().__init__()
        self.store = StringStore()

    def __missing__(self, string: str) -> int:
        self[string] = self.store.add(string)
        return self[string]


class _TagCodes(dict[str, tuple[int, int]]):
    """ENT_IOB and ENT_TYPE of each tag."""

    def __init__(self, strings: _Hashes) -> None:
        super().__init__()
        self.strings = strings

    def __missing__(self, tag: str) -> tuple[int, int]:
        prefix, label = split_tag("" if tag == MISSING else tag)
        self[tag] = (IOB_CODES[prefix], self.strings[label] if label else 0)
        return self[tag]


def read_docs(path: Path, vocab: Vocab) -> Iterator[Doc]:
    """The documents of a `.spacy` file, or of all such files in a folder.

    RAISES: FileNotFoundError; CorpusError for files that are not in spaCy's format.
    """
    unpacker = Unpacker(raw=False, use_list=False)  # one for all, see `pack`
    for file in corpus_files(path):
        docs = _open(file)
        user_data, docs.user_data = docs.user_data, []
        for doc, packed in zip(docs.get_docs(vocab), user_data, strict=True):
            if packed is not None:
                unpacker.feed(packed)
                doc.user_data.update(unpacker.unpack())
            yield doc


def read_sentences(path: Path) -> Iterator[Sentence]:
    """The documents of a `.spacy` file, or of a folder of them, as sentences.

    Words of which nothing is annotated are `MISSING`. Other annotations than entities are not taken over.
    """
    for number, doc in enumerate(read_docs(path, Vocab()), 1):
        tags = [
            f"{ENTITY_IOB[token.ent_iob]}-{token.ent_type_}" if token.ent_type_ else ("O" if token.ent_iob else MISSING)
            for token in doc
        ]
        yield Sentence(
            [token.text for token in doc],
            tags,
            doc.user_data.get(LANGUAGE),
            doc.user_data.get(SOURCE) or f"{path}, document {number}",
            None if doc.has_unknown_spaces else [bool(token.whitespace_) for token in doc],
        )


def corpus_files(path: Path) -> list[Path]:
    """The `.spacy` files of a corpus.

    RAISES: FileNotFoundError.
    """
    path = Path(path)  # spaCy hands over what stands in a config, a string
    files = sorted(path.rglob("*.spacy")) if path.is_dir() else [path]
    if not files or not all(file.exists() for file in files):
        raise FileNotFoundError(f"There is no corpus at {path}. Make it with scripts/convert.py.")
    return files


def count_docs(corpus: Path) -> int:
    """The number of documents in a `.spacy` file or a folder of them."""
    return sum(_count_docs(file, file.stat().st_mtime_ns) for file in corpus_files(corpus))


@cache
def _count_docs(file: Path, written: int) -> int:
    # A config asks a dozen times, and a file has to be unpacked for it. Written anew it is another file.
    return len(_open(file))


def _open(file: Path) -> DocBin:
    try:
        return DocBin().from_disk(file)
    except ValueError:
        raise CorpusError(f"{file}", "this is no .spacy file, or a damaged one.", "Convert the corpus again.") from None


def count_steps(corpus: Path, batch_size: int, epochs: float) -> int:
    """How many batches some epochs over a corpus are. Registered as `multiner.steps.v1`.

    corpus (Path): A `.spacy` file, or a folder of them.
    batch_size (int): Sentences in a batch. Where several processes train together, each has so many at a step.
    RAISES: FileNotFoundError.
    """
    return max(1, round(epochs * ceil(count_docs(corpus) / (batch_size * ranks.count()))))


def by_size(
    corpus: Path,
    size: Literal["auto", "hundreds", "thousands", "hundred_thousands"],
    hundreds: float,
    thousands: float,
    hundred_thousands: float,
) -> float:
    """A number that depends on how large a corpus is. Registered as `multiner.by_size.v1`.

    corpus (Path): A `.spacy` file, or a folder of them.
    size (str): "auto" counts the sentences: up to 1,500 are hundreds, up to 50,000 thousands. Or one of the three.
    hundreds, thousands, hundred_thousands (float): The number for each.
    RAISES: FileNotFoundError.
    """
    numbers = {"hundreds": hundreds, "thousands": thousands, "hundred_thousands": hundred_thousands}
    if size == "auto":
        return list(numbers.values())[bisect_left(SIZE_LIMITS, count_docs(corpus))]
    return numbers[size]


def gold_words_corpus(
    path: Path, limit: int = 0, augmenter: Callable[[Language, Example], Iterable[Example]] | None = None
) -> Callable[[Language], Iterator[Example]]:
    """A reader of `.spacy` files whose examples are tokenised as the gold data is.

    Registered as `multiner.GoldWords.v1`. spaCy's own reader tokenises the text again when the data says where
    blanks are; for training and for scores that compare with the literature the corpus's words are wanted.

    path (Path): A `.spacy` file, or a folder of them.
    limit (int): At most so many documents; 0 for all.
    augmenter (Callable | None): Gives the examples to train on in place of each one, as spaCy's do; see `augmentation`.
    RAISES: FileNotFoundError.
    """

    def read(nlp: Language) -> Iterator[Example]:
        for number, doc in enumerate(read_docs(path, nlp.vocab), 1):
            example = Example(without_annotation(doc), doc)
            yield from [example] if augmenter is None else augmenter(nlp, example)
            if number == limit:
                return

    return read


def visible_words(doc: Doc) -> NDArray[np.bool_]:
    """Which words are no white space, array (words,): that neither starts, ends nor interrupts an entity."""
    visible: NDArray[np.bool_] = doc.to_array(IS_SPACE) == 0
    return visible


def without_annotation(doc: Doc, vocab: Vocab | None = None) -> Doc:
    """A document with the same words and blanks, and nothing else.

    vocab (Vocab | None): The vocabulary that it is to have; that of the document if None.
    """
    words, spaces = [token.text for token in doc], [bool(token.whitespace_) for token in doc]
    return Doc(doc.vocab if vocab is None else vocab, words=words, spaces=spaces)
