"""Write the model card of a trained pipeline."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markdown import Markdown

from multiner.catalog import SOURCES
from multiner.console import out, plain_errors
from multiner.model_card import describe_model, readme_of, write_card

PROJECT = Path(__file__).parent.parent


def main(
    model: Annotated[Path, typer.Argument(help="The trained pipeline's folder.")],
    scores: Annotated[Path, typer.Argument(help="Its scores, as scripts/evaluate.py writes them.")],
    output: Annotated[Path, typer.Argument(help="The folder for README.md and meta.json.")],
    train: Annotated[Path, typer.Option(help="The .spacy file, or the folder of them, that it was trained on.")],
    corpus: Annotated[str, typer.Option(help=f"Name of that: {', '.join(SOURCES)}, or a name of your own.")],
    name: Annotated[str, typer.Option(help="Name of the package, without the language.")],
    version: Annotated[str, typer.Option(help="Version of the package.")],
    data_license: Annotated[str, typer.Option(help="Licence of a corpus of your own.")] = "",
) -> None:
    """Write and print what the pipeline's package will say of itself: README.md and meta.json.

    Data with licence and known limits, labels with examples, scores with intervals, speed, how to use it, and how it
    was trained, with the commands as project.lock has them. scripts/package.py puts both files into the wheel.
    """
    with plain_errors():
        meta = describe_model(
            model,
            scores,
            train,
            corpus,
            name=name,
            version=version,
            data_license=data_license,
            lock=PROJECT / "project.lock",
        )
        write_card(meta, output)
    out.print(Markdown(readme_of(meta).partition("\n---\n")[2]))
    out.print(f"\n[green]✔[/] {output}")


if __name__ == "__main__":
    typer.run(main)
