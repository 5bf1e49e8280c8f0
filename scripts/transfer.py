"""Train on some languages and read others: plan an experiment, run it, and show what came out."""

from pathlib import Path
from typing import Annotated

import typer

from multiner.console import err, out, plain_errors, say_written
from multiner.devices import describe_device, prepare_device
from multiner.files import write_json
from multiner.pictures import check_matplotlib
from multiner.tables import show
from multiner.transfer.material import Material
from multiner.transfer.outcome import describe_outcome, write_outcome
from multiner.transfer.plan import Setup, make_plan
from multiner.transfer.recipe import read_experiment
from multiner.transfer.runs import Pace, Store, cells_to_run, measure_pace, pace_so_far, run_plan
from multiner.transfer.scores import RESAMPLES
from multiner.transfer.tables import outcome_tables, plan_tables
from multiner.transfer.watching import Bars


def main(
    experiment: Annotated[Path, typer.Argument(help="What is trained and tested: a .toml of configs/transfer/.")],
    config: Annotated[Path, typer.Option(help="The config to train by.", exists=True)] = Path("configs/e5-small.cfg"),
    encoder: Annotated[Path, typer.Option(help="The encoder's folder, from scripts/encoder.py.")] = Path(
        "assets/e5-small"
    ),
    work: Annotated[
        Path, typer.Option(help="Where finished cells are kept; experiments may share it, and cells then.")
    ] = Path("training/transfer"),
    output: Annotated[
        Path | None, typer.Option(help="Folder for tables and pictures; metrics/transfer-NAME if not said.")
    ] = None,
    results: Annotated[Path | None, typer.Option(help="Write the JSON to this file too.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print the plan, and stop.")] = False,
    sentences_per_second: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="TRAINING TESTING", help="Speed, to estimate the time by; measured if not said."),
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Rows of a table to print; the Markdown has all.")] = 20,
    resamples: Annotated[
        int, typer.Option(min=100, help="How often sentences and seeds are drawn anew for intervals.")
    ] = RESAMPLES,
    seed: Annotated[int, typer.Option(help="Of that drawing.")] = 0,
    gpu_id: Annotated[int, typer.Option(help="GPU to train on; -1 for the CPU.")] = -1,
) -> None:
    """Train on each language, on several and on all; test on all; and see how many labels zero-shot is worth.

    First comes the plan: its cells, their sentences, and how long they take. A cell that is finished is kept by the
    hash of its sentences, settings, encoder and code, and is not run again; after a kill the same command goes on
    inside the cell that was running. At the end tables are printed, and written with pictures and all figures as JSON.

    Example: transfer.py configs/transfer/sample.toml --plan
    """
    with plain_errors():
        prepare_device(gpu_id)
        if not plan:
            check_matplotlib()
        recipe = read_experiment(experiment)
        store = Store(work)
        setup = Setup(recipe, Material(recipe, store.corpora), config, encoder)
        with err.status("reading corpora"):
            planned = make_plan(setup)
        waiting = cells_to_run(planned, store)
        pace = Pace(*sentences_per_second) if sentences_per_second else pace_so_far(planned, store)
        if waiting and pace is None:
            with err.status("measuring how fast it goes"):
                pace = measure_pace(planned[0], setup, gpu_id)
        show(plan_tables(planned, {each.key for each in waiting}, pace), out)
        out.print(f"{describe_device(gpu_id)}; cells are kept in {store.folder}")
        if plan:
            return
        with Bars(err) as watcher:
            run_plan(planned, setup, store, watcher, gpu_id)
        with err.status("drawing sentences anew"):
            report = describe_outcome(planned, setup, store, resamples=resamples, seed=seed)
        files = write_outcome(setup, report, output or Path(f"metrics/transfer-{recipe.name}"))
        if results:
            write_json(report, results)
            files.append(results)
    show((table._replace(rows=table.rows[:rows]) for table in outcome_tables(recipe, report)), out)
    say_written(*files)


if __name__ == "__main__":
    typer.run(main)
