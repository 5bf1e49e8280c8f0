"""Install a packaged pipeline as a stranger would, and use it."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from multiner.console import out, plain_errors
from multiner.files import write_json
from multiner.packaging import verify_wheels

PROJECT = Path(__file__).parent.parent


def main(
    packages: Annotated[Path, typer.Argument(help="The folder with both wheels.")],
    package: Annotated[str, typer.Argument(help="The pipeline's package, for example xx_multiner_sample.")],
    version: Annotated[str, typer.Argument(help="Its version.")],
    output: Annotated[Path, typer.Option(help="Where the entities go as JSON.")] = Path("metrics/verified.json"),
    sentences: Annotated[Path, typer.Option(help="JSON: a sentence for each language.")] = PROJECT
    / "corpus/verify.json",
) -> None:
    """Install both wheels into a new environment, load the pipeline by name without network, print entities."""
    with plain_errors():
        texts = json.loads(sentences.read_text(encoding="utf8"))
        results = verify_wheels(packages, package, version, texts, PROJECT / "constraints.txt")
        write_json({"package": package, "version": version, "results": results}, output)
    for result in results:
        line = Text(f"  {result['language']}  {result['text']}")
        for text, label, score in result["entities"]:
            line.append(f"\n        {text}", style="bold cyan").append(f"  {label}  {score:.2f}")
        out.print(line)
    out.print(f"[green]✔[/] {package} {version} works in a new environment, in another folder, without network")


if __name__ == "__main__":
    typer.run(main)
