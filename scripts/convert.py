"""Convert column files (IOB and its kin) to spaCy's binary format."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from multiner.columns import Layout
from multiner.console import out, plain_errors
from multiner.corpora import Conversion, convert, repairs_path
from multiner.tags import Scheme

SEPARATORS = {"tab": "\t", "blank": None}


def main(
    sources: Annotated[
        list[Path], typer.Argument(help="Column files or folders of them, then the .spacy file to write.")
    ],
    split: Annotated[
        str | None, typer.Option(help="Of folders take only the files of this part: train, dev or test.")
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(help="Language of sentences that do not say (lang:word) and whose folder has no such name."),
    ] = None,
    scheme: Annotated[Scheme | None, typer.Option(help="Tagging scheme, if it should not be found out.")] = None,
    encoding: Annotated[str, typer.Option(help="Encoding of the files.")] = "utf-8",
    separator: Annotated[
        str | None, typer.Option(help="'tab' or 'blank'; with this or the next two nothing is found out.")
    ] = None,
    word_column: Annotated[int | None, typer.Option(help="Column of the words, counted from 0.")] = None,
    tag_column: Annotated[int | None, typer.Option(help="Column of the tags; -1 is the last.")] = None,
    language_prefix: Annotated[
        bool, typer.Option(help="Words have their language in front, as in de:Wort (with named columns).")
    ] = False,
    repair: Annotated[
        bool, typer.Option(help="Make illegal tag sequences legal, count the changes and list them beside the output.")
    ] = False,
    sentences: Annotated[
        int, typer.Option(help="Take so many sentences, shuffled with the seed; 0 for all, in order.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Seed of that shuffle, the one of datasets.Dataset.shuffle.")] = 0,
) -> None:
    """Convert column files to one .spacy file, one document a sentence, and say what went in.

    Separators, index columns, language prefixes and the scheme (IOB1, IOB2, BIOES, BILUO) are found out.
    What is wrong with a file is said with its line, and then nothing is written.
    """
    if len(sources) < 2:
        raise typer.BadParameter("Give at least one source and the file to write.")
    if separator is not None and separator not in SEPARATORS:
        raise typer.BadParameter("--separator is 'tab' or 'blank'.")
    layout = None
    if (separator, word_column, tag_column) != (None, None, None) or language_prefix:
        layout = Layout(
            SEPARATORS[separator or "tab"],
            0 if word_column is None else word_column,
            -1 if tag_column is None else tag_column,
            language_prefix,
        )
    target = sources[-1]
    with plain_errors():
        conversion = convert(
            sources[:-1],
            target,
            split=split,
            language=language,
            layout=layout,
            scheme=scheme,
            encoding=encoding,
            repair=repair,
            sentences=sentences,
            seed=seed,
        )
    show(conversion, target)


def show(conversion: Conversion, target: Path) -> None:
    """Print what a corpus is made of."""
    table = Table(title=str(target), title_justify="left")
    for column in ("Docs", "Words", "Entities", *sorted(conversion.labels), "Languages", "Scheme"):
        table.add_column(column, justify="right")
    table.add_row(
        f"{conversion.docs:,}",
        f"{conversion.words:,}",
        f"{conversion.entities:,}",
        *(f"{conversion.labels[label]:,}" for label in sorted(conversion.labels)),
        " ".join(f"{language} {count:,}" for language, count in sorted(conversion.languages.items())),
        " ".join(sorted(conversion.schemes)),
    )
    out.print(table)
    if conversion.left_out:
        out.print(f"{conversion.left_out:,} sentences were left out by --sentences.")
    if conversion.document_starts:
        out.print(f"{conversion.document_starts:,} -DOCSTART- lines are no words and were passed over.")
    if conversion.repairs:
        out.print(
            f"[yellow]{len(conversion.repairs):,} tags were repaired; they are listed in {repairs_path(target)}[/]"
        )


if __name__ == "__main__":
    typer.run(main)
