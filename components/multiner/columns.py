"""Column files: one word a line with its tag in another column, a blank line after each sentence.

What differs between corpora (tabs or blanks, an index column, `de:` before each word, other columns between word
and tag, the tagging scheme) is found out from the file or named by the caller. Whatever is wrong with a file is
said with its name, the line, the value there and what to do.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .errors import UserError
from .tags import Problem, Scheme, TagError, detect_scheme, from_iob2, is_tag, to_iob2

BLANK = " \t\r"
SAMPLE_LINES = 1000
LANGUAGE_PREFIX = re.compile(r"([a-z]{2,3}(?:-[a-z]+)*):(.+)")
DOCUMENT_START = re.compile(r"-*docstart-*", re.IGNORECASE)


class ColumnError(UserError, ValueError):
    """A column file that cannot be read as it stands; the message names file, line, value and remedy."""

    def __init__(self, path: Path, line: int | None, problem: str, remedy: str) -> None:
        where = f"{path}, line {line}" if line is not None else f"{path}"
        super().__init__(f"{where}: {problem} {remedy}")


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
        return line.rstrip("\r").split(self.separator)


@dataclass(frozen=True)
class Sentence:
    """The words of a sentence with legal IOB2 tags, and where it was found."""

    words: list[str]
    tags: list[str]
    language: str | None
    path: Path
    line: int


@dataclass(frozen=True)
class Repair:
    """A tag that was changed, or whose entity was taken to end, to make a sentence legal."""

    path: Path
    line: int
    word: str
    problem: Problem


@dataclass(frozen=True)
class ColumnFile:
    """What was read from a file, and how it was understood."""

    sentences: list[Sentence]
    layout: Layout
    scheme: Scheme
    repairs: list[Repair]
    document_starts: int


@dataclass(frozen=True)
class _Row:
    line: int
    word: str
    tag: str
    language: str | None


def detect_layout(lines: Iterable[str]) -> Layout:
    """Find out how columns are separated and which ones hold words and tags.

    A tab in any line makes it tab-separated. A first column that counts 0, 1, 2 or 1, 2, 3 from the start of the
    sentence is an index. The tag is the last column. `de:` before every word is a language prefix.
    """
    sample = [line for _, line in zip(range(SAMPLE_LINES), lines, strict=False)]
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


def read_columns(
    path: Path,
    *,
    layout: Layout | None = None,
    scheme: Scheme | None = None,
    encoding: str = "utf-8",
    repair: bool = False,
) -> ColumnFile:
    """Read a whole column file.

    layout (Layout | None): Where the columns are; found out from the file if None.
    scheme (Scheme | None): The tagging scheme; found out from the file if None.
    encoding (str): Used strictly; a byte-order mark is skipped.
    repair (bool): Turn illegal tag sequences into legal ones and list every change, instead of refusing them.
    RAISES: ColumnError for bytes of another encoding, missing columns, empty words, unknown tags, mixed schemes,
        illegal tag sequences, a file without sentences; OSError when the file cannot be opened.
    """
    lines = _read_lines(path, encoding)
    layout = layout or detect_layout(lines)
    groups, document_starts = _read_rows(path, lines, layout)
    if not groups:
        raise ColumnError(path, None, "the file holds no sentence.", "Check that it is the file you meant.")
    if scheme is None:
        try:
            scheme = detect_scheme([row.tag for row in rows] for rows in groups)
        except TagError as error:
            raise ColumnError(path, None, str(error), "Split the file, or name the scheme with --scheme.") from None
    sentences: list[Sentence] = []
    repairs: list[Repair] = []
    for rows in groups:
        tags, problems = to_iob2([row.tag for row in rows], scheme)
        if problems and not repair:
            row = rows[problems[0].word]
            raise ColumnError(
                path,
                row.line,
                f"the tag '{row.tag}' of '{row.word}' is not legal {scheme.value.upper()}: {problems[0].reason}.",
                "Correct it, name another scheme with --scheme, or let --repair change it and list what it changed.",
            )
        repairs += [Repair(path, rows[problem.word].line, rows[problem.word].word, problem) for problem in problems]
        sentences.append(Sentence([row.word for row in rows], tags, rows[0].language, path, rows[0].line))
    return ColumnFile(sentences, layout, scheme, repairs, document_starts)


def _read_lines(path: Path, encoding: str) -> list[str]:
    data = path.read_bytes()
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = " ".join(f"{byte:02x}" for byte in data[error.start : error.start + 4])
        raise ColumnError(
            path, line, f"the bytes {found} are not {encoding}.", "Name the encoding, for example --encoding latin-1."
        ) from None
    except LookupError:
        raise ColumnError(path, None, f"there is no encoding '{encoding}'.", "Try utf-8 or latin-1.") from None
    # Only line feeds end lines: splitlines() would also cut at characters that words contain.
    return text.removeprefix("\ufeff").split("\n")


def _read_rows(path: Path, lines: Sequence[str], layout: Layout) -> tuple[list[list[_Row]], int]:
    groups: list[list[_Row]] = []
    rows: list[_Row] = []
    document_starts = 0
    for number, line in enumerate(lines, 1):
        if line.strip(BLANK):
            row = _read_row(path, number, line, layout)
            if DOCUMENT_START.fullmatch(row.word):
                document_starts += 1
            else:
                rows.append(row)
        elif rows:
            groups.append(rows)
            rows = []
    if rows:
        groups.append(rows)
    return groups, document_starts


def _read_row(path: Path, number: int, line: str, layout: Layout) -> _Row:
    fields = layout.fields(line)
    # A tag counted from the right must still stand to the right of the word.
    needed = max(layout.word + 1, layout.tag + 1 if layout.tag >= 0 else layout.word + 1 - layout.tag)
    if len(fields) < needed:
        raise ColumnError(
            path,
            number,
            f"{len(fields)} column(s) in {line!r}, but word and tag need {needed}.",
            "Complete the line, or name the columns with --separator, --word-column and --tag-column.",
        )
    word, tag = fields[layout.word], fields[layout.tag].strip(BLANK)
    language = None
    if layout.language_prefix:
        match = LANGUAGE_PREFIX.fullmatch(word)
        if match is None:
            raise ColumnError(
                path, number, f"'{word}' has no language in front.", "Every word needs one, as in 'de:Wort'."
            )
        language, word = match.groups()
    if not word.strip():
        raise ColumnError(path, number, f"the word in {line!r} is empty.", "Remove the line or give the word.")
    if not is_tag(tag):
        raise ColumnError(
            path,
            number,
            f"'{tag}' (for '{word}') is not a tag.",
            "Tags are 'O' or a prefix such as 'B-' and a label. Is another column the tag (--tag-column)?",
        )
    return _Row(number, word, tag, language)


def column_lines(sentences: Iterable[Sentence], scheme: Scheme = Scheme.IOB2) -> Iterator[str]:
    """The lines of a tab-separated column file, with `lang:` in front of the words where a language is known."""
    for sentence in sentences:
        prefix = f"{sentence.language}:" if sentence.language else ""
        for word, tag in zip(sentence.words, from_iob2(sentence.tags, scheme), strict=True):
            yield f"{prefix}{word}\t{tag}\n"
        yield "\n"
