"""Documents to be annotated, out of files of several kinds: text, JSON lines, CSV, Parquet, DocBin, standard input.

Everything is read as a stream. A row that cannot be read is not the end: it comes out as a `Reject` that says where it
is and why, between the records that can be.
"""

import csv
import glob
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, NoReturn

from .errors import UserError

if TYPE_CHECKING:
    import pyarrow

STANDARD_INPUT = "-"
KINDS = {
    "text": (".txt", ".text", ".md"),
    "lines": (),
    "jsonl": (".jsonl", ".ndjson"),
    "csv": (".csv", ".tsv"),
    "parquet": (".parquet",),
    "docbin": (".spacy",),
}
KIND_OF = {suffix: kind for kind, suffixes in KINDS.items() for suffix in suffixes}
STREAMS = ("text", "lines", "jsonl", "csv")  # can be read without knowing their end
DELIMITERS = (",", ";", "\t", "|")
LONGEST_FIELD = 1 << 26  # characters; where a quote is not closed, the rest of the file is one field
ROWS_AT_ONCE = 1000  # of a Parquet file
SOURCE = "source"  # the column that says where a text came from that has no other columns


class InputError(UserError, ValueError):
    """The input is not what was said or cannot be used as a whole; the message has the remedy."""


class Source(NamedTuple):
    """A file of documents, or the standard input.

    name: As messages call it.
    path: None for the standard input.
    kind: One of `KINDS`.
    size: Bytes; 0 if that cannot be known.
    """

    name: str
    path: Path | None
    kind: str
    size: int


class Found(NamedTuple):
    """What some inputs consist of.

    sources: In the order in which they are read.
    passed_over: How many files in folders are of no kind that can be read, by ending.
    """

    sources: list[Source]
    passed_over: dict[str, int]


class Record(NamedTuple):
    """A document.

    line: Where it is in its source: line, row of a table, or number of a document, from 1.
    text: What is to be annotated.
    columns: All that the source has about it, the text among them.
    read: So many bytes of the source are read when this one is.
    """

    source: str
    line: int
    text: str
    columns: dict[str, Any]
    read: int


class Reject(NamedTuple):
    """A row that is no document, with the reason; `line` and `read` are as in `Record`."""

    source: str
    line: int
    reason: str
    read: int


class Blank(NamedTuple):
    """An empty line between rows; `read` is as in `Record`."""

    read: int


class Line(NamedTuple):
    """A line of text without its end; `read` is as in `Record`."""

    number: int
    text: str
    read: int


Item = Record | Reject | Blank


def find_sources(inputs: Sequence[str], kind: str | None = None) -> Found:
    """The files that inputs name.

    inputs (Sequence[str]): Files, folders, patterns such as `data/**/*.csv`, or `-` for the standard input. Folders are
        looked through for files of all kinds, sorted by name; those that begin with a dot or underscore are left out.
    kind (str | None): Read every file as one of `KINDS`; if None, as its name ends, and the standard input by lines.
    RAISES: InputError for names that nothing is found under.
    """
    if kind is not None and kind not in KINDS:
        raise InputError(f"'{kind}' is nothing that can be read: say one of {', '.join(KINDS)}.")
    sources: dict[Path | None, Source] = {}
    passed_over: Counter[str] = Counter()
    for name in inputs:
        if name == STANDARD_INPUT:
            kind_here = kind or "lines"
            if kind_here not in STREAMS:
                raise InputError(f"Standard input can be {', '.join(STREAMS)}, but not {kind_here}: name a file.")
            sources.setdefault(None, Source("standard input", None, kind_here, 0))
            continue
        for path, named in _expand(name):
            kind_here = kind or KIND_OF.get(path.suffix.lower(), "")
            if kind_here:
                source = Source(str(path), path, kind_here, path.stat().st_size)
                sources.setdefault(path.resolve(), source)  # what is named twice is read once
            elif named:
                known = ", ".join(sorted(KIND_OF))
                raise InputError(f"{path}: of files that end in none of {known} say with --read what they are.")
            else:
                passed_over[path.suffix or "no ending"] += 1
    if not sources:
        raise InputError(
            f"Nothing that can be read is in {', '.join(inputs)}. Files end in {', '.join(sorted(KIND_OF))}; of others "
            "say with --read what they are."
        )
    return Found(list(sources.values()), dict(sorted(passed_over.items())))


def _expand(name: str) -> list[tuple[Path, bool]]:
    """The files of one input, and whether it names them itself."""
    path = Path(name)
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if file.is_file()]
        return [
            (file, False)
            for file in files
            if not any(part.startswith((".", "_")) for part in file.relative_to(path).parts)
        ]
    if path.exists():
        return [(path, True)]
    matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 (the pattern may be absolute)
    if not matches:
        raise InputError(f"There is no file or folder {name}, and no file fits it as a pattern.")
    return [(Path(match), True) for match in matches if Path(match).is_file()]


