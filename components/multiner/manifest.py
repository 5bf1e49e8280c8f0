"""What a saved component consists of, so that it is loaded whole or not at all.

Beside a component's files stands `manifest.json` with the version of their format and, for each file, its size and
the CRC-32 of its blocks. CRC-32 finds every flipped bit and every cut, and takes a third of a second for 500 MB on
one core, where SHA-256 takes two and a half. It is no seal: whoever changes a file on purpose can change the manifest
too. What a file may not ask for is refused where it is read.
"""

import json
import os
import zlib
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .errors import UserError
from .files import write_json

FORMAT = 1
MANIFEST = "manifest.json"
BLOCK = 1 << 23
REMEDY = "Copy or save the pipeline again."


class ModelFilesError(UserError, ValueError):
    """A saved model that cannot be read; the message names the file and the remedy."""


def write_manifest(folder: Path) -> None:
    """Write down what all files in a folder are like now."""
    files = {
        path.relative_to(folder).as_posix(): checksums(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / MANIFEST
    }
    write_json({"format": FORMAT, "files": files}, folder / MANIFEST)


def check_manifest(folder: Path, exclude: Collection[str] = ()) -> None:
    """Make sure that a folder has the files that were saved, as they were.

    Only names are taken from the manifest, and only files in the folder are opened.

    exclude (Collection[str]): Files and folders that are not going to be read.
    RAISES: ModelFilesError.
    """
    saved = _files_of(read_bytes(folder / MANIFEST), str(folder / MANIFEST))
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    for name, expected in saved.items():
        if name.partition("/")[0].partition(".")[0] in exclude:
            continue
        if name not in there:
            raise ModelFilesError(f"{folder / name} is missing. {REMEDY}")
        if checksums(there[name]) != expected:
            raise ModelFilesError(
                f"{folder / name} is damaged (its size or CRC-32 is not that of the file that was saved). {REMEDY}"
            )


def manifest_of(parts: Mapping[str, bytes]) -> bytes:
    """The manifest of parts that are not in files."""
    files = {name: _checksums_of(content) for name, content in parts.items()}
    return json.dumps({"format": FORMAT, "files": files}).encode()


def check_parts(parts: Mapping[str, bytes], manifest: bytes, exclude: Collection[str] = ()) -> None:
    """Make sure that parts are those of which `manifest_of` made this manifest.

    RAISES: ModelFilesError.
    """
    where = "the component's bytes"
    for name, expected in _files_of(manifest, where).items():
        if name in exclude:
            continue
        if not isinstance(parts.get(name), bytes) or _checksums_of(parts[name]) != expected:
            raise ModelFilesError(f"In {where} '{name}' is missing or damaged. {REMEDY}")


def checksums(path: Path) -> dict[str, Any]:
    """Size and CRC-32 of each block of a file.

    It is read block by block. If it were mapped, all of it would count as memory of this process at its peak.
    """

    def block(start: int) -> bytes:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(BLOCK)

    return _checksums(path.stat().st_size, block)


def _checksums(size: int, block: Callable[[int], bytes | memoryview]) -> dict[str, Any]:
    """The same of anything.

    block (Callable): Gives what begins there, as long as a block or what is left.
    """

    def checksum(start: int) -> int:
        return zlib.crc32(block(start))

    starts = range(0, size, BLOCK)
    if len(starts) < 2:
        return {"bytes": size, "crc32": [checksum(start) for start in starts]}
    # Python's lock is free while zlib computes, so threads share the work.
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as threads:
        return {"bytes": size, "crc32": list(threads.map(checksum, starts))}


def _checksums_of(content: bytes) -> dict[str, Any]:
    view = memoryview(content)
    return _checksums(len(content), lambda start: view[start : start + BLOCK])


def read_bytes(path: Path) -> bytes:
    """The bytes of a file.

    RAISES: ModelFilesError.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelFilesError(f"{path} is missing or cannot be read. {REMEDY}") from error


def _files_of(manifest: bytes, where: str) -> dict[str, Any]:
    try:
        content = json.loads(manifest)
        version, files = content["format"], content["files"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelFilesError(f"{where}: the manifest is damaged. {REMEDY}") from error
    if not isinstance(version, int) or version < 1 or not isinstance(files, dict):
        raise ModelFilesError(f"{where}: the manifest is damaged. {REMEDY}")
    if version > FORMAT:
        raise ModelFilesError(
            f"{where} has format {version}, and this version of spacy-multiner reads formats up to {FORMAT}. Install a "
            "newer one: pip install --upgrade spacy-multiner"
        )
    return files
