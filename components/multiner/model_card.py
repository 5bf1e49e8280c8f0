"""What a pipeline says of itself: `meta.json`, and from that a README that people read before they use it.

Nothing in it is written by hand: data, licence and limits come from the catalogue, labels and examples from the
training corpus, scores from the evaluation, settings from the config, and the command from the project's lock file.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import srsly
from confection import Config
from jinja2 import Environment, PackageLoader
from spacy.vocab import Vocab

from .catalog import SOURCES, Source
from .docbins import LANGUAGE, read_docs
from .files import new_folder, write_json
from .tables import percent

Report = dict[str, Any]
LIBRARY = "spacy-multiner"
EXAMPLES = 5
# What of a config people ask for, and where it stands.
SETTINGS = {
    "encoder": "paths.encoder",
    "epochs": "system.epochs",
    "sentences in a batch": "training.batcher.size",
    "learning rate at its peak": "training.optimizer.learn_rate.peak",
    "dropout": "training.dropout",
    "seed": "system.seed",
}


def write_card(meta: Report, folder: Path) -> None:
    """Write meta.json and README.md into a folder, from which `packaging.build_wheels` takes them."""
    readme = readme_of(meta)
    with new_folder(folder) as unfinished:
        write_json(meta, unfinished / "meta.json")
        (unfinished / "README.md").write_text(readme, encoding="utf8")


def describe_model(
    model: Path,
    scores: Path,
    train: Path,
    corpus: str,
    *,
    name: str,
    version: str,
    data_license: str = "",
    lock: Path | None = None,
) -> Report:
    """What a pipeline's package should say of itself, in the form of `meta.json`.

    A model inherits the conditions of the data that it was trained on, so its licence is the data's.

    model (Path): A folder that `spacy train` wrote.
    scores (Path): A report of `multiner.evaluation.account` as JSON.
    train (Path): The corpus that it was trained on.
    corpus (str): The name of that, one of `multiner.catalog.SOURCES` or any other.
    name, version (str): Of the package, without the language.
    data_license (str): Licence of a corpus that is not among `SOURCES`.
    lock (Path | None): project.lock of the project that trained it, which has the commands.
    RAISES: FileNotFoundError when something is not there.
    """
    source = SOURCES.get(corpus, Source(corpus, "", data_license or "unknown"))
    path = model / "meta.json"
    for needed in (path, scores):
        if not needed.exists():
            raise FileNotFoundError(f"There is no {needed}. Train and evaluate the pipeline first.")
    meta: Report = json.loads(path.read_text(encoding="utf8"))
    report = json.loads(scores.read_text(encoding="utf8"))
    labels = sorted({label for found in meta.get("labels", {}).values() for label in found})
    data = describe_corpus(train)
    meta |= {"name": name, "version": version}
    meta["description"] = f"Named entities ({', '.join(labels)}), trained with {LIBRARY} on {source.name}"
    meta["license"] = source.license
    meta["sources"] = [asdict(source)]
    meta["label_examples"] = {label: data["examples"].get(label, []) for label in labels}
    meta["training"] = {
        "sentences": data["sentences"],
        "words": data["words"],
        "entities": data["entities"],
        "languages": data["languages"],
        "settings": _settings(model / "config.cfg"),
        "commands": training_commands(lock, model) if lock is not None else [],
    }
    meta["performance"] = {
        **report["spacy"],
        "seqeval_default_f1": report["default"]["micro"]["f1"],
        "seqeval_strict_f1": report["strict"]["micro"]["f1"],
        "raw_text_f1": report["raw_text"]["f1"],
        "type_blind_f1": report["type_blind"]["f1"],
        "intervals": report["intervals"],
        "per_type": report["strict"]["per_type"],
        "seen": report["seen"],
        "unreachable": {key: report["unreachable"][key] for key in ("entities", "of")},
        "calibration_error": report["calibration_error"],
        "words_per_second": report["words_per_second"],
        "machine": report["machine"],
        "test_data": report.get("data"),
        "test_docs": report["docs"],
        "by_language": report["by_language"],
    }
    return meta


def describe_corpus(path: Path) -> Report:
    """The size of a training corpus, and for each label its most frequent entities.

    RAISES: FileNotFoundError.
    """
    forms: defaultdict[str, Counter[str]] = defaultdict(Counter)
    languages: Counter[str] = Counter()
    sentences = words = 0
    for doc in read_docs(path, Vocab()):
        sentences += 1
        words += len(doc)
        languages[doc.user_data.get(LANGUAGE, "unknown")] += 1
        for entity in doc.ents:
            forms[entity.label_][entity.text] += 1
    return {
        "sentences": sentences,
        "words": words,
        "entities": {label: found.total() for label, found in sorted(forms.items())},
        "languages": dict(languages.most_common()),
        "examples": {label: _most_frequent(found) for label, found in sorted(forms.items())},
    }


def _most_frequent(forms: Counter[str]) -> list[str]:
    ranked = sorted(forms.items(), key=lambda form: (-form[1], form[0]))
    return [form for form, _ in ranked[:EXAMPLES]]


def _settings(config: Path) -> dict[str, Any]:
    values = Config().from_disk(config)
    return {name: value for name, place in SETTINGS.items() if (value := _find(values, place)) is not None}


def _find(config: Mapping[str, Any], place: str) -> Any:
    value: Any = config
    for key in place.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def training_commands(lock: Path, model: Path) -> list[str]:
    """The commands that made a corpus and trained a pipeline on it, as the project ran them.

    lock (Path): A project.lock of weasel, which keeps the last run of each command.
    model (Path): The pipeline, as the project calls it.
    RETURNS: Nothing where the last training was that of another pipeline, or there is no lock file.
    """
    runs = srsly.read_yaml(lock) if lock.exists() else {}
    made = [out["path"] for out in runs.get("train", {}).get("outs", [])]
    if model.as_posix() not in made:
        return []
    return [line for name in ("encoder", "convert", "train") for line in runs.get(name, {}).get("script", [])]


def readme_of(meta: Report) -> str:
    """The model card in Markdown.

    meta (dict): What `describe_model` gave.
    """
    environment = Environment(loader=PackageLoader("multiner"), autoescape=False, trim_blocks=True, lstrip_blocks=True)
    environment.filters["percent"] = percent
    return environment.get_template("model_card.md.jinja").render(meta=meta, package=f"{meta['lang']}_{meta['name']}")