def arrow_schema(sources: Sequence[Source], text_column: str) -> "pyarrow.Schema | None":
    """The columns of the sources if all of them are Parquet, else None; and a look whether tables have the column.

    RAISES: InputError, before anything is annotated, if a table has no such column of text, or two Parquet files
        have columns of one name and different types.
    """
    schemas = []
    for source in sources:
        if source.kind == "csv" and source.path is not None:
            with _opened(source) as file:
                _header(file.readline(), source, text_column)
        elif source.kind == "parquet":
            try:
                schema = _parquet(source).schema_arrow
            except _damage():
                continue  # it will be among the rejects
            _check_text_column(schema, source, text_column)
            schemas.append(schema.remove_metadata())
    if not schemas or any(source.kind != "parquet" for source in sources):
        return None
    pyarrow = _pyarrow()
    try:
        return pyarrow.unify_schemas(schemas)
    except pyarrow.ArrowException as error:
        raise InputError(f"The Parquet files do not go together: {error}. Annotate them one by one.") from None


def read(source: Source, text_column: str) -> Iterator[Item]:
    """The documents of a source, and what in it is none.

    text_column (str): The column, field or key that has the text. Of plain text, the name that it gets.
    RAISES: InputError if the file is gone or cannot be opened, or is a table without the column.
    """
    try:
        yield from READERS[source.kind](source, text_column)
    except FileNotFoundError:
        raise InputError(
            f"{source.name} was there a moment ago and is gone. Put it back and run the same command again: it goes on."
        ) from None
    except OSError as error:
        raise InputError(
            f"{source.name} cannot be read: {error.strerror or error}. When it can, run the same command again."
        ) from None


def _read_text(source: Source, text_column: str) -> Iterator[Item]:
    with _opened(source) as file:
        content = file.read()
    text = _decode(content, source, 1, len(content))
    if isinstance(text, Reject):
        yield text
    else:
        yield Record(source.name, 1, text, {SOURCE: source.name, text_column: text}, len(content))


def _read_lines(source: Source, text_column: str) -> Iterator[Item]:
    for line in _lines(source):
        if isinstance(line, Line):
            columns = {SOURCE: f"{source.name}:{line.number}", text_column: line.text}
            yield Record(source.name, line.number, line.text, columns, line.read)
        else:
            yield line


def _read_jsonl(source: Source, text_column: str) -> Iterator[Item]:
    for line in _lines(source):
        yield _record_of_json(line, source, text_column) if isinstance(line, Line) else line


