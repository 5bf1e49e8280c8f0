"""Make installable wheels of a trained pipeline and of the library it needs."""

from pathlib import Path
from typing import Annotated

import typer

from multiner.console import out, plain_errors
from multiner.packaging import build_wheels

PROJECT = Path(__file__).parent.parent


def main(
    model: Annotated[Path, typer.Argument(help="The trained pipeline's folder.")],
    card: Annotated[Path, typer.Argument(help="The folder of its README.md and meta.json, from scripts/report.py.")],
    packages: Annotated[Path, typer.Argument(help="Where the two wheels go.")],
) -> None:
    """Build the wheels of a pipeline, with its model card, and of the library, side by side."""
    with plain_errors():
        wheels = build_wheels(model, card, packages, library_source=PROJECT)
    for wheel in wheels:
        out.print(f"[green]✔[/] {wheel} ({wheel.stat().st_size / 1e6:,.1f} MB)")


if __name__ == "__main__":
    typer.run(main)
