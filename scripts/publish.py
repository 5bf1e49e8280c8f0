"""Upload a packaged pipeline to the Hugging Face hub."""

from pathlib import Path
from typing import Annotated

import typer

from multiner.console import err, out, plain_errors
from multiner.publishing import publish, write_repository


def main(
    packages: Annotated[Path, typer.Argument(help="The folder with both wheels, as scripts/package.py writes it.")],
    package: Annotated[str, typer.Argument(help="The pipeline's package, for example xx_multiner_sample.")],
    repository: Annotated[str, typer.Argument(help="Where it goes: OWNER/NAME. It is made if it is not there.")],
    private: Annotated[bool, typer.Option(help="A repository that is made now is seen by its owner alone.")] = False,
    dry_run: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write what would be uploaded to this folder, and stop.")
    ] = None,
) -> None:
    """Upload wheels, model card and metadata in one commit.

    Who may write there is known to huggingface_hub alone: log in with `hf auth login`, or set HF_TOKEN. No token is
    asked for, shown or written.
    """
    with plain_errors():
        if dry_run is not None:
            files = write_repository(packages, package, repository, dry_run)
            out.print("\n".join(f"{file} ({file.stat().st_size / 1e6:,.1f} MB)" for file in files), soft_wrap=True)
            return
        from huggingface_hub import HfApi

        with err.status(f"Uploading to {repository}"):
            commit = publish(packages, package, repository, HfApi(), private=private)
    out.print(f"[green]✔[/] {commit}", soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
