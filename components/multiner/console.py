"""What the project's commands share: how they speak."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

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
