"""Count what a corpus is made of, and what in it makes scores look better or worse than they are."""

from pathlib import Path
from typing import Annotated

import typer

from multiner.console import out, plain_errors, say_written, watched
from multiner.pictures import check_matplotlib
from multiner.statistics import describe_corpus, load_cutting
from multiner.statistics_tables import tables, write_statistics
from multiner.tables import show


def main(
    corpus: Annotated[
        Path, typer.Argument(help="Folder with train.spacy, dev.spacy and test.spacy, each a file or a folder.")
    ],
    encoder: Annotated[Path | None, typer.Option(help="Folder of an encoder, to count its pieces.")] = None,
    window: Annotated[
        int, typer.Option(min=8, help="The most pieces that the encoder reads at once, special ones included.")
    ] = 256,
    output: Annotated[Path, typer.Option(help="Folder for stats.md, stats.json and pictures.")] = Path("metrics/stats"),
) -> None:
    """Print and write statistics of a corpus.

    Sentences, words, entities by type and length, languages; entities that train does not have, sentences in two
    splits, forms that are annotated now so and now otherwise; pieces of words and sentences with an encoder.
    """
    with plain_errors():
        check_matplotlib()
        cutting = load_cutting(encoder, window) if encoder else None
        with watched() as watch:
            report = describe_corpus(corpus, cutting, watch)
        files = write_statistics(report, output)
    show(tables(report), out)
    say_written(*files)


if __name__ == "__main__":
    typer.run(main)
