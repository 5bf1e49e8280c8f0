"""Train with settings changed one by one, several seeds each, and see on dev what each of them is worth."""

from pathlib import Path
from typing import Annotated

import typer

from multiner.ablation import Run, ablation_table, describe_ablation, list_runs, make_runs, read_ablation
from multiner.console import err, out, plain_errors, say_written
from multiner.devices import prepare_device
from multiner.files import write_json
from multiner.tables import show


def main(
    ablation: Annotated[Path, typer.Argument(help="What is compared: a .toml of configs/ablation/.", exists=True)],
    work: Annotated[Path, typer.Option(help="Where the scores of finished runs are kept.")] = Path("training/ablation"),
    output: Annotated[
        Path | None, typer.Option(help="Where the figures go as JSON; metrics/ablation-NAME.json if not said.")
    ] = None,
    gpu_id: Annotated[int, typer.Option(help="GPU to train on; -1 for the CPU.")] = -1,
) -> None:
    """Train with settings changed one by one, several seeds each, and print what each is worth on dev.

    A run that is finished is kept by the hash of corpora, settings, encoder and code, and not made again: after a kill
    the same command goes on with the run that was not finished. No test data is looked at.

    Example: ablate.py configs/ablation/wnut17.toml
    """
    with plain_errors():
        prepare_device(gpu_id)
        compared = read_ablation(ablation)
        runs = list_runs(compared)
        numbers = {(run.variant, run.seed): number for number, run in enumerate(runs, 1)}

        def tell(run: Run) -> None:
            err.print(f"{numbers[run.variant, run.seed]} of {len(runs)}: {run.variant}, seed {run.seed}")

        report = describe_ablation(compared, make_runs(runs, work, tell, gpu_id))
        file = output or Path(f"metrics/ablation-{compared.name}.json")
        write_json(report, file)
    show([ablation_table(report)], out)
    say_written(file)


if __name__ == "__main__":
    typer.run(main)
