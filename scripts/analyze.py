"""Find out where a pipeline fails, and write a report that people look at."""

from pathlib import Path
from typing import Annotated

import typer

from multiner.analysis import RELABEL, analyse_files
from multiner.console import out, plain_errors, say_written, watched
from multiner.devices import prepare_device
from multiner.evaluation import RESAMPLES
from multiner.report_tables import analysis_tables, score_tables, sentence_tables
from multiner.tables import show


def main(
    model: Annotated[str, typer.Argument(help="A folder with a pipeline, or the name of an installed one.")],
    data: Annotated[Path, typer.Argument(help="A .spacy file, or a folder of them.")],
    output: Annotated[Path, typer.Option(help="The folder for the report.")] = Path("metrics/analysis"),
    train: Annotated[
        Path | None, typer.Option(help="What it was trained on: tells seen entities from unseen ones.")
    ] = None,
    sentences: Annotated[int, typer.Option(min=0, help="Worst sentences to print; the report has more.")] = 3,
    rows: Annotated[int, typer.Option(min=1, help="Rows of a table to print; the report has all.")] = 10,
    relabel: Annotated[int, typer.Option(min=0, help="Sentences to write for labelling again.")] = RELABEL,
    resamples: Annotated[
        int, typer.Option(min=100, help="How often sentences are drawn anew for intervals.")
    ] = RESAMPLES,
    seed: Annotated[int, typer.Option(help="Of that drawing, and of the random sentences.")] = 0,
    gpu_id: Annotated[int, typer.Option(help="GPU to use; -1 for the CPU.")] = -1,
) -> None:
    """Predict once; print and write scores, kinds of error, losses of words, tags and sentences, likely label errors.

    The folder gets report.html (one file, opens without a network), report.md, the figures as analysis.json, the
    sentences shown as sentences.jsonl, and relabel.jsonl: sentences whose annotation should be looked at again, which
    scripts/relabel.py brings back.

    Example: analyze.py training/mine/model-best corpus/mine.spacy/dev.spacy --train corpus/mine.spacy/train.spacy
    """
    with plain_errors(), watched() as watch:
        prepare_device(gpu_id)
        report, files = analyse_files(
            model, data, output, train=train, resamples=resamples, seed=seed, relabel=relabel, watch=watch
        )
    found = [*score_tables(report["scores"]), *analysis_tables(report)]
    show((table._replace(rows=table.rows[:rows]) for table in found), out)
    show(sentence_tables(report, sentences), out)
    if report["without_losses"]:
        out.print(report["without_losses"])
    say_written(*files)


if __name__ == "__main__":
    typer.run(main)
