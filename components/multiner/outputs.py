"""Annotated documents as bytes: JSON lines, Parquet, DocBin. The same documents give the same bytes."""

import base64
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import UserError

if TYPE_CHECKING:
    import pyarrow
    from spacy.tokens import Doc


class Entity(NamedTuple):
    """An entity by its characters.

    start, end: The first character, and the one after the last.
    confidence: The probability that it is exactly right; None if the component that found it says none.
    """

    start: int
    end: int
    label: str
    text: str
    confidence: float | None


class Annotated(NamedTuple):
    """A document with what was found in it.

    columns: All that was known of it, the text among them.
    """

    columns: Mapping[str, Any]
    entities: list[Entity]
    doc: "Doc"


class Shape(NamedTuple):
    """What the output looks like.

    text_column, entities_column: The names of two columns; all others stay as they are.
    schema: The Arrow types of the input's columns, if they are known.
    """

    text_column: str
    entities_column: str
    schema: "pyarrow.Schema | None" = None


class OutputError(UserError, ValueError):
    """Something cannot be written in the form that was asked for."""


def jsonl_bytes(documents: Iterable[Annotated], shape: Shape) -> bytes:
    """A line for each document: its columns, and a list of objects for its entities.

    What JSON does not know is written as text: dates in ISO 8601, bytes in base64; numbers that are none become null.
    """
    lines = []
    for document in documents:
        row = {**document.columns, shape.entities_column: [entity._asdict() for entity in document.entities]}
        lines.append(to_json(row))
        lines.append("\n")
    return "".join(lines).encode()


def parquet_bytes(documents: Iterable[Annotated], shape: Shape) -> bytes:
    """A table with a row for each document, and a column of lists of structs for the entities.

    The columns of Parquet files keep their types. Of other input, where a value may have another type in every row,
    all columns are text: strings as they are, anything else as JSON.
    """
    try:
        import pyarrow
        from pyarrow.parquet import write_table
    except ImportError as error:
        raise OutputError('Parquet needs pyarrow; install it with: pip install "spacy-multiner[parquet]"') from error

    entity = pyarrow.struct(
        [
            ("start", pyarrow.int64()),
            ("end", pyarrow.int64()),
            ("label", pyarrow.string()),
            ("text", pyarrow.string()),
            ("confidence", pyarrow.float64()),
        ]
    )
    rows = [(document.columns, [found._asdict() for found in document.entities]) for document in documents]
    if shape.schema is not None:
        types = {field.name: field.type for field in shape.schema}
        values = {name: [columns.get(name) for columns, _ in rows] for name in types}
    else:
        types = dict.fromkeys((name for columns, _ in rows for name in columns), pyarrow.string())
        types = types or {shape.text_column: pyarrow.string()}
        values = {name: [_as_text(columns.get(name)) for columns, _ in rows] for name in types}
    arrays = {name: pyarrow.array(values[name], type_) for name, type_ in types.items()}
    arrays[shape.entities_column] = pyarrow.array([found for _, found in rows], pyarrow.list_(entity))
    buffer = io.BytesIO()
    write_table(pyarrow.table(arrays), buffer, compression="zstd")
    return buffer.getvalue()


def docbin_bytes(documents: Iterable[Annotated], shape: Shape) -> bytes:
    """Documents in spaCy's format: words, `doc.ents`, the same spans with confidences, other columns in `user_data`.

    `doc.spans[entities_column].attrs["scores"]` has the confidences, None where there is none.
    """
    from spacy.tokens import Doc, DocBin, SpanGroup

    packed = DocBin(attrs=["ENT_IOB", "ENT_TYPE"], store_user_data=True)
    for document in documents:
        doc = Doc(
            document.doc.vocab,
            words=[token.text for token in document.doc],
            spaces=[bool(token.whitespace_) for token in document.doc],
        )
        found = (doc.char_span(each.start, each.end, label=each.label) for each in document.entities)
        spans = [span for span in found if span is not None]
        assert len(spans) == len(document.entities)  # they were found at these words
        doc.set_ents(spans)
        scores = [each.confidence for each in document.entities]
        doc.spans[shape.entities_column] = SpanGroup(
            doc, name=shape.entities_column, spans=spans, attrs={"scores": scores}
        )
        others = {name: value for name, value in document.columns.items() if name != shape.text_column}
        # What MessagePack does not know is written as in JSON.
        doc.user_data.update(json.loads(to_json(others)))
        packed.add(doc)
    content: bytes = packed.to_bytes()
    return content


FORMATS: dict[str, tuple[str, Callable[[Iterable[Annotated], Shape], bytes]]] = {
    "jsonl": (".jsonl", jsonl_bytes),
    "parquet": (".parquet", parquet_bytes),
    "docbin": (".spacy", docbin_bytes),
}


def to_json(value: Any) -> str:
    """A value as JSON on one line, and always the same value as the same line."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_known_to_json)
    except ValueError:
        return json.dumps(_without_nan(value), ensure_ascii=False, allow_nan=False, default=_known_to_json)


def _known_to_json(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else to_json(value)
