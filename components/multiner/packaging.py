"""From a trained pipeline to wheels that others install, and the proof that they work elsewhere."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

from .errors import UserError

# Runs in the new environment: no sockets, then load the pipeline by name and annotate.
PROBE = """
import json, socket, sys

def refuse(*arguments, **options):
    raise OSError("the network is switched off for this check")

socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = refuse

import spacy

nlp = spacy.load(sys.argv[1])
for language, text in json.loads(sys.argv[2]).items():
    doc = nlp(text)
    found = doc.spans["ner"]
    sure = found.attrs["scores"]
    entities = [[entity.text, entity.label_, round(float(score), 3)] for entity, score in zip(found, sure)]
    print(json.dumps({"language": language, "text": text, "entities": entities}, ensure_ascii=False))
"""


class PackagingError(UserError, RuntimeError):
    """A wheel could not be built, installed or used; the message has what the failing program said."""


def build_wheels(model: Path, card: Path, packages: Path, *, library_source: Path) -> list[Path]:
    """Build the pipeline's wheel and the library's, side by side, so that `pip install --find-links` finds both.

    model (Path): The trained pipeline's folder, which stays as it is.
    card (Path): A folder that `model_card.write_card` wrote: its meta.json, which has name and version too, and its
        README.md go into the pipeline's wheel.
    library_source (Path): The folder of the library's setup.cfg.
    RETURNS: The paths of the two wheels.
    RAISES: PackagingError; FileNotFoundError without a card.
    """
    meta, readme = card / "meta.json", card / "README.md"
    for needed in (meta, readme):
        if not needed.exists():
            raise FileNotFoundError(f"There is no {needed}. Write the model card first: scripts/report.py.")
    packages.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=packages, prefix=".building") as scratch:
        built = Path(scratch)
        run(
            *[sys.executable, "-m", "spacy", "package", model, built],
            *["--build", "none", "--force", "--meta-path", meta],
        )
        for generated in built.rglob("README.md"):
            shutil.copy(readme, generated)
        # A copy is built from, so that setuptools leaves no build folder in the project.
        source = built / "library"
        shutil.copytree(
            library_source / "components",
            source / "components",
            ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"),
        )
        for file in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(library_source / file, source)
        (pipeline,) = (setup.parent for setup in built.glob("*/setup.py"))
        options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", built]
        # Trained weights hardly compress, and trying takes longer than all the rest.
        options += ["--config-settings", "--build-option=--compression=stored"]
        run(sys.executable, "-m", "pip", "wheel", *options, pipeline, source)
        wheels = []
        for wheel in sorted(built.rglob("*.whl")):
            wheels.append(packages / wheel.name)
            wheel.replace(wheels[-1])
    if len(wheels) != 2:
        raise PackagingError(f"Expected two wheels, got {[wheel.name for wheel in wheels]}.")
    return wheels


def verify_wheels(
    packages: Path, package: str, version: str, sentences: dict[str, str], constraints: Path
) -> list[dict[str, Any]]:
    """Install a pipeline as a stranger would, and use it: new environment, other folder, no network at load.

    package (str): The pipeline's package, for example "xx_multiner_sample".
    sentences (dict): A sentence for each language.
    constraints (Path): The versions to install of everything else.
    RETURNS: For each sentence its language, text and entities (text, label, confidence).
    RAISES: PackagingError when installing or loading fails, or no sentence has an entity.
    """
    with tempfile.TemporaryDirectory(prefix="multiner-verify-") as scratch:
        folder = Path(scratch)
        # pip works on the new environment from outside, which spares installing a second one in it.
        venv.create(folder / "venv")
        python = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
        run(
            *[sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile"],
            *["--find-links", packages.resolve(), "--constraint", constraints.resolve(), f"{package}=={version}"],
            cwd=folder,
        )
        offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
        output = run(python, "-c", PROBE, package, json.dumps(sentences), cwd=folder, environment=offline)
    results = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    if not any(result["entities"] for result in results):
        raise PackagingError(f"The installed pipeline '{package}' found no entity in {len(sentences)} sentences.")
    return results


def run(*command: object, cwd: Path | None = None, environment: dict[str, str] | None = None) -> str:
    """Run a program and return what it printed.

    RAISES: PackagingError with its output if it fails.
    """
    # Nothing of this environment may leak into another one.
    inherited = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**inherited, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise PackagingError(
            f"{' '.join(map(str, command[:6]))} ... failed:\n{result.stdout[-3000:]}{result.stderr[-3000:]}"
        )
    return result.stdout
