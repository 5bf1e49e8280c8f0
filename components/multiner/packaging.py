"""From a trained pipeline to wheels that others install, and the proof that they work elsewhere."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .catalog import SOURCES, Source
from .errors import UserError
from .files import write_json

LIBRARY = "spacy-multiner"
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


def describe_model(model: Path, corpus: str, scores: Path, *, data_license: str = "") -> dict[str, Any]:
    """What a pipeline's package should say of itself, with data, licence and scores, in the form of `meta.json`.

    A model inherits the conditions of the data that it was trained on, so its licence is the data's.

    model (Path): A folder that `spacy train` wrote.
    corpus (str): Name of the training corpus, one of `multiner.catalog.SOURCES` or any other.
    scores (Path): A report of `multiner.evaluation.evaluate` as JSON.
    data_license (str): Licence of a corpus that is not among `SOURCES`.
    RAISES: FileNotFoundError when the model or the report is not there.
    """
    source = SOURCES.get(corpus, Source(corpus, "", data_license or "unknown"))
    path = model / "meta.json"
    for needed in (path, scores):
        if not needed.exists():
            raise FileNotFoundError(f"There is no {needed}. Train and evaluate the pipeline first.")
    meta: dict[str, Any] = json.loads(path.read_text(encoding="utf8"))
    report = json.loads(scores.read_text(encoding="utf8"))
    meta["description"] = f"Named entities ({', '.join(_labels(meta))}), trained with {LIBRARY} on {source.name}"
    meta["license"] = source.license
    meta["sources"] = [asdict(source)]
    meta["performance"] = {
        **report["spacy"],
        "seqeval_default_f1": report["default"]["micro"]["f1"],
        "seqeval_strict_f1": report["strict"]["micro"]["f1"],
        "raw_text_f1": report["raw_text"]["f1"],
        "test_docs": report["docs"],
        "by_language": report["by_language"],
    }
    return meta


def _labels(meta: dict[str, Any]) -> list[str]:
    return sorted({label for labels in meta.get("labels", {}).values() for label in labels})


def build_wheels(
    model: Path, meta: dict[str, Any], packages: Path, *, name: str, version: str, library_source: Path
) -> list[Path]:
    """Build the pipeline's wheel and the library's, side by side, so that `pip install --find-links` finds both.

    model (Path): The trained pipeline's folder, which stays as it is.
    meta (dict): What `describe_model` gave.
    library_source (Path): The folder of the library's setup.cfg.
    RETURNS: The paths of the two wheels.
    RAISES: PackagingError.
    """
    packages.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=packages, prefix=".building") as scratch:
        built = Path(scratch)
        write_json(meta, built / "meta.json")
        run(
            *[sys.executable, "-m", "spacy", "package", model, built, "--name", name, "--version", version],
            *["--build", "none", "--force", "--meta-path", built / "meta.json"],
        )
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
