"""Evaluate a pipeline on annotated documents."""

from pathlib import Path
from typing import Annotated

import typer

from multiner.console import out, plain_errors, watched
from multiner.devices import prepare_device
from multiner.evaluation import RESAMPLES, evaluate_files
from multiner.files import write_json
from multiner.report_tables import score_tables
from multiner.tables import show


def main(
    model: Annotated[str, typer.Argument(help="A folder with a pipeline, or the name of an installed one.")],
    data: Annotated[Path, typer.Argument(help="A .spacy file, or a folder of them.")],
    output: Annotated[Path, typer.Option(help="Where the scores go as JSON.")] = Path("metrics/scores.json"),
    train: Annotated[
        Path | None, typer.Option(help="What it was trained on: tells seen entities from unseen ones.")
    ] = None,
    resamples: Annotated[
        int, typer.Option(min=100, help="How often sentences are drawn anew for intervals.")
    ] = RESAMPLES,
    seed: Annotated[int, typer.Option(help="Of that drawing.")] = 0,
    gpu_id: Annotated[int, typer.Option(help="GPU to use; -1 for the CPU.")] = -1,
) -> None:
    """Print and write every score: by seqeval, spaCy and nervaluate, by type, length and language, with intervals.

    Strict scores and their 95 % intervals; kinds of error, and which type became which; recall of seen and unseen
    entities; F1 on raw text, and what cannot be found there; calibration. All of it is written as JSON, with the
    machine it ran on.

    Example: evaluate.py training/mine/model-best corpus/mine.spacy/test.spacy --train corpus/mine.spacy/train.spacy
    """
    with plain_errors(), watched() as watch:
        prepare_device(gpu_id)
        report = evaluate_files(model, data, train=train, resamples=resamples, seed=seed, watch=watch)
        write_json(report, output)
    show(score_tables(report), out)
    out.print(
        f"{report['docs']:,} documents, {report['words']:,} words, {report['words_per_second']:,} words/s\n"
        f"[green]✔[/] {output}"
    )


if __name__ == "__main__":
    typer.run(main)
