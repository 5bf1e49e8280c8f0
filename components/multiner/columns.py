"""Column files: one word a line with its tag in another column, a blank line after each sentence.

What differs between corpora (tabs or blanks, an index column, `de:` before each word, other columns between word
and tag, the tagging scheme) is found out from the file or named by the caller. Whatever is wrong with a file is
said with its name, the line, the value there and what to do.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from .sentences import Account, CorpusError, Sentence, check_tag, legal_tags
from .tags import Scheme, TagError, detect_scheme, from_iob2

BLANK = " \t\r"
SAMPLE_LINES = 1000
LONGEST_LINE = 100_000  # characters
READ_AT_ONCE = 1 << 20  # characters
LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z]+)*")
LANGUAGE_PREFIX = re.compile(LANGUAGE.pattern + ":.+")
DOCUMENT_START = re.compile(r"-*docstart-*", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """Where a file keeps what.

    separator (str | None): What stands between columns; None for any run of blanks and tabs.
    word (int): The column of the word, counted from 0.
    tag (int): The column of the tag; negative numbers count from the right.
    language_prefix (bool): Whether each word has its language and a colon in front (`de:Wort`).
    """

    separator: str | None = "\t"
    word: int = 0
    tag: int = -1
    language_prefix: bool = False

    def fields(self, line: str) -> list[str]:
        """The columns of a line. Only blanks and tabs separate; other white space belongs to words."""
        if self.separator is None:
            return re.split(r"[ \t]+", line.strip(BLANK))
        return line.split(self.separator)


class _Group(NamedTuple):
    """The lines of a sentence as they stand in the file; the first one has the number `line`."""

    line: int
    words: list[str]
    tags: list[str]
    language: str | None


def detect_layout(lines: Iterable[str]) -> Layout:
    """Find out how columns are separated and which ones hold words and tags.

    A tab in any line makes it tab-separated. A first column that counts 0, 1, 2 or 1, 2, 3 from the start of the
    sentence is an index. The tag is the last column. `de:` before every word is a language prefix.
    """
    sample = list(lines)
    separator = "\t" if any("\t" in line.strip(BLANK) for line in sample) else None
    layout = Layout(separator)
    rows: list[tuple[int, list[str]]] = []  # position in the sentence and columns
    position = 0
    for line in sample:
        if not line.strip(BLANK):
            position = 0
            continue
        rows.append((position, layout.fields(line)))
        position += 1
    wide = [(position, fields) for position, fields in rows if len(fields) >= 3]
    if wide and all(fields[0] in {str(position), str(position + 1)} for position, fields in wide):
        layout = replace(layout, word=1)
    words = [fields[layout.word] for _, fields in rows if len(fields) > layout.word + 1]
    if words and all(LANGUAGE_PREFIX.fullmatch(word) for word in words):
        layout = replace(layout, language_prefix=True)
    return layout


@dataclass(frozen=True)
class ColumnFile:
    """A column file whose form is known; `open_columns` makes it.

    path (Path): The file.
    layout (Layout): Where it keeps what.
    scheme (Scheme): The tagging scheme.
    encoding (str): Used strictly; a byte-order mark is skipped.
    """

    path: Path
    layout: Layout
    scheme: Scheme
    encoding: str

    def sentences(self, *, repair: bool = False, account: Account | None = None) -> Iterator[Sentence]:
        """The sentences one by one, however long the file is.

        repair (bool): Turn illegal tag sequences into legal ones and list every change, instead of refusing them.
        account (Account | None): Gets changes, `-DOCSTART-` lines and the scheme.
        RAISES: CorpusError for illegal tag sequences.
        """
        account = Account() if account is None else account
        account.schemes[self.scheme.value] += 1
        for line, words, tags, language in _groups(self.path, self.encoding, self.layout, account):
            place = partial(self._place, line)
            iob2 = legal_tags(words, tags, self.scheme, place, repair=repair, account=account)
            yield Sentence(words, iob2, language, f"{self.path}:{line}")

    def _place(self, first_line: int, word: int) -> str:
        return place_of(self.path, first_line + word)


def open_columns(
    path: Path, *, layout: Layout | None = None, scheme: Scheme | None = None, encoding: str = "utf-8"
) -> ColumnFile:
    """Look through a whole column file once, to see that it is sound and how it is written.

    layout (Layout | None): Where the columns are; found out from the first lines if None.
    scheme (Scheme | None): The tagging scheme; found out from all tags if None.
    encoding (str): Used strictly; a byte-order mark is skipped.
    RAISES: CorpusError for bytes of another encoding, missing columns, empty words, unknown tags, lines that are too
        long for a word and its tags, mixed schemes, a file without sentences; OSError when it cannot be opened.
    """
    if layout is None:
        layout = detect_layout(islice(_lines(path, encoding), SAMPLE_LINES))
    groups = _groups(path, encoding, layout, Account())
    first = next(groups, None)
    if first is None:
        raise CorpusError(f"{path}", "the file holds no sentence.", "Check that it is the file you meant.")
    if scheme is None:
        try:
            scheme = detect_scheme(group.tags for group in chain([first], groups))
        except TagError as error:
            raise CorpusError(f"{path}", str(error), "Split the file, or name the scheme with --scheme.") from None
    return ColumnFile(path, layout, scheme, encoding)


def place_of(path: Path, line: int) -> str:
    """A place in a file as messages name it."""
    return f"{path}, line {line}"


def _lines(path: Path, encoding: str) -> Iterator[str]:
    """The lines of a file without their line feeds.

    Only line feeds end lines: words may contain other characters at which Python's `splitlines` would cut.
    """
    number = 0
    try:
        with path.open(encoding=encoding, newline="\n") as file:
            while lines := file.readlines(READ_AT_ONCE):
                if number == 0:
                    lines[0] = lines[0].removeprefix("\ufeff")
                for line in lines:
                    number += 1
                    if len(line) > LONGEST_LINE:
                        raise CorpusError(
                            place_of(path, number),
                            f"the line has more than {LONGEST_LINE:,} characters: '{line[:40]}...'.",
                            "A line is a word and its tags; is this a column file?",
                        )
                    yield line.rstrip("\r\n")
    except UnicodeDecodeError:
        raise _encoding_error(path, encoding) from None
    except LookupError:
        raise CorpusError(f"{path}", f"there is no encoding '{encoding}'.", "Try utf-8 or latin-1.") from None


def _encoding_error(path: Path, encoding: str) -> CorpusError:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as error:
                found = " ".join(f"{byte:02x}" for byte in line[error.start : error.start + 4])
                problem = f"the bytes {found} are not {encoding}."
                return CorpusError(
                    place_of(path, number), problem, "Name the encoding, for example --encoding latin-1."
                )
    return CorpusError(f"{path}", f"the file is not {encoding}.", "Name the encoding with --encoding.")


def _groups(path: Path, encoding: str, layout: Layout, account: Account) -> Iterator[_Group]:
    reader = _GroupReader(path, layout, account)
    for first_line, lines in _blocks(_lines(path, encoding)):
        group = reader.read_quickly(first_line, lines)
        if group is not None:
            yield group
        else:
            yield from reader.read_with_care(first_line, lines)


def _blocks(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Runs of lines between blank ones, with the number of the first line of each."""
    block: list[str] = []
    number = 0
    for number, line in enumerate(lines, 1):
        if line.strip(BLANK):
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []
    if block:
        yield number - len(block) + 1, block


