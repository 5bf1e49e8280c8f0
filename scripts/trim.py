"""Make a trained pipeline smaller: the vocabulary of some languages or texts, and weights in fewer bytes."""

from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from multiner.console import err, out, plain_errors
from multiner.figures import keep_figures
from multiner.inputs import Record, find_sources, read
from multiner.storage import Storage
from multiner.tables import show
from multiner.trimming import make_smaller, trimming_table


def main(
    model: Annotated[str, typer.Argument(help="The trained pipeline: a folder, or the name of an installed package.")],
    output: Annotated[Path, typer.Argument(help="Folder for the smaller pipeline.")],
    texts: Annotated[
        list[str] | None,
        typer.Option("--texts", help="Texts to cover: a file, folder or pattern, as for `multiner annotate`; repeat."),
    ] = None,
    languages: Annotated[
        list[str] | None,
        typer.Option("--language", help="Cover all that is written in the letters of this language, as de; repeat."),
    ] = None,
    stored_as: Annotated[Storage, typer.Option(help="How weights are stored.")] = "bfloat16",
    check: Annotated[
        list[Path] | None,
        typer.Option("--check", help="A .spacy file to score the pipeline on before and after; repeat."),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="A file for the figures, as JSON.")] = None,
    text_column: Annotated[str, typer.Option("--text", help="The column that has the texts.")] = "text",
) -> None:
    """Write a copy of a pipeline that is a fraction of its size and finds what it found.

    The vocabulary is cut to the pieces that words of the texts are made of, and words in the letters of the languages
    can be made of; all these words are cut as before. Other words are made of smaller pieces. Weights are stored in
    half of their bytes (bfloat16) or a quarter (int8).

    Example: trim.py training/sample/model-best training/small --language de --language fr --check test.spacy
    """
    with plain_errors():
        if not texts and not languages:
            raise typer.BadParameter("Say what to cover, by --texts or --language.")
        sources = find_sources(texts).sources if texts else []
        items = chain.from_iterable(read(source, text_column) for source in sources)
        covered = (item.text for item in items if isinstance(item, Record))
        with err.status("Trimming and measuring"):
            figures = make_smaller(model, output, covered, languages or (), stored_as, check or ())
        if report is not None:
            keep_figures(figures, report)
    show([trimming_table(figures)], out)
    out.print(f"[green]✔[/] {output}")


if __name__ == "__main__":
    typer.run(main)
