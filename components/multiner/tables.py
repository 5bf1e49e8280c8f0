"""Tables of figures: one form, shown in the terminal, in Markdown and in HTML."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from rich import table as rich_table
from rich.console import Console
from rich.markup import escape

# Characters that Markdown would take for its own.
MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~&])")
NAME = 14  # letters of a name in a table that are not broken into lines
FIGURE = re.compile(r"[-+]?[\d.,]+( (to|→) [\d.,]+)?|-")


class Table(NamedTuple):
    """A table, and in `meaning` how its figures are defined."""

    title: str
    meaning: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def is_figure(self, column: int) -> bool:
        """Whether there are numbers in all rows of a column."""
        return all(FIGURE.fullmatch(row[column]) for row in self.rows)


def count(value: float | None) -> str:
    """A number as people read it: thousands apart, two places if it is no whole one, a hyphen if there is none."""
    if value is None:
        return "-"
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"


def percent(share: float | None) -> str:
    """A share as people read it, for example 83.1."""
    return "-" if share is None else f"{100 * share:.1f}"


def plain(text: str) -> str:
    """Text that Markdown takes as it is."""
    return MARKUP.sub(r"\\\1", text)


def markdown_parts(tables: Iterable[Table]) -> list[str]:
    """Title, meaning and lines of each table in Markdown."""
    parts = []
    for table in tables:
        # Names stand left, figures right.
        rule = ["---:" if table.is_figure(number) else "---" for number in range(len(table.columns))]
        lines = [table.columns, rule, *([plain(cell) for cell in row] for row in table.rows)]
        parts += [f"## {table.title}", table.meaning, "\n".join(f"| {' | '.join(line)} |" for line in lines)]
    return parts


def show(tables: Iterable[Table], console: Console) -> None:
    """Print tables in the terminal."""
    for content in tables:
        table = rich_table.Table(title=content.title, title_justify="left")
        for number, column in enumerate(content.columns):
            figure = content.is_figure(number)
            # Headings may be broken into lines, figures and names not, sentences again.
            width = max(len(row[number]) for row in content.rows)
            width = width if figure else min(width, NAME)
            table.add_column(column, justify="right" if figure else "left", min_width=width, overflow="fold")
        for row in content.rows:
            table.add_row(*map(escape, row))
        console.print(table)
        console.print(f"{escape(content.meaning)}\n", style="dim")