def _record_of_json(line: Line, source: Source, text_column: str) -> Record | Reject:
    try:
        row = json.loads(line.text, parse_constant=_refuse_constant)
        if "\\ud" in line.text or "\\uD" in line.text:
            json.dumps(row, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        reason = f"no JSON: {error.msg} at column {error.colno}"
    except RecursionError:
        reason = "JSON that is nested too deeply"
    except UnicodeEncodeError:
        reason = r"half of a character, such as \ud83d without its other half"
    except ValueError as error:
        reason = f"no JSON: {error}"
    else:
        return _record(row, source, line.number, text_column, line.read)
    return Reject(source.name, line.number, reason, line.read)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number there")


def _read_csv(source: Source, text_column: str) -> Iterator[Item]:
    done = 0

    def lines(file: IO[bytes]) -> Iterator[str]:
        nonlocal done
        for line in file:
            done += len(line)
            # What is no UTF-8 is found again in the field where it stands.
            yield line.decode("utf-8", "surrogateescape")

    csv.field_size_limit(LONGEST_FIELD)
    with _opened(source) as file:
        first = file.readline()
        names, delimiter = _header(first, source, text_column)
        done = len(first)
        rows = csv.reader(lines(file), delimiter=delimiter, strict=True)
        while True:
            number = rows.line_num + 2
            try:
                fields = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                yield Reject(source.name, number, f"no CSV: {error}", done)
                continue
            if not fields:
                yield Blank(done)
            elif len(fields) != len(names):
                reason = f"{len(fields)} fields, where the first line has {len(names)}"
                yield Reject(source.name, number, reason, done)
            elif not _is_unicode("".join(fields)):
                yield Reject(source.name, number, "no UTF-8", done)
            else:
                yield _record(dict(zip(names, fields, strict=True)), source, number, text_column, done)


def _header(line: bytes, source: Source, text_column: str) -> tuple[list[str], str]:
    """The names of a CSV file's columns, and what stands between its fields: that by which one is the text's."""
    try:
        text = line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise InputError(f"{source.name}: the first line is no UTF-8. Convert the file to UTF-8.") from None
    for delimiter in DELIMITERS:
        names = next(csv.reader([text], delimiter=delimiter), [])
        if text_column in names:
            if twice := [name for name, count in Counter(names).items() if count > 1]:
                raise InputError(f"{source.name} has two columns '{twice[0]}'. Give them different names.")
            return names, delimiter
    raise InputError(
        f"{source.name} has no column '{text_column}'; its first line is: {text[:80]}. Say with --text which it is."
    )


def _read_parquet(source: Source, text_column: str) -> Iterator[Item]:
    number = 0
    damage = _damage()
    try:
        file = _parquet(source)
        _check_text_column(file.schema_arrow, source, text_column)
        rows = max(file.metadata.num_rows, 1)
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
            for index in range(len(batch)):
                number += 1
                done = source.size * number // rows
                try:
                    row = {name: column[index].as_py() for name, column in zip(batch.schema.names, batch, strict=True)}
                except UnicodeDecodeError:
                    yield Reject(source.name, number, "no UTF-8", done)
                else:
                    yield _record(row, source, number, text_column, done)
    except FileNotFoundError:
        raise
    except damage as error:
        reason = f"no Parquet, or damaged; nothing is read from here on: {error}"
        yield Reject(source.name, number + 1, reason, source.size)


def _parquet(source: Source) -> "pyarrow.parquet.ParquetFile":
    _pyarrow()
    from pyarrow.parquet import ParquetFile

    return ParquetFile(source.path)


def _damage() -> tuple[type[Exception], ...]:
    """What pyarrow raises for files that are no Parquet, or damaged."""
    return (_pyarrow().ArrowException, OSError)


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise InputError('Parquet needs pyarrow; install it with: pip install "spacy-multiner[parquet]"') from error
    return pyarrow


def _check_text_column(schema: "pyarrow.Schema", source: Source, text_column: str) -> None:
    if text_column not in schema.names:
        raise InputError(
            f"{source.name} has no column '{text_column}'; it has {', '.join(schema.names)}. Say with --text which it "
            "is."
        )
    if "string" not in str(schema.field(text_column).type):
        raise InputError(
            f"The column '{text_column}' of {source.name} has no text but {schema.field(text_column).type}. Say with "
            "--text which one has."
        )


def _read_docbin(source: Source, text_column: str) -> Iterator[Item]:
    from spacy.vocab import Vocab

    from .docbins import count_docs, read_docs
    from .sentences import CorpusError

    assert source.path is not None
    number = 0
    try:
        docs = max(count_docs(source.path), 1)
        for number, doc in enumerate(read_docs(source.path, Vocab()), 1):
            done = source.size * number // docs
            columns = {key: value for key, value in doc.user_data.items() if isinstance(key, str)}
            if text_column in columns:
                reason = f"its user_data has '{text_column}'; say with --text what the text is to be called"
                yield Reject(source.name, number, reason, done)
            else:
                yield Record(source.name, number, doc.text, {text_column: doc.text, **columns}, done)
    except CorpusError as error:
        yield Reject(source.name, number + 1, str(error), source.size)


READERS: dict[str, Callable[[Source, str], Iterator[Item]]] = {
    "text": _read_text,
    "lines": _read_lines,
    "jsonl": _read_jsonl,
    "csv": _read_csv,
    "parquet": _read_parquet,
    "docbin": _read_docbin,
}


def _record(row: object, source: Source, number: int, text_column: str, done: int) -> Record | Reject:
    if not isinstance(row, dict):
        reason = f"{str(row)[:40]!r} is no object with a field '{text_column}'"
    elif text_column not in row:
        has = ", ".join(f"'{name}'" for name in row) or "none"
        reason = f"no field '{text_column}' among its fields ({has[:200]})"
    elif not isinstance(row[text_column], str):
        reason = f"the field '{text_column}' is {json.dumps(row[text_column], default=str)[:40]}, which is no text"
    else:
        return Record(source.name, number, row[text_column], row, done)
    return Reject(source.name, number, reason, done)


@contextmanager
def _opened(source: Source) -> Iterator[IO[bytes]]:
    if source.path is None:
        yield sys.stdin.buffer
    else:
        with source.path.open("rb") as file:
            yield file


def _lines(source: Source) -> Iterator[Line | Reject | Blank]:
    """The lines of a source that have something in them, and what else there is between them."""
    done = 0
    with _opened(source) as file:
        for number, content in enumerate(file, 1):
            done += len(content)
            text = _decode(content, source, number, done)
            if isinstance(text, Reject):
                yield text
            elif text.strip():
                yield Line(number, text.rstrip("\r\n"), done)
            else:
                yield Blank(done)


def _decode(content: bytes, source: Source, line: int, done: int) -> str | Reject:
    """Bytes as text, without a byte-order mark at the start of a file."""
    try:
        return content.decode("utf-8-sig" if line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        line += content.count(b"\n", 0, error.start)
        return Reject(source.name, line, f"no UTF-8: {error.reason} at byte {error.start}", done)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def share_read(sources: Sequence[Source], items: Callable[[Source], Iterable[Item]]) -> Iterator[tuple[Item, float]]:
    """All items of all sources, each with the share of the input that is read by then; 0 if its size is not known."""
    total = sum(source.size for source in sources)
    before = 0
    for source in sources:
        for item in items(source):
            yield item, (before + item.read) / total if total else 0.0
        before += source.size
