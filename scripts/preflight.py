"""Look before a long run whether all it needs is there."""

from pathlib import Path
from typing import Annotated

import typer

from multiner.console import out, plain_errors
from multiner.devices import describe_device, prepare_device
from multiner.docbins import count_docs
from multiner.encoder import check_encoder_folder


def main(
    corpus: Annotated[Path, typer.Argument(help="Folder with train.spacy and dev.spacy.")],
    encoder: Annotated[Path, typer.Argument(help="Folder of the encoder.")],
    gpu_id: Annotated[int, typer.Option(help="GPU to train on; -1 for the CPU.")] = -1,
) -> None:
    """Fail early, with one sentence, where training would fail late."""
    with plain_errors():
        prepare_device(gpu_id)
        check_encoder_folder(encoder)
        sizes = {part: count_docs(corpus / f"{part}.spacy") for part in ("train", "dev")}
    out.print(f"[green]✔[/] {describe_device(gpu_id)}; encoder {encoder}")
    out.print(f"  {sizes['train']:,} sentences to learn from, {sizes['dev']:,} to choose the best epoch by")


if __name__ == "__main__":
    typer.run(main)
