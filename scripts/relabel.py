"""Bring corrected labels back into a corpus."""

from pathlib import Path
from typing import Annotated

import typer

from multiner.console import out, plain_errors
from multiner.relabelling import relabel


def main(
    corpus: Annotated[Path, typer.Argument(help="The .spacy file, or the folder of them, that was analysed.")],
    corrected: Annotated[Path, typer.Argument(help="relabel.jsonl of scripts/analyze.py, with corrected 'tags'.")],
    output: Annotated[Path, typer.Argument(help="Where the corrected corpus goes.")],
) -> None:
    """Write a corpus anew with the tags that people corrected; words, blanks, languages and sources stay.

    Each line of the file is a sentence: correct its "tags", leave the rest, delete lines as you like. The tags that
    the model would give stand in "suggested", and why it was chosen in "doubts".

    Example: relabel.py corpus/mine.spacy/train.spacy relabel.jsonl corpus/mine.spacy/train-corrected.spacy
    """
    with plain_errors():
        done = relabel(corpus, corrected, output)
    out.print(
        f"{done.sentences:,} sentences, {done.looked_at:,} of them in {corrected}; there {done.changed_words:,} words "
        f"in {done.changed_sentences:,} sentences got another tag.\n[green]✔[/] {output}"
    )


if __name__ == "__main__":
    typer.run(main)
