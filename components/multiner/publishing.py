"""A packaged pipeline as a repository of the Hugging Face hub: wheels, model card, metadata.

Who may write there is known to huggingface_hub alone, from `HF_TOKEN` or `hf auth login`; no token passes through here.
"""

import json
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Protocol

import srsly

from .errors import UserError
from .files import new_folder

METADATA = ("meta.json", "config.cfg")


class PublishingError(UserError, RuntimeError):
    """There is nothing to publish, or the hub does not take it."""


class Hub(Protocol):
    """What is used of `huggingface_hub.HfApi`."""

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> Any:
        """Make a repository, if there is none."""

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> Any:
        """Make a commit of all files in a folder."""


def write_repository(packages: Path, package: str, repository: str, folder: Path) -> list[Path]:
    """Write the folder that is uploaded: wheels, `README.md`, `meta.json` and `config.cfg`.

    packages (Path): Where the wheels of pipeline and library are, as scripts/package.py writes them.
    package (str): The pipeline's package, for example "xx_multiner_sample".
    repository (str): The repository's name, as in "someone/xx_multiner_sample"; the model card has it.
    folder (Path): What stands there is replaced.
    RETURNS: The files.
    RAISES: PublishingError if there is no wheel of the pipeline, more than one, or none of the library.
    """
    pipeline = _only_wheel(packages, package)
    library = _only_wheel(packages, "spacy_multiner")
    with new_folder(folder) as unfinished:
        for wheel in (pipeline, library):
            shutil.copy(wheel, unfinished)
        with zipfile.ZipFile(pipeline) as content:
            for name in METADATA:
                (inside,) = (each for each in content.namelist() if each.count("/") == 2 and each.endswith(f"/{name}"))
                (unfinished / name).write_bytes(content.read(inside))
        meta = json.loads((unfinished / "meta.json").read_text(encoding="utf8"))
        card = model_card(meta, repository, pipeline.name, library.name)
        (unfinished / "README.md").write_text(card, encoding="utf8")
    return sorted(folder.iterdir())


def publish(packages: Path, package: str, repository: str, hub: Hub, *, private: bool = False) -> str:
    """Upload a packaged pipeline in one commit.

    hub (Hub): `huggingface_hub.HfApi()`, or something like it.
    private (bool): Whether a repository that is made now is seen by its owner alone.
    RETURNS: The address of the commit.
    RAISES: PublishingError, see `write_repository`, and where the hub refuses.
    """
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    with tempfile.TemporaryDirectory(prefix="multiner-publish-") as scratch:
        folder = Path(scratch) / "repository"
        write_repository(packages, package, repository, folder)
        version = json.loads((folder / "meta.json").read_text(encoding="utf8"))["version"]
        try:
            hub.create_repo(repository, private=private, exist_ok=True)
            commit = hub.upload_folder(
                repo_id=repository, folder_path=str(folder), commit_message=f"{package} {version}"
            )
        except (HfHubHTTPError, LocalTokenNotFoundError, OSError) as error:
            raise PublishingError(
                f"The hub does not take {repository}: {error} Log in with `hf auth login`, or set HF_TOKEN to a token "
                "that may write there."
            ) from error
    return str(getattr(commit, "commit_url", commit))


def model_card(meta: dict[str, Any], repository: str, pipeline: str, library: str) -> str:
    """The model card: metadata for the hub's search, how to install, what it finds, how well, and of what data.

    meta (dict): The pipeline's `meta.json`, as `multiner.packaging.describe_model` makes it.
    pipeline, library (str): The names of the wheels.
    """
    scores = meta.get("performance", {})
    name = f"{meta['lang']}_{meta['name']}"
    labels = sorted({label for labels in meta.get("labels", {}).values() for label in labels})
    sources = [source["name"] for source in meta.get("sources") or []]
    metrics = [
        {"name": title, "type": kind, "value": scores[key]}
        for title, kind, key in (
            ("Precision", "precision", "ents_p"),
            ("Recall", "recall", "ents_r"),
            ("F1", "f1", "ents_f"),
        )
        if scores.get(key) is not None
    ]
    task = {"name": "NER", "type": "token-classification"}
    header: dict[str, Any] = {
        "tags": ["spacy", "token-classification", "named-entity-recognition"],
        "library_name": "spacy",
        "license": _license(meta.get("license", "")),
        "model-index": [
            {
                "name": name,
                "results": [
                    {
                        "task": task,
                        "dataset": {"name": ", ".join(sources) or "unknown", "type": "other"},
                        "metrics": metrics,
                    }
                ],
            }
        ],
    }
    languages = sorted(scores.get("by_language", {})) or [meta["lang"]]
    if languages != ["xx"]:
        header["language"] = languages
    address = f"https://huggingface.co/{repository}/resolve/main"
    rows = "".join(f"| {title} | {100 * scores[key]:.1f} |\n" for title, key in SCORES if scores.get(key) is not None)
    return f"""---
{srsly.yaml_dumps(header).strip()}
---

# {name}

{meta.get("description", "")}. Version {meta["version"]}, spaCy {meta["spacy_version"]}.

    pip install {address}/{library} {address}/{pipeline}

```python
import spacy

nlp = spacy.load("{name}")
doc = nlp("Letzten Herbst zog Sabine Hollenweger von Wuppertal nach Chur.")
for entity, confidence in zip(doc.spans["ner"], doc.spans["ner"].attrs["scores"]):
    print(entity.text, entity.label_, f"{{confidence:.2f}}")
```

Labels: {", ".join(labels)}. Data: {", ".join(sources) or "unknown"}. Licence, which the model has from its data:
{meta.get("license") or "unknown"}.

| on {scores.get("test_docs", 0):,} test sentences | % |
|---|---|
{rows}"""


SCORES = (
    ("precision, exact entities", "ents_p"),
    ("recall, exact entities", "ents_r"),
    ("F1, exact entities", "ents_f"),
    ("F1, seqeval's default mode", "seqeval_default_f1"),
    ("F1 on raw text", "raw_text_f1"),
)


def _license(name: str) -> str:
    """The hub's identifier of a licence; "other" for what it has none for."""
    known = name.lower().replace(" ", "-")
    return (
        known if known in {"mit", "apache-2.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-sa-4.0", "cc0-1.0"} else "other"
    )


def _only_wheel(packages: Path, package: str) -> Path:
    wheels = sorted(packages.glob(f"{package}-*.whl"))
    if len(wheels) != 1:
        found = ", ".join(wheel.name for wheel in wheels) or "none"
        raise PublishingError(
            f"One wheel of {package} is wanted in {packages}, and there is {found}. Make it with scripts/package.py."
        )
    return wheels[0]
