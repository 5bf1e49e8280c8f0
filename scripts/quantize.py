"""Have a trained pipeline compute in int8, if it finds what it found."""

from pathlib import Path
from typing import Annotated

import typer

from multiner.console import err, out, plain_errors, say_written
from multiner.figures import keep_figures
from multiner.quantising import MOST_LOSS, quantise, quantising_table
from multiner.tables import show


def main(
    model: Annotated[str, typer.Argument(help="The trained pipeline: a folder, or the name of an installed package.")],
    corpus: Annotated[
        Path, typer.Argument(help="A .spacy file that it was not trained on, to count what is lost; the dev part.")
    ],
    output: Annotated[Path, typer.Argument(help="Folder for the pipeline in int8.")],
    most_loss: Annotated[float, typer.Option(min=0, help="The most points of F1 that may be lost.")] = 100 * MOST_LOSS,
    report: Annotated[Path | None, typer.Option(help="A file for the figures, as JSON.")] = None,
) -> None:
    """Write a copy of a pipeline whose encoder multiplies in int8, which processors with AVX2 do faster.

    How much faster is printed; docs/speed.md has measurements. With VNNI weights have eight bits, without it seven, so
    measure on a machine like the one that will use it.
    It is made only if F1 stays. Layers that lose too much stay in floating point, and if that does not help nothing is
    written. Where a processor cannot, the copy computes in floating point as the original.

    Example: quantize.py training/sample/model-best corpus/sample.spacy/dev.spacy training/fast
    """
    with plain_errors():
        with err.status("Measuring in floating point and in int8"):
            figures = quantise(model, output, corpus, most_loss / 100)
        if report is not None:
            keep_figures(figures, report)
    show([quantising_table(figures)], out)
    say_written(output)


if __name__ == "__main__":
    typer.run(main)