class _GroupReader:
    """Takes words and tags out of lines."""

    def __init__(self, path: Path, layout: Layout, account: Account) -> None:
        self.path = path
        self.layout = layout
        self.account = account
        self.known_tags: set[str] = set()
        # A tag counted from the right must still stand to the right of the word.
        self.needed = max(layout.word + 1, layout.tag + 1 if layout.tag >= 0 else layout.word + 1 - layout.tag)

    def read_quickly(self, first_line: int, lines: list[str]) -> _Group | None:
        """A sentence in which nothing is out of the ordinary; None for `read_with_care` to look at."""
        rows = list(map(self.layout.fields, lines))
        if min(map(len, rows)) < self.needed or self.layout.language_prefix:
            return None
        words = [row[self.layout.word] for row in rows]
        tags = [row[self.layout.tag] for row in rows]
        if (
            not self.known_tags.issuperset(tags)
            or not all(map(str.strip, words))
            or "DOCSTART" in "".join(words).upper()
        ):
            return None
        return _Group(first_line, words, tags, None)

    def read_with_care(self, first_line: int, lines: list[str]) -> Iterator[_Group]:
        """The sentences in some lines; there are several if a document starts between them.

        RAISES: CorpusError.
        """
        words: list[str] = []
        tags: list[str] = []
        language: str | None = None
        for number, line in enumerate(lines, first_line):
            word, tag = self._word_and_tag(number, line)
            if DOCUMENT_START.fullmatch(word):
                self.account.document_starts += 1
                if words:
                    yield _Group(number - len(words), words, tags, language)
                    words, tags = [], []
                continue
            if self.layout.language_prefix:
                own, word = _split_language(word, place_of(self.path, number))
                language = language if words else own
            if not word.strip():
                raise CorpusError(
                    place_of(self.path, number), f"the word in {line!r} is empty.", "Remove the line or give the word."
                )
            check_tag(tag, word, place_of(self.path, number), "Is another column the tag (--tag-column)?")
            self.known_tags.add(tag)
            words.append(word)
            tags.append(tag)
        if words:
            yield _Group(first_line + len(lines) - len(words), words, tags, language)

    def _word_and_tag(self, number: int, line: str) -> tuple[str, str]:
        fields = self.layout.fields(line)
        if len(fields) < self.needed:
            raise CorpusError(
                place_of(self.path, number),
                f"{len(fields)} column(s) in {line!r}, but word and tag need {self.needed}.",
                "Complete the line, or name the columns with --separator, --word-column and --tag-column.",
            )
        return fields[self.layout.word], fields[self.layout.tag].strip(BLANK)


def _split_language(word: str, place: str) -> tuple[str, str]:
    language, _, rest = word.partition(":")
    if not rest or not LANGUAGE.fullmatch(language):
        raise CorpusError(place, f"'{word}' has no language in front.", "Every word needs one, as in 'de:Wort'.")
    return language, rest


def column_lines(sentences: Iterable[Sentence], scheme: Scheme = Scheme.IOB2) -> Iterator[str]:
    """The lines of a tab-separated column file, with `lang:` in front of the words where a language is known."""
    for sentence in sentences:
        prefix = f"{sentence.language}:" if sentence.language else ""
        for word, tag in zip(sentence.words, from_iob2(sentence.tags, scheme), strict=True):
            yield f"{prefix}{word}\t{tag}\n"
        yield "\n"
