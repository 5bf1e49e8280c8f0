"""What the project's commands share: how they speak."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape

from .errors import UserError

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


def percent(share: float | None) -> str:
    """A share as people read it, for example 83.1."""
    return "-" if share is None else f"{100 * share:.1f}"
