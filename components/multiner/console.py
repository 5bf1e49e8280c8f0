"""What the project's commands share: how they speak."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from .errors import UserError
from .watching import Thing, Watch

out = Console(highlight=False)
err = Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Errors that the user can put right end the command with their message alone."""
    try:
        yield
    except (UserError, FileNotFoundError) as error:
        # Messages show lines of configs; their brackets are no markup.
        err.print(f"[bold red]✘[/] {escape(str(error))}")
        raise typer.Exit(1) from error


class UnknownOption(UserError, ValueError):
    """A command has no such option."""


def settings_among(arguments: Sequence[str]) -> dict[str, Any]:
    """The settings of a config that a command line changes, as `spacy train` takes them: `--training.dropout 0.2`.

    arguments (Sequence[str]): What is left of the command line beside the command's own options.
    RAISES: UnknownOption for what is no setting.
    """
    # Only here, because most commands have no use for spaCy's, which takes long to import.
    from click import NoSuchOption
    from spacy.cli._util import parse_config_overrides

    try:
        return dict(parse_config_overrides(list(arguments)))
    except NoSuchOption as error:
        raise UnknownOption(
            f"There is no option {error.option_name}. The command's own are shown by --help; a setting of the config "
            "is told by its place, with a dot: --training.dropout 0.2."
        ) from error


def say_written(*files: Path) -> None:
    """Say what a command has made."""
    out.print("\n".join(f"[green]✔[/] {escape(str(file))}" for file in files))


@contextmanager
def watched(unit: str = "sentences") -> Iterator[Watch]:
    """Show what is gone through, and how far."""
    columns = ("{task.description}", f"{{task.completed:,}} {unit}")
    with Progress(TextColumn(columns[0]), BarColumn(), TextColumn(columns[1]), TimeElapsedColumn(), console=err) as bar:

        def watch(name: str, things: Iterable[Thing], /) -> Iterator[Thing]:
            return iter(bar.track(things, description=name))

        yield watch
