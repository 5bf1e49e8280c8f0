"""Train a pipeline so that it may be killed and goes on."""

from pathlib import Path
from typing import Annotated

import multiner.rank_processes  # isort: skip  # noqa: F401 - before anything looks for GPUs

import typer
from spacy.cli._util import show_validation_error
from spacy.training.initialize import init_nlp
from spacy.util import load_config

from multiner.console import plain_errors, settings_among
from multiner.devices import prepare_device
from multiner.loop import train


def main(
    context: typer.Context,
    config: Annotated[Path, typer.Argument(help="The config, as for `spacy train`.", exists=True)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the pipelines and checkpoints.")],
    resume: Annotated[
        bool, typer.Option(help="Go on from the last checkpoint in the folder, or begin if there is none yet.")
    ] = False,
    checkpoint_steps: Annotated[
        int, typer.Option(min=0, help="Write a checkpoint after so many steps too, not only after each evaluation.")
    ] = 200,
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU to train on; -1 for the CPU.")] = -1,
) -> None:
    """Train as `spacy train` does, with the same config, options that override it, and results.

    The model with the best score on dev goes to OUTPUT/model-best, the last one to OUTPUT/model-last. While training
    lasts there are checkpoints in OUTPUT/checkpoint: after a kill the same command with --resume goes on from the last
    one, and ends with the weights of a run that was never killed.
    """
    with plain_errors():
        prepare_device(gpu_id)
        with show_validation_error(config):
            settings = load_config(config, overrides=settings_among(context.args), interpolate=False)
        with show_validation_error(config, hint_fill=False):
            nlp = init_nlp(settings, use_gpu=gpu_id)
        train(nlp, output, resume=resume, checkpoint_steps=checkpoint_steps, use_gpu=gpu_id)


app = typer.Typer(add_completion=False, rich_markup_mode=None)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(main)

if __name__ == "__main__":
    app()
