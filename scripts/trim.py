"""Make a trained pipeline smaller: the vocabulary of some languages or texts, and weights in fewer bytes."""

from itertools import chain
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from multiner.console import err, out, plain_errors
from multiner.figures import keep_figures
from multiner.files import swapped_folder
from multiner.inputs import Record, find_sources, read
from multiner.loading_speed import measure_loading
from multiner.pipelines import load_pipeline
from multiner.storage import STORAGES
from multiner.tables import percent
from multiner.trimming import strict_f1, trim, words_of_language, words_of_texts


def main(
    model: Annotated[str, typer.Argument(help="The trained pipeline: a folder, or the name of an installed package.")],
    output: Annotated[Path, typer.Argument(help="Folder for the smaller pipeline.")],
    texts: Annotated[
        list[str] | None,
        typer.Option("--texts", help="Texts to cover: a file, folder or pattern, as for `multiner annotate`; repeat."),
    ] = None,
    languages: Annotated[
        list[str] | None, typer.Option("--language", help="Cover the frequent words of this language, as de; repeat.")
    ] = None,
    words: Annotated[int, typer.Option(min=1, help="How many words of each language.")] = 300_000,
    stored_as: Annotated[str, typer.Option(help=f"How weights are stored: {', '.join(STORAGES)}.")] = "bfloat16",
    check: Annotated[
        list[Path] | None,
        typer.Option("--check", help="A .spacy file to score the pipeline on before and after; repeat."),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="A file for the figures, as JSON.")] = None,
    text_column: Annotated[str, typer.Option(help="The column that has the texts.")] = "text",
) -> None:
    """Write a copy of a pipeline that is a fraction of its size and finds what it found.

    The vocabulary is cut to the pieces that words of texts and languages are made of, and these words are cut as
    before. Other words are made of smaller pieces. Weights are stored in half of their bytes (bfloat16) or a quarter
    (int8).

    Example: trim.py training/sample/model-best training/small --language de --language fr --check test.spacy
    """
    with plain_errors():
        if not texts and not languages:
            raise typer.BadParameter("Say what to cover, by --texts or --language.")
        if stored_as not in STORAGES:
            raise typer.BadParameter(f"--stored-as {stored_as} is none of {', '.join(STORAGES)}.")
        nlp = load_pipeline(model)
        before = [strict_f1(nlp, corpus) for corpus in check or ()]
        sources = find_sources(texts).sources if texts else []
        items = chain.from_iterable(read(source, text_column) for source in sources)
        covered = words_of_texts(nlp, (item.text for item in items if isinstance(item, Record)))
        frequent = chain.from_iterable(words_of_language(language, words) for language in languages or ())
        with err.status("Trimming"):
            trimmed = trim(nlp, chain(covered, words_of_texts(nlp, frequent)), stored_as)
        with swapped_folder(output) as unfinished:
            nlp.to_disk(unfinished)
        smaller = load_pipeline(str(output))
        after = [strict_f1(smaller, corpus) for corpus in check or ()]
        loading = [measure_loading(each) for each in (model, str(output))]
        if report is not None:
            scores = [
                {"corpus": str(corpus), "before": old, "after": new}
                for corpus, old, new in zip(check or (), before, after, strict=True)
            ]
            about = {"model": model, **trimmed._asdict(), "stored_as": stored_as}
            keep_figures({**about, "before": loading[0], "after": loading[1], "strict_f1": scores}, report)
    table = Table(title=f"Trimmed for {trimmed.words:,} words", title_justify="left")
    for column in ("", "Before", "After"):
        table.add_column(column, justify="right" if column else "left")
    table.add_row("Pieces", f"{trimmed.pieces_before:,}", f"{trimmed.pieces:,}")
    for title, key in (
        ("Size, MB", "size_mb"),
        ("Loading, s", "load_seconds"),
        ("Memory when loaded, MB", "memory_mb"),
    ):
        table.add_row(title, *(f"{side[key]:,}" for side in loading))
    for corpus, old, new in zip(check or (), before, after, strict=True):
        table.add_row(f"Strict F1, {corpus}", percent(old), percent(new))
    out.print(table)
    out.print(f"\n[green]✔[/] {output}")


if __name__ == "__main__":
    typer.run(main)
