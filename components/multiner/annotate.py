"""Many documents from files to files, so that nothing is lost and nothing comes twice.

The output is a folder. Documents go through in shards, and the folder gets a file for each one, which is written under
another name and renamed when it is complete. Then a line in `_shards.jsonl` says what went in and what came out. Who
is killed between the two writes the same file again. A run that goes on reads the input from its start, for every
input can be read like that, and compares the shards that are finished with their lines: so it notices if anything
about them has changed. `_manifest.json` says of which input, model and settings the folder is.
"""

import hashlib
import json
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from .annotator import Job, Result, Settings
from .engines import Engine, Recipe, in_this_process
from .errors import UserError
from .files import new_file, write_json
from .inputs import STANDARD_INPUT, Blank, Found, Item, Record, Reject, arrow_schema, find_sources, read, share_read
from .manifest import checksums
from .outputs import FORMATS, Shape, to_json
from .pipelines import folder_of

VERSION = 1
MANIFEST = "_manifest.json"
JOURNAL = "_shards.jsonl"
REJECTS = "_rejects.jsonl"
LOCK = ".lock"
OPTIONS = {
    "threshold": "--threshold",
    "labels": "--labels",
    "batch_size": "--batch-size",
    "format": "--format",
    "text_column": "--text",
    "entities_column": "--into",
    "shard_documents": "--shard",
    "shard_characters": "shard_characters",
}


class AnnotationError(UserError, RuntimeError):
    """Annotating cannot start or go on; the message says why, and what to do."""


class Shard(NamedTuple):
    """Documents that are annotated together.

    number: From 0.
    rejects: Rows among them that are no documents.
    blank: Empty lines among them.
    share: So much of the input is read with them.
    digest: Of all their content; equal only for equal shards.
    """

    number: int
    records: list[Record]
    rejects: list[Reject]
    blank: int
    share: float
    digest: str


class Totals(NamedTuple):
    """What a folder of annotated documents has in it.

    rejected: Rows that could not be read or annotated.
    blank: Empty lines.
    """

    shards: int = 0
    documents: int = 0
    words: int = 0
    entities: int = 0
    rejected: int = 0
    blank: int = 0

    def plus(self, line: dict[str, Any]) -> "Totals":
        """With one more shard, by its line in the journal."""
        added = (1, *(int(line[name]) for name in ("documents", "words", "entities")), len(line["rejects"]))
        return Totals(*(mine + more for mine, more in zip(self, (*added, int(line["blank"])), strict=True)))


class Step(NamedTuple):
    """How far a run is.

    share: Of the input; 0 if its size is not known.
    totals: Of the whole folder.
    before: Of the shards that other runs had finished.
    """

    share: float
    totals: Totals
    before: Totals


class Outcome(NamedTuple):
    """What a run has come to.

    before: What other runs had finished; all of it if there was nothing left to do.
    passed_over: Files in folders that are of no kind that can be read, by ending.
    """

    totals: Totals
    before: Totals
    passed_over: dict[str, int]


Watch = Callable[[Step], None]


def annotate(
    model: str,
    inputs: Sequence[str],
    output: Path,
    settings: Settings | None = None,
    *,
    kind: str | None = None,
    engine: Engine = in_this_process,
    gpu_id: int = -1,
    watch: Watch = lambda step: None,
) -> Outcome:
    """Find the entities of documents and write them to a folder, or go on where a run has ended that did.

    model (str): A pipeline's folder, or the name of an installed one.
    inputs (Sequence[str]): Files, folders, patterns, or `-`; see `multiner.inputs.find_sources`.
    output (Path): The folder. It gets `part-00000.jsonl` and so on (or .parquet, .spacy), `_rejects.jsonl` if there
        are any, `_shards.jsonl` and `_manifest.json`.
    kind (str | None): What the input is, if not what its files' names end in; one of `multiner.inputs.KINDS`.
    engine (Engine): Where it is done, see `multiner.engines` and `multiner.ray_engine`; it changes nothing in the
        result.
    gpu_id (int): The GPU to use; -1 for the CPU.
    watch (Callable): Is told after each shard how far the run is.
    RETURNS: What is in the folder now.
    RAISES: InputError, AnnotatorError, AnnotationError and other `UserError`s. After any of them the folder can be
        gone on with by the same call, when the cause is put right; or the message says why not.
    """
    settings = Settings() if settings is None else settings
    found = find_sources(inputs, kind)
    _check_output(output, inputs, settings)
    schema = arrow_schema(found.sources, settings.text_column)
    if schema is not None and settings.entities_column in schema.names:
        raise AnnotationError(
            f"The input has a column '{settings.entities_column}' already; say with --into how the new one is called."
        )
    shape = Shape(settings.text_column, settings.entities_column, schema)
    wanted = {"version": VERSION, **_input_of(found), **_model_of(model), **_settings_of(settings)}
    with _held(output):
        with _said_plainly(output):
            _bind(output, wanted)
            for leftover in output.glob(".*.unfinished"):
                leftover.unlink()
            digests, before = _finished(output, settings)
        run = _Run(output, settings, digests, before, watch)
        items = share_read(found.sources, lambda source: read(source, settings.text_column))
        for result in engine(Recipe(model, settings, shape, gpu_id), run.jobs(shards(items, settings))):
            with _said_plainly(output):
                run.keep(result)
        with _said_plainly(output):
            run.end()
    return Outcome(run.totals, before, found.passed_over)


