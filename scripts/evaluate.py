"""Evaluate a pipeline on annotated documents."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from multiner.console import out, percent, plain_errors
from multiner.devices import prepare_device
from multiner.evaluation import MODES, Report, evaluate_files
from multiner.files import write_json


def main(
    model: Annotated[str, typer.Argument(help="A folder with a pipeline, or the name of an installed one.")],
    data: Annotated[Path, typer.Argument(help="A .spacy file, or a folder of them.")],
    output: Annotated[Path, typer.Option(help="Where the scores go as JSON.")] = Path("metrics/scores.json"),
    gpu_id: Annotated[int, typer.Option(help="GPU to use; -1 for the CPU.")] = -1,
) -> None:
    """Print precision, recall, F1 and support by seqeval (default and strict), spaCy's scores, and F1 on raw text.

    All but the last are on the corpus's own words. All of it is written as JSON, with the machine it ran on.
    """
    with plain_errors():
        prepare_device(gpu_id)
        report = evaluate_files(model, data)
        write_json(report, output)
    show(report)
    out.print(f"\n[green]✔[/] {output}")


def show(report: Report) -> None:
    """Print the scores as tables."""
    for mode, title in MODES.items():
        table = Table(title=title, title_justify="left")
        for column in ("Type", "Precision", "Recall", "F1", "Support"):
            table.add_column(column, justify="left" if column == "Type" else "right")
        scores = report[mode]
        averages = {f"{name} average": scores[name] for name in ("micro", "macro", "weighted")}
        for number, (name, row) in enumerate([*scores["per_type"].items(), *averages.items()]):
            if number == len(scores["per_type"]):
                table.add_section()
            table.add_row(name, *(percent(row[key]) for key in ("precision", "recall", "f1")), f"{row['support']:,}")
        out.print(table)
    spacy, raw = report["spacy"], report["raw_text"]
    out.print(
        f"spaCy ents_p {percent(spacy['ents_p'])}, ents_r {percent(spacy['ents_r'])}, ents_f {percent(spacy['ents_f'])}"
    )
    out.print(
        f"Raw text, tokenised by the pipeline: precision {percent(raw['precision'])}, recall {percent(raw['recall'])}, "
        f"F1 {percent(raw['f1'])}"
    )
    if report["calibration_error"] is not None:
        out.print(f"Confidences: expected calibration error {percent(report['calibration_error'])} points")
    for language, row in report["by_language"].items():
        out.print(
            f"  {language}: strict F1 {percent(row['strict_f1'])}, raw text F1 {percent(row['raw_text_f1'])}, "
            f"{row['support']:,} entities in {row['docs']:,} sentences"
        )
    out.print(f"{report['docs']:,} documents, {report['words']:,} words, {report['words_per_second']:,} words/s")


if __name__ == "__main__":
    typer.run(main)
