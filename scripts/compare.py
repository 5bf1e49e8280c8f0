"""Compare pipelines on one test set: side by side, and by how much more than chance they differ."""

from pathlib import Path
from typing import Annotated

import typer

from multiner.comparison import compare_files, comparison_tables
from multiner.console import out, plain_errors, say_written, watched
from multiner.devices import prepare_device
from multiner.evaluation import RESAMPLES
from multiner.files import write_json
from multiner.tables import show


def main(
    data: Annotated[Path, typer.Argument(help="A .spacy file, or a folder of them.")],
    models: Annotated[
        list[str], typer.Argument(help="Two or more: folders with pipelines, or names of installed ones.")
    ],
    output: Annotated[Path, typer.Option(help="Where all of it goes as JSON.")] = Path("metrics/comparison.json"),
    resamples: Annotated[int, typer.Option(min=100, help="How often sentences are drawn anew.")] = RESAMPLES,
    seed: Annotated[int, typer.Option(help="Of that drawing.")] = 0,
    sentences: Annotated[int, typer.Option(min=0, help="Changed sentences to print; JSON has all.")] = 10,
    gpu_id: Annotated[int, typer.Option(help="GPU to use; -1 for the CPU.")] = -1,
) -> None:
    """Print scores with 95 % intervals, differences to the first pipeline with p-values, and what changed.

    Strict scores on the corpus's own words. The p-value of a paired bootstrap over sentences says how often chance
    alone would give a difference as large.

    Example: compare.py corpus/mine.spacy/test.spacy training/old/model-best training/new/model-best
    """
    if len(set(models)) < 2:
        raise typer.BadParameter("Give at least two different pipelines.")
    with plain_errors(), watched() as watch:
        prepare_device(gpu_id)
        report = compare_files(data, models, resamples=resamples, seed=seed, watch=watch)
        write_json(report, output)
    show(comparison_tables(report, sentences), out)
    say_written(output)


if __name__ == "__main__":
    typer.run(main)
