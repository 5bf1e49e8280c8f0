"""Where a pipeline fails: the dearest words and sentences, what became what, and what may be annotated wrongly."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from spacy.tokens import Doc
from spacy.vocab import Vocab

from .docbins import LANGUAGE, SOURCE, read_docs
from .evaluation import RESAMPLES, account, seen_forms
from .files import new_file, write_json
from .losses import WordLosses, describe_losses, word_losses
from .matching import Match, match
from .predictions import Predictions, predict_files
from .relabelling import relabelling_rows, write_rows
from .report import html_page, markdown_page
from .suspects import find_suspects
from .tags import IGNORED, tags_from_spans
from .watching import Watch, unwatched

Report = dict[str, Any]
WORST = RANDOM = 50
EXAMPLES = 3  # sentences for each type and kind of error
SUSPECTS = 100
RELABEL = 500
WITHOUT_SCORES = (
    "The entities were not found by a component 'multiner', which alone says the scores of all tags. So there are no "
    "losses, and sentences are ordered by the number of errors."
)


def analyse_files(
    model: str,
    data: Path,
    output: Path,
    *,
    train: Path | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    relabel: int = RELABEL,
    watch: Watch = unwatched,
) -> tuple[Report, list[Path]]:
    """Predict a corpus once, evaluate and analyse that, and write everything into a folder.

    model (str): A folder, or the name of an installed pipeline.
    output (Path): Gets report.html (one file, without a network), report.md, the figures as analysis.json, the
        sentences that are shown as sentences.jsonl, and those to label again as relabel.jsonl.
    train (Path | None): The corpus that the pipeline was trained on, to tell seen entities from unseen ones, and to
        hear as a witness to the annotation.
    relabel (int): At most so many sentences go into relabel.jsonl.
    RETURNS: What `analyse` gives, and the files.
    RAISES: FileNotFoundError when something is not there; ModelFilesError when the pipeline is damaged.
    """
    predictions = predict_files(model, data, watch)
    known = list(watch("reading train", read_docs(train, Vocab()))) if train is not None else None
    report, rows = analyse(predictions, known, resamples=resamples, seed=seed, relabel=relabel)
    about = {"model": model, "data": str(data), "train": None if train is None else str(train)}
    report = {**about, **report}
    return report, write_analysis(report, rows, output)


def write_analysis(report: Report, rows: Sequence[Report], output: Path) -> list[Path]:
    """Write what `analyse` gave, with "model", "data" and "train", into a folder; see `analyse_files`.

    RETURNS: The files.
    """
    pages = {"report.html": html_page(report), "report.md": markdown_page(report)}
    for name, page in pages.items():
        with new_file(output / name) as unfinished:
            unfinished.write_text(page, encoding="utf8")
    write_json({key: value for key, value in report.items() if key != "sentences"}, output / "analysis.json")
    write_rows(report["sentences"], output / "sentences.jsonl")
    write_rows(rows, output / "relabel.jsonl")
    return [output / name for name in (*pages, "analysis.json", "sentences.jsonl", "relabel.jsonl")]


def analyse(
    predictions: Predictions,
    train: Sequence[Doc] | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    relabel: int = RELABEL,
) -> tuple[Report, list[Report]]:
    """Evaluate predictions and explain them.

    train (Sequence[Doc] | None): The documents that the pipeline was trained on.
    resamples, seed (int): For intervals; the seed also chooses the random sentences.
    RETURNS: JSON-ready "scores" (see `evaluation.account`), "losses" (see `losses.describe_losses`, or None, and then
        "without_losses" says why), "suspects" (the likeliest errors of annotation), "disagreements" and
        "sentences_with_disagreements" (how many there are in all), "sentences_to_label_again" (how many of them are
        among the rows) and "sentences", each with words, entities of both sides, errors, losses and "shown_as": the
        worst, some at random, and some of each kind of error. Then the rows to be labelled again.
    """
    matches = match(predictions.gold_spans, predictions.predicted_spans)
    losses = word_losses(predictions)
    suspects = find_suspects(predictions, matches, losses, train or ())
    shown = suspects[:SUSPECTS]
    for suspect in shown:
        suspect["text"] = predictions.gold[suspect["document"]].text
    rows = relabelling_rows(predictions, suspects, relabel)
    report = {
        "scores": account(
            predictions, seen=None if train is None else seen_forms(train), resamples=resamples, seed=seed
        ),
        "losses": None if losses is None else describe_losses(losses, predictions.gold, predictions.pieces),
        "without_losses": None if losses is not None else WITHOUT_SCORES,
        "disagreements": len(suspects),
        "sentences_with_disagreements": len({suspect["document"] for suspect in suspects}),
        "sentences_to_label_again": len(rows),
        "suspects": shown,
        "sentences": _sentences(predictions, matches, losses, seed),
    }
    return report, rows


def _sentences(
    predictions: Predictions, matches: Sequence[Match], losses: WordLosses | None, seed: int
) -> list[Report]:
    """The sentences to be shown, the dearest first."""
    by_document: defaultdict[int, list[Match]] = defaultdict(list)
    for each in matches:
        by_document[each.sentence].append(each)
    number = len(predictions.gold)
    if losses is None:
        costs = np.array([sum(m.kind != "right" for m in by_document[doc]) for doc in range(number)], np.float64)
    else:
        costs = np.array([losses.losses[losses.rows(doc)].sum() for doc in range(number)])
    order = np.argsort(-costs, kind="stable").tolist()
    shown: defaultdict[int, list[str]] = defaultdict(list)
    for document in order[:WORST]:
        if costs[document] > 0:
            shown[document].append("worst")
    for document in np.random.default_rng(seed).permutation(number)[:RANDOM].tolist():
        shown[document].append("random")
    examples: Counter[tuple[str, str]] = Counter()
    for document in order:
        wanted = {(_type(each), each.kind) for each in by_document[document]}
        short = [each for each in wanted if examples[each] < EXAMPLES]
        if short:
            examples.update(wanted)
            shown[document].append("example")
    return [
        {
            **_sentence(predictions, document, by_document[document], losses),
            "cost": float(costs[document]),
            "shown_as": shown[document],
        }
        for document in order
        if document in shown
    ]


def _type(each: Match) -> str:
    span = each.gold or each.predicted
    assert span is not None
    return span.label


def _sentence(predictions: Predictions, document: int, matches: Iterable[Match], losses: WordLosses | None) -> Report:
    """A sentence, word by word and entity by entity."""
    doc = predictions.gold[document]
    gold, predicted = predictions.gold_spans[document], predictions.predicted_spans[document]
    sure = predictions.confidences[document] if predictions.confidences is not None else {}
    words = [token.text for token in doc]
    sentence: Report = {
        "document": document,
        "source": doc.user_data.get(SOURCE),
        "language": doc.user_data.get(LANGUAGE),
        "words": words,
        "spaces": [bool(token.whitespace_) for token in doc],
        "gold": [list(span) for span in gold],
        "predicted": [[*span, sure.get(span)] for span in predicted],
        "errors": [
            {
                "kind": each.kind,
                "type": _type(each),
                "gold": None if each.gold is None else " ".join(words[each.gold.start : each.gold.end]),
                "predicted": None
                if each.predicted is None
                else f"{' '.join(words[each.predicted.start : each.predicted.end])} {each.predicted.label}",
            }
            for each in matches
        ],
        "gold_tags": tags_from_spans(gold, len(doc)),
        "predicted_tags": tags_from_spans(predicted, len(doc)),
    }
    if losses is not None:
        rows = losses.rows(document)
        scored = losses.gold[rows] != IGNORED
        paid = losses.losses[rows].round(4).tolist()
        sentence["losses"] = [loss if known else None for loss, known in zip(paid, scored.tolist(), strict=True)]
    return sentence
