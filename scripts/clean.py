"""Remove what the project's commands made."""

from pathlib import Path
from typing import Annotated

import typer

from multiner.console import out, plain_errors
from multiner.files import remove_folders


def main(folders: Annotated[list[Path], typer.Argument(help="Folders to remove, inside the project.")]) -> None:
    """Remove generated folders, and say what was removed."""
    with plain_errors():
        for folder in remove_folders(folders, Path.cwd()):
            out.print(f"removed {folder}")


if __name__ == "__main__":
    typer.run(main)
