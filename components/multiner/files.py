"""Writing files and folders so that nobody ever sees half of one."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import UserError


def write_json(content: Any, path: Path) -> None:
    """Write JSON that people can read too."""
    with new_file(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf8")


class OutsideError(UserError, ValueError):
    """A path leads out of the folder that it must lie in."""


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the name of `path` when the block ends without an error.

    The folder is made if it is not there. After an error neither file is left behind, and what was at `path`
    before is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".unfinished")
    os.close(handle)
    unfinished = Path(name)
    try:
        yield unfinished
        give_usual_rights(unfinished)
        _put(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def give_usual_rights(path: Path) -> None:
    """Let others read a file or folder as far as the user's umask does.

    Temporary files and what safetensors writes are private otherwise.
    """
    mask = os.umask(0)
    os.umask(mask)
    path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)


def remove_folders(folders: Sequence[Path], inside: Path) -> list[Path]:
    """Remove folders with all that is in them; those that are not there are passed over.

    inside (Path): They must lie in this folder, so that a slip of the pen removes nothing else.
    RETURNS: The folders that were removed.
    RAISES: OutsideError, before anything is removed.
    """
    for folder in folders:
        if inside.resolve() not in folder.resolve().parents:
            raise OutsideError(f"{folder} does not lie in {inside}; it is not removed, nor is anything else.")
    found = [folder for folder in folders if folder.is_dir()]
    for folder in found:
        shutil.rmtree(folder)
    return found


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder beside `path` to fill; it takes the name of `path` when the block ends without an error.

    A folder that stood at `path` is replaced only then. After an error it is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".unfinished"))
    try:
        yield unfinished
        for made in (unfinished, *unfinished.rglob("*")):
            give_usual_rights(made)
        _put(unfinished, path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def swapped_folder(path: Path) -> Iterator[Path]:
    """Like `new_folder`, but whoever is killed at any moment leaves the old folder or the new one to be read.

    For the moment between two renamings the folder does not stand at `path`: read it where `whole_folder` says.
    Names are the same each time, so what was left behind goes with the next saving.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished, previous = _unfinished(path), _previous(path)
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        yield unfinished
        if path.exists():
            shutil.rmtree(previous, ignore_errors=True)
            path.rename(previous)
        unfinished.rename(path)
        shutil.rmtree(previous, ignore_errors=True)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def keep(old: Path, new: Path) -> None:
    """Have a file or folder, if it is there, in another place too."""
    if old.is_dir():
        shutil.copytree(old, new)
    elif old.exists():
        shutil.copy2(old, new)


def whole_folder(path: Path) -> Path:
    """Where the folder is that `swapped_folder` wrote, or the one before if that was killed."""
    return _previous(path) if not path.exists() and _previous(path).is_dir() else path


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}.unfinished")


def _previous(path: Path) -> Path:
    return path.with_name(f".{path.name}.previous")


def _put(made: Path, path: Path) -> None:
    """Give a finished file or folder its name; what had the name goes only when the new one stands there."""
    if path.is_dir():
        discarded = made.with_suffix(".discarded")
        path.rename(discarded)
        made.rename(path)
        shutil.rmtree(discarded)
    else:
        if made.is_dir():
            path.unlink(missing_ok=True)  # a folder cannot take the place of a file
        made.replace(path)
