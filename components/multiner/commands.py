"""The command `multiner`: what people do with a pipeline that is trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from .console import err, out, plain_errors

if TYPE_CHECKING:
    from .annotate import Outcome, Step, Watch
    from .engines import Engine

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)
MODEL = "A pipeline: a folder, or the name of an installed package."


@app.callback()
def main() -> None:
    """Find named entities in documents with a trained pipeline, or show it on a page."""


@app.command()
def annotate(
    model: Annotated[str, typer.Argument(help=MODEL)],
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT... OUTPUT",
            help="Files, folders, patterns in quotes ('data/**/*.csv') or - for the standard input; then the folder to "
            "write to. It is a new one, or that of a run to go on with.",
        ),
    ],
    text: Annotated[str, typer.Option(help="The column or field that has the text.")] = "text",
    read: Annotated[
        str | None,
        typer.Option(
            help="What the input is: text (a file is a document), lines (a line is one), jsonl, csv, parquet, docbin. "
            "Else the names of files tell (.txt .jsonl .csv .tsv .parquet .spacy), and standard input is lines."
        ),
    ] = None,
    format: Annotated[str, typer.Option(help="What is written: jsonl, parquet or docbin.")] = "jsonl",
    into: Annotated[str, typer.Option(help="The name of the new column, in a DocBin of the spans.")] = "entities",
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Leave out entities of less confidence than this.")
    ] = 0.0,
    labels: Annotated[str, typer.Option(help="Only entities of these types: PER,LOC.")] = "",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Documents that the pipeline gets at once; by default its own setting.")
    ] = None,
    gpu_id: Annotated[int, typer.Option(help="GPU to use; -1 for the CPU.")] = -1,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes, among which the cores are divided; each loads the pipeline.")
    ] = 1,
    shard: Annotated[
        int, typer.Option(min=1, help="Documents in a file of the output. A run goes on by files.")
    ] = 5000,
    engine: Annotated[
        str, typer.Option(help="local, or ray for --workers actors on a Ray cluster; the result is the same.")
    ] = "local",
    cpus: Annotated[float, typer.Option(min=0.01, help="Ray: cores of each worker.")] = 1,
    gpus: Annotated[float, typer.Option(min=0.0, help="Ray: GPUs of each worker; two share one with 0.5.")] = 0,
    address: Annotated[
        str | None, typer.Option(help="Ray: the cluster; else that of RAY_ADDRESS, or this machine.")
    ] = None,
) -> None:
    """Write the entities of many documents to the folder OUTPUT, with all other columns as they were.

    Each entity has its first character, the one after its last, label, text and confidence. OUTPUT gets
    part-00000.jsonl and so on (join them with cat, or read the folder), _rejects.jsonl for rows that could not be
    read, with line and reason, and _manifest.json, which says of what input, model and settings it is. If a run is
    stopped or killed, run the same command again: it goes on, and what comes out is the same.
    """
    if len(inputs) < 2:
        raise typer.BadParameter("Name what to read and then the folder to write to.")
    with plain_errors():
        from .annotate import annotate as run
        from .annotator import Settings

        settings = Settings(
            threshold=threshold,
            labels=tuple(label.strip() for label in labels.split(",") if label.strip()),
            batch_size=batch_size,
            format=format,
            text_column=text,
            entities_column=into,
            shard_documents=shard,
        )
        output = Path(inputs[-1])
        chosen = _engine(engine, workers, gpu_id, cpus, gpus, address)
        with _progress() as watch:
            outcome = run(model, inputs[:-1], output, settings, kind=read, engine=chosen, gpu_id=gpu_id, watch=watch)
    _show(outcome, output)


@app.command()
def demo(
    models: Annotated[list[str], typer.Argument(metavar="MODEL [MODEL]", help=f"{MODEL} Two are shown side by side.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where the page is: http://localhost:PORT")] = 8501,
    address: Annotated[
        str, typer.Option(help="Who can see it: this machine (localhost), or whoever reaches it (0.0.0.0).")
    ] = "localhost",
) -> None:
    """Show on a page what a pipeline finds in a text, and how sure it is.

    Everything stays on this machine, and nothing is fetched from others. Ctrl+C ends it.
    """
    if len(models) > 2:
        raise typer.BadParameter("Two pipelines fit side by side, not more.")
    with plain_errors():
        from .demo import serve

        serve(models, port=port, address=address)


def _engine(name: str, workers: int, gpu_id: int, cpus: float, gpus: float, address: str | None) -> "Engine":
    from .engines import in_processes, in_this_process

    if name == "ray":
        from .ray_engine import on_ray

        if gpu_id >= 0:
            raise typer.BadParameter("Ray chooses the GPUs: say --gpus 1, or a part of one, and not --gpu-id.")
        return on_ray(workers, cpus=cpus, gpus=gpus, address=address)
    if name != "local":
        raise typer.BadParameter(f"'{name}' is no engine: say local or ray.")
    return in_this_process if workers == 1 else in_processes(workers)


@contextmanager
def _progress() -> "Iterator[Watch]":
    """Show documents, words/s, and the time left where the size of the input is known."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("loading", total=None)

        def watch(step: "Step") -> None:
            now, before = step.totals, step.before
            speed = (now.words - before.words) / (progress.tasks[task].elapsed or 1)
            rejected = f", {now.rejected:,} rejected" if now.rejected else ""
            progress.update(
                task,
                description=f"{now.documents:,} documents{rejected}, {speed:,.0f} words/s",
                total=1.0 if step.share else None,
                completed=step.share,
            )

        yield watch


def _show(outcome: "Outcome", output: Path) -> None:
    totals, before = outcome.totals, outcome.before
    lines = []
    if totals == before:
        lines.append(f"{output} was finished already, of this input, model and settings; nothing was done.")
    elif before.shards:
        lines.append(f"Went on after {before.documents:,} documents in {before.shards:,} files that were finished.")
    if outcome.passed_over:
        kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in outcome.passed_over.items())
        lines.append(f"[yellow]Files of other kinds were passed over: {escape(kinds)}.[/]")
    if totals.blank:
        lines.append(f"Empty lines, which are no documents: {totals.blank:,}.")
    if totals.rejected:
        lines.append(
            f"[yellow]Rows that could not be read: {totals.rejected:,}, listed in {output / '_rejects.jsonl'}[/]"
        )
    lines.append(
        f"[green]✔[/] {output}: {totals.documents:,} documents, {totals.words:,} words, {totals.entities:,} entities "
        f"in {totals.shards:,} {'file' if totals.shards == 1 else 'files'}"
    )
    out.print("\n".join(lines), soft_wrap=True)