class _Run:
    """Keeps the books of one run: which shards are finished, which are on their way."""

    def __init__(self, output: Path, settings: Settings, digests: list[str], before: Totals, watch: Watch) -> None:
        self.output = output
        self.settings = settings
        self.digests = digests
        self.before = self.totals = before
        self.watch = watch
        self.seen = 0
        self.waiting: deque[Shard] = deque()

    def jobs(self, all_shards: Iterable[Shard]) -> Iterator[Job]:
        """The shards that are still to be annotated."""
        for shard in all_shards:
            self.seen += 1
            if shard.number < len(self.digests):
                if shard.digest != self.digests[shard.number]:
                    raise AnnotationError(
                        f"The input is not what it was when {self.output} was begun: its part from "
                        f"{_place(shard)} on has changed. Put back what was there, or choose another folder."
                    )
                self.watch(Step(shard.share, self.totals, self.before))
            else:
                self.waiting.append(shard._replace(records=[]))
                yield Job(shard.number, shard.records)
                del shard

    def keep(self, result: Result) -> None:
        """Write a shard that is annotated, and then the line that says so."""
        shard = self.waiting.popleft()
        write(part_path(self.output, shard.number, self.settings.format), result.content)
        rejects = [*shard.rejects, *result.rejects]
        line = {
            "shard": shard.number,
            "digest": shard.digest,
            "bytes": len(result.content),
            "documents": result.documents,
            "words": result.words,
            "entities": result.entities,
            "blank": shard.blank,
            "rejects": [{"file": each.source, "line": each.line, "reason": each.reason} for each in rejects],
        }
        with (self.output / JOURNAL).open("ab") as journal:
            journal.write(to_json(line).encode() + b"\n")
            journal.flush()
            os.fsync(journal.fileno())
        self.totals = self.totals.plus(line)
        self.watch(Step(shard.share, self.totals, self.before))

    def end(self) -> None:
        """All input is read: say what has come of it."""
        if self.seen < len(self.digests):
            raise AnnotationError(
                f"The input is shorter than it was when {self.output} was begun: {len(self.digests)} shards are "
                f"finished, and it has {self.seen}. Put back what was there, or choose another folder."
            )
        if not self.seen:
            raise AnnotationError("The input holds no document.")
        if self.totals.rejected:
            with new_file(self.output / REJECTS) as unfinished, unfinished.open("w", encoding="utf8") as file:
                for line in _journal_lines(self.output):
                    file.writelines(to_json(reject) + "\n" for reject in line["rejects"])
        manifest = json.loads((self.output / MANIFEST).read_text(encoding="utf8"))
        write_json({**manifest, "finished": self.totals._asdict()}, self.output / MANIFEST)


def shards(items: Iterable[tuple[Item, float]], settings: Settings) -> Iterator[Shard]:
    """Divide what is read into shards: the same input always into the same ones."""
    records: list[Record] = []
    rejects: list[Reject] = []
    digest = hashlib.blake2b(digest_size=16)
    number = blank = characters = 0
    share = 0.0
    for item, share in items:
        match item:
            case Record():
                records.append(item)
                characters += len(item.text)
                digest.update(to_json(item.columns).encode())
            case Reject():
                rejects.append(item)
                digest.update(to_json([item.line, item.reason]).encode())
            case Blank():
                blank += 1
        digest.update(b"\n")
        full = len(records) + len(rejects) >= settings.shard_documents
        if full or characters >= settings.shard_characters:
            yield Shard(number, records, rejects, blank, share, digest.hexdigest())
            records, rejects, digest = [], [], hashlib.blake2b(digest_size=16)
            number, blank, characters = number + 1, 0, 0
    if records or rejects:
        yield Shard(number, records, rejects, blank, share, digest.hexdigest())


def part_path(output: Path, number: int, format: str) -> Path:
    """The file of a shard."""
    return output / f"part-{number:05}{FORMATS[format][0]}"


def write(path: Path, content: bytes) -> None:
    """Have a file with this content on the disk, or none."""
    with new_file(path) as unfinished, unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _place(shard: Shard) -> str:
    rows: list[Record | Reject] = [*shard.records[:1], *shard.rejects[:1]]
    first = min(rows, key=lambda row: row.read)
    return f"line {first.line} of {first.source}"


def _check_output(output: Path, inputs: Sequence[str], settings: Settings) -> None:
    if settings.format not in FORMATS:
        raise AnnotationError(f"'{settings.format}' is no format for the output: say one of {', '.join(FORMATS)}.")
    if output.suffix in {suffix for suffix, _ in FORMATS.values()}:
        raise AnnotationError(
            f"The output is a folder, and {output} is called like a file. Say {output.with_suffix('')}, and with "
            f"--format what files it gets: {', '.join(FORMATS)}."
        )
    if output.exists() and not output.is_dir():
        raise AnnotationError(f"The output is a folder, and {output} is a file. Choose another name.")
    for name in inputs:
        folder = Path(name).resolve()
        if (
            name != STANDARD_INPUT
            and folder.is_dir()
            and (folder == output.resolve() or folder in output.resolve().parents)
        ):
            raise AnnotationError(
                f"{output} lies in {name}, which is read: it would read what it writes. Choose another."
            )


