"""Make installable wheels of a trained pipeline and of the library it needs."""

from pathlib import Path
from typing import Annotated

import typer

from multiner.catalog import SOURCES
from multiner.console import out, plain_errors
from multiner.packaging import build_wheels, describe_model

PROJECT = Path(__file__).parent.parent


def main(
    model: Annotated[Path, typer.Argument(help="The trained pipeline's folder.")],
    scores: Annotated[Path, typer.Argument(help="Its scores, as scripts/evaluate.py writes them.")],
    packages: Annotated[Path, typer.Argument(help="Where the two wheels go.")],
    corpus: Annotated[str, typer.Option(help=f"What it was trained on: {', '.join(SOURCES)}, or a name of your own.")],
    name: Annotated[str, typer.Option(help="Name of the package, without the language.")],
    version: Annotated[str, typer.Option(help="Version of the package.")],
    data_license: Annotated[str, typer.Option(help="Licence of a corpus of your own.")] = "",
) -> None:
    """Write labels, scores, sources and licence into the pipeline's meta, and build both wheels side by side."""
    with plain_errors():
        meta = describe_model(model, corpus, scores, data_license=data_license)
        wheels = build_wheels(model, meta, packages, name=name, version=version, library_source=PROJECT)
    for wheel in wheels:
        out.print(f"[green]✔[/] {wheel} ({wheel.stat().st_size / 1e6:,.1f} MB)")


if __name__ == "__main__":
    typer.run(main)
