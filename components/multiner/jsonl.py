"""JSON lines: one sentence or text a line, with tags of its words or with spans of characters.

What annotation tools write is understood as it is: `{"tokens": [...], "tags": [...]}` as datasets have it, or
`{"text": "...", "spans": [{"start": 0, "end": 4, "label": "PER"}]}`, where the spans may also be called `entities`,
`ents` or `label` and be lists of start, end and label.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .columns import place_of
from .sentences import MISSING, Account, Change, CorpusError, Sentence, sentence_from_row
from .tags import Scheme, Span, TagError, detect_scheme, tags_from_spans
from .tokenizer import MANY_LANGUAGES, multilingual_tokenizer

WORDS = ("tokens", "words")
TAGS = ("tags", "ner_tags", "labels")
SPANS = ("spans", "entities", "ents", "label")
LANGUAGES = ("language", "lang")


def read_jsonl(
    path: Path,
    *,
    words_field: str | None = None,
    tags_field: str | None = None,
    names: Sequence[str] | None = None,
    scheme: Scheme | None = None,
    language: str | None = None,
    repair: bool = False,
    account: Account | None = None,
) -> Iterator[Sentence]:
    """Read a file of JSON lines.

    words_field, tags_field (str | None): Where words and tags are, if not under one of their usual names.
    names (Sequence[str] | None): The tags that numbers stand for.
    scheme (Scheme | None): The tagging scheme; found out from all tags if None.
    language (str | None): Of texts that do not say theirs; it decides how they are cut into words.
    repair (bool): Turn illegal tag sequences into legal ones, and of overlapping spans keep the longest; list it.
    account (Account | None): Gets what was changed. Words under spans that do not start and end at words have no
        annotation; the spans are listed too.
    RAISES: CorpusError for what is no JSON, has neither words and tags nor a text and spans, or does not fit together.
    """
    account = Account() if account is None else account
    records = _Records(path, words_field, tags_field)
    if scheme is None:
        try:
            scheme = detect_scheme(_text_tags(records, names))
        except TagError as error:
            raise CorpusError(f"{path}", str(error), "Split the file, or name the scheme with --scheme.") from None
    account.schemes[scheme.value] += 1
    line = 0
    for line, place, record in records:
        own = records.find(record, LANGUAGES, place, required=False) or language
        if "text" in record:
            sentence = _annotated_text(record, records, place, own, repair=repair, account=account)
        else:
            sentence = sentence_from_row(
                _list(records.find(record, records.words, place), place),
                _list(records.find(record, records.tags, place), place),
                place,
                names=names,
                scheme=scheme,
                language=own,
                repair=repair,
                account=account,
            )
        yield sentence._replace(source=f"{path}:{line}")
    if not line:
        raise CorpusError(f"{path}", "the file holds no sentence.", "Check that it is the file you meant.")


class _Records:
    """The objects of a file, and where they keep what."""

    def __init__(self, path: Path, words: str | None, tags: str | None) -> None:
        self.path = path
        self.words = (words,) if words else WORDS
        self.tags = (tags,) if tags else TAGS

    def __iter__(self) -> Iterator[tuple[int, str, dict[str, Any]]]:
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                place = place_of(self.path, number)
                try:
                    record = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8")) if line.strip() else None
                except UnicodeDecodeError as error:
                    raise CorpusError(place, f"{error.reason} at byte {error.start}.", "JSON is UTF-8.") from None
                except json.JSONDecodeError as error:
                    raise CorpusError(
                        place, f"{error.msg} at column {error.colno}.", "Every line is one JSON object."
                    ) from None
                if record is None and not line.strip():
                    continue
                if not isinstance(record, dict):
                    raise CorpusError(place, f"{str(record)[:40]!r} is no object.", "Every line is one JSON object.")
                yield number, place, record

    def find(self, record: Mapping[str, Any], fields: Sequence[str], place: str, *, required: bool = True) -> Any:
        """The value of the first of some fields that the object has."""
        for field in fields:
            if record.get(field) is not None:
                return record[field]
        if not required:
            return None
        raise CorpusError(
            place,
            f"no {_either(fields)} among {_either(list(record)) or 'no fields at all'}.",
            "Give words and tags, or a text and spans; other names can be said with --words-field and --tags-field.",
        )


def _either(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _list(value: object, place: str) -> list[object]:
    if not isinstance(value, list):
        raise CorpusError(place, f"{str(value)[:40]!r} is no list.", "Words and tags are lists of the same length.")
    return value


def _text_tags(records: _Records, names: Sequence[str] | None) -> Iterator[list[str]]:
    """The tags of each sentence that has them; what is wrong with them is said later."""
    for _, place, record in records:
        if "text" not in record:
            tags = records.find(record, records.tags, place, required=False)
            yield [_named(tag, names) for tag in tags] if isinstance(tags, list) else []


def _named(tag: object, names: Sequence[str] | None) -> str:
    if isinstance(tag, int) and names and 0 <= tag < len(names):
        return names[tag]
    return str(tag)


def _annotated_text(
    record: Mapping[str, Any], records: _Records, place: str, language: str | None, *, repair: bool, account: Account
) -> Sentence:
    text = record["text"]
    if not isinstance(text, str) or not text.strip():
        raise CorpusError(place, f"the text {str(text)[:40]!r} is empty or no text.", "Remove the line or give a text.")
    spans = [
        _span(span, text, place) for span in _list(records.find(record, SPANS, place, required=False) or [], place)
    ]
    doc = multilingual_tokenizer(language or MANY_LANGUAGES)(text)
    found: list[Span] = []
    unknown: set[int] = set()
    for start, end, label in _apart(spans, text, place, repair=repair, account=account):
        words = doc.char_span(start, end)
        if words is not None:
            found.append(Span(words.start, words.end, label))
            continue
        words = doc.char_span(start, end, alignment_mode="expand")
        unknown.update(range(words.start, words.end))
        cut = "|".join(token.text for token in words)
        reason = f"characters {start} to {end} do not start and end at words: '{cut}'"
        account.changes.append(Change(place, text[start:end], label, "no annotation", reason))
    tags = [MISSING if index in unknown else tag for index, tag in enumerate(tags_from_spans(found, len(doc)))]
    spaces = [bool(token.whitespace_) for token in doc]
    return Sentence([token.text for token in doc], tags, language, place, spaces)


def _span(span: object, text: str, place: str) -> Span:
    """Start, end and label of a span, without white space at its borders."""
    if isinstance(span, Mapping):
        parts: Sequence[object] = [span.get("start"), span.get("end"), span.get("label")]
    else:
        parts = span if isinstance(span, list) else []
    match parts:
        case [int(start), int(end), str(label)] if 0 <= start < end <= len(text) and label.strip():
            covered = text[start:end]
            start += len(covered) - len(covered.lstrip())
            end -= len(covered) - len(covered.rstrip())
            if start < end:
                return Span(start, end, label)
    raise CorpusError(
        place,
        f"{json.dumps(span, ensure_ascii=False)[:60]} is no span of the text's {len(text)} characters.",
        "A span has a start, a later end and a label, and covers more than white space.",
    )


def _apart(spans: list[Span], text: str, place: str, *, repair: bool, account: Account) -> list[Span]:
    """Spans that do not overlap: of those that do, the longest, and of equally long ones the first."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start - span.end, span.start)):
        rival = next((other for other in kept if span.start < other.end and other.start < span.end), None)
        if rival is None:
            kept.append(span)
            continue
        covered, other = text[span.start : span.end], text[rival.start : rival.end]
        if not repair:
            raise CorpusError(
                place,
                f"the spans '{covered}' ({span.label}) and '{other}' ({rival.label}) overlap.",
                "Remove one, or let --repair keep the longest and list the others.",
            )
        account.changes.append(Change(place, covered, span.label, "nothing", f"overlaps '{other}' ({rival.label})"))
    return sorted(kept)