@contextmanager
def _said_plainly(output: Path) -> Iterator[None]:
    """What goes wrong with writing, as what to do about it."""
    try:
        yield
    except OSError as error:
        raise AnnotationError(
            f"{output} cannot be written to: {error.strerror or error}. What is finished stays; when there is room, "
            "and the folder can be written to, run the same command again: it goes on."
        ) from error


@contextmanager
def _held(output: Path) -> Iterator[None]:
    """Nobody else writes to the folder. The system forgets who did when that process ends, however it ends."""
    path = output / LOCK
    lock = FileLock(path)
    with _said_plainly(output):
        output.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            who = path.read_text(encoding="utf8")
            raise AnnotationError(
                f"Another run ({who}) is writing to {output}. Wait for its end, or choose another folder."
            ) from None
    try:
        path.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf8")
        yield
    finally:
        path.write_text("", encoding="utf8")
        lock.release()


def _input_of(found: Found) -> dict[str, Any]:
    return {"input": {source.name: {"kind": source.kind, "bytes": source.size} for source in found.sources}}


def _model_of(model: str) -> dict[str, Any]:
    folder = folder_of(model)
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(folder.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            digest.update(json.dumps([file.relative_to(folder).as_posix(), checksums(file)]).encode())
    return {"model": {"name": model, "digest": digest.hexdigest()}}


def _settings_of(settings: Settings) -> dict[str, Any]:
    return {"settings": {name: getattr(settings, name) for name in OPTIONS} | {"labels": list(settings.labels)}}


def _bind(output: Path, wanted: dict[str, Any]) -> None:
    """Have the folder be of this input, model and settings.

    RAISES: AnnotationError if it is of others, or of something else.
    """
    path = output / MANIFEST
    if not path.exists():
        if others := sorted(file.name for file in output.iterdir() if not file.name.startswith(".")):
            raise AnnotationError(f"{output} has other things in it, {others[0]} for one. Choose a new folder.")
        write_json(wanted, path)
        return
    try:
        bound = json.loads(path.read_text(encoding="utf8"))
        differences = list(_differences(bound, wanted))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AnnotationError(f"{path} is damaged ({error}). Choose a new folder.") from None
    if differences:
        raise AnnotationError(
            f"{output} was begun otherwise: {'; '.join(differences)}. Run the command as it was, or choose another "
            "folder."
        )


def _differences(bound: dict[str, Any], wanted: dict[str, Any]) -> Iterator[str]:
    if bound["version"] != wanted["version"]:
        yield f"by another version of multiner, whose folders are of version {bound['version']}"
        return
    for name, about in wanted["input"].items():
        if name not in bound["input"]:
            yield f"{name} is new in the input"
        elif bound["input"][name] != about:
            before = bound["input"][name]
            was, now = (f"{each['kind']} of {each['bytes']:,} bytes" for each in (before, about))
            yield f"{name} was {was} and is {now}"
    for name in bound["input"]:
        if name not in wanted["input"]:
            yield f"{name} was in the input"
    if sorted(bound["input"]) == sorted(wanted["input"]) and list(bound["input"]) != list(wanted["input"]):
        yield "the input was in another order"
    if bound["model"]["digest"] != wanted["model"]["digest"]:
        yield f"the model {bound['model']['name']} was another one, or its files have changed"
    for name, option in OPTIONS.items():
        before, now = bound["settings"][name], wanted["settings"][name]
        if before != now:
            yield f"{option} was {_said(before)} and is {_said(now)}"


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(value) or "not given"
    return "not given" if value is None else str(value)


def _finished(output: Path, settings: Settings) -> tuple[list[str], Totals]:
    """The digests of the shards that are finished, and what is in them."""
    path = output / JOURNAL
    if path.exists():
        whole = _whole_lines(path)
        if whole < path.stat().st_size:  # killed while it was written; its shard is done again
            os.truncate(path, whole)
    digests: list[str] = []
    totals = Totals()
    for number, line in enumerate(_journal_lines(output)):
        part = part_path(output, number, settings.format)
        if not part.exists() or part.stat().st_size != line["bytes"]:
            raise AnnotationError(f"{part} is not there any more, or not as it was written. Choose a new folder.")
        digests.append(line["digest"])
        totals = totals.plus(line)
    return digests, totals


def _whole_lines(path: Path) -> int:
    """How many bytes of a file are whole lines."""
    whole = 0
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                whole += len(line)
    return whole


def _journal_lines(output: Path) -> Iterator[dict[str, Any]]:
    path = output / JOURNAL
    if path.exists():
        with path.open(encoding="utf8") as journal:
            for line in journal:
                yield json.loads(line)
