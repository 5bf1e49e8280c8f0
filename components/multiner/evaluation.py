"""How good a pipeline is: entities by seqeval and by spaCy, on the corpus's words and on running text."""

import os
import platform
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import spacy
import torch
from spacy.language import Language
from spacy.scorer import PRFScore, get_ner_prf
from spacy.tokens import Doc
from spacy.training import Example

from .calibration import calibration_error
from .docbins import LANGUAGE, read_docs, without_annotation
from .tags import Span, tags_from_spans

Report = dict[str, Any]
MODES = {"default": "seqeval default (a lone I- starts an entity, as in conlleval)", "strict": "seqeval strict IOB2"}


def evaluate(nlp: Language, gold: Sequence[Doc]) -> Report:
    """Score a pipeline on annotated documents.

    gold (Sequence[Doc]): Documents with gold entities; `doc.user_data["language"]` is used where it is set.
    RETURNS: JSON-ready scores between 0 and 1: "default" and "strict" (seqeval's two modes), "spacy" (`ents_*`),
        "raw_text" (the pipeline's own words, entities compared by characters), "calibration_error" (of the
        confidences; None without any) and "by_language".
    """
    start = time.perf_counter()
    predicted = list(nlp.pipe(without_annotation(doc) for doc in gold))
    seconds = time.perf_counter() - start
    raw = list(nlp.pipe(doc.text for doc in gold))
    words = sum(map(len, gold))
    return {
        "docs": len(gold),
        "words": words,
        "words_per_second": round(words / seconds, 1) if seconds else None,
        "machine": describe_machine(),
        "default": seqeval_scores(gold, predicted, "default"),
        "strict": seqeval_scores(gold, predicted, "strict"),
        "spacy": spacy_scores(gold, predicted),
        "raw_text": raw_text_scores(gold, raw),
        "calibration_error": confidence_error(gold, predicted),
        "by_language": _by_language(gold, predicted, raw),
    }


def evaluate_files(model: str, data: Path) -> Report:
    """Load a pipeline and a corpus and evaluate the one on the other; see `evaluate`.

    model (str): A folder, or the name of an installed pipeline.
    RAISES: FileNotFoundError when either is not there; ModelFilesError when the pipeline is damaged.
    """
    try:
        nlp = spacy.load(model)
    except OSError as error:
        raise FileNotFoundError(
            f"There is no pipeline '{model}' that can be loaded, neither a folder nor an installed package: {error}"
        ) from error
    report = evaluate(nlp, list(read_docs(data, nlp.vocab)))
    return {"model": model, "data": str(data), **report}


def iob2_tags(docs: Iterable[Doc]) -> list[list[str]]:
    """The tags of documents' entities."""
    return [
        tags_from_spans([Span(entity.start, entity.end, entity.label_) for entity in doc.ents], len(doc))
        for doc in docs
    ]


def seqeval_scores(gold: Sequence[Doc], predicted: Sequence[Doc], mode: str) -> Report:
    """Precision, recall, F1 and support for each type and over all, by seqeval.

    mode (str): "default" or "strict", see `MODES`.
    """
    from seqeval.metrics import classification_report
    from seqeval.scheme import IOB2

    options: dict[str, Any] = {"mode": "strict", "scheme": IOB2} if mode == "strict" else {}
    gold_tags, predicted_tags = iob2_tags(gold), iob2_tags(predicted)
    if not any(doc.ents for doc in (*gold, *predicted)):
        report = {}  # seqeval fails where there is no entity at all
    else:
        report = classification_report(gold_tags, predicted_tags, output_dict=True, zero_division=0, **options)
    rows = {name: _plain_row(row) for name, row in report.items()}
    averages = {name: rows.pop(f"{name} avg", _plain_row({})) for name in ("micro", "macro", "weighted")}
    return {**averages, "per_type": rows}


def _plain_row(row: dict[str, Any]) -> dict[str, float | int]:
    return {
        "precision": float(row.get("precision", 0.0)),
        "recall": float(row.get("recall", 0.0)),
        "f1": float(row.get("f1-score", 0.0)),
        "support": int(row.get("support", 0)),
    }


def spacy_scores(gold: Sequence[Doc], predicted: Sequence[Doc]) -> Report:
    """spaCy's `ents_p`, `ents_r`, `ents_f` and `ents_per_type`."""
    examples = [Example(system, reference) for system, reference in zip(predicted, gold, strict=True)]
    return dict(get_ner_prf(examples))


def confidence_error(gold: Sequence[Doc], predicted: Sequence[Doc]) -> float | None:
    """The expected calibration error of the entities' confidences, which any component may have given."""
    sure: list[float] = []
    right: list[bool] = []
    for reference, system in zip(gold, predicted, strict=True):
        wanted = {(entity.start, entity.end, entity.label_) for entity in reference.ents}
        group = next((group for group in system.spans.values() if "scores" in group.attrs), None)
        if group is not None:
            sure += list(map(float, group.attrs["scores"]))
            right += [(entity.start, entity.end, entity.label_) in wanted for entity in group]
    return calibration_error(np.array(sure), np.array(right, dtype=bool))


def raw_text_scores(gold: Sequence[Doc], raw: Sequence[Doc]) -> dict[str, float]:
    """Scores of what a user gets: the text is tokenised by the pipeline, entities must match to the character."""
    score = PRFScore()
    for reference, system in zip(gold, raw, strict=True):
        score.score_set(_characters(system), _characters(reference))
    return {"precision": score.precision, "recall": score.recall, "f1": score.fscore}


def _characters(doc: Doc) -> set[tuple[int, int, str]]:
    return {(entity.start_char, entity.end_char, entity.label_) for entity in doc.ents}


def _by_language(gold: Sequence[Doc], predicted: Sequence[Doc], raw: Sequence[Doc]) -> dict[str, dict[str, float]]:
    result = {}
    for language in sorted({doc.user_data[LANGUAGE] for doc in gold if LANGUAGE in doc.user_data}):
        chosen = [index for index, doc in enumerate(gold) if doc.user_data.get(LANGUAGE) == language]
        own = [gold[index] for index in chosen]
        strict = seqeval_scores(own, [predicted[index] for index in chosen], "strict")["micro"]
        result[language] = {
            "strict_f1": strict["f1"],
            "raw_text_f1": raw_text_scores(own, [raw[index] for index in chosen])["f1"],
            "support": strict["support"],
            "docs": len(own),
        }
    return result


def describe_machine() -> dict[str, Any]:
    """What a figure was measured on."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf8", errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    machine: dict[str, Any] = {"cpu": name, "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    machine |= {"python": platform.python_version(), "torch": torch.__version__}
    if torch.cuda.is_available():
        machine["gpu"] = torch.cuda.get_device_name()
    return machine
