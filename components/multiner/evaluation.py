"""How good a pipeline is, in every way that people ask for, and how sure one can be of the number."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from spacy.attrs import ENT_IOB
from spacy.language import Language
from spacy.scorer import get_ner_prf
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab

from .calibration import calibration_error, reliability
from .docbins import IOB_CODES, LANGUAGE, read_docs
from .figures import describe_machine
from .intervals import LEVEL, interval, resampled_sums
from .matching import (
    KINDS,
    Counts,
    Integers,
    Match,
    count_matches,
    macro_f1,
    match,
    precision_recall_f1,
)
from .predictions import Predictions, predict, predict_files
from .tags import Span, tags_from_spans
from .watching import Watch, unwatched

Report = dict[str, Any]
# What nervaluate calls them, after the MUC conferences.
SCHEMES = {"strict": "strict", "exact": "exact", "partial": "partial", "ent_type": "type"}
ENTITY_LENGTHS = (1, 2, 3, 4, 5)
SENTENCE_LENGTHS = (1, 6, 11, 21, 41)
RESAMPLES = 1000
EXAMPLES = 20
NOTHING = ("missed", "spurious")


def evaluate(
    nlp: Language,
    gold: Sequence[Doc],
    *,
    seen: set[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Report:
    """Score a pipeline on annotated documents; see `account`.

    gold (Sequence[Doc]): Documents with gold entities; `doc.user_data["language"]` is used where it is set.
    """
    return account(predict(nlp, gold), seen=seen, resamples=resamples, seed=seed)


def evaluate_files(
    model: str,
    data: Path,
    *,
    train: Path | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    watch: Watch = unwatched,
) -> Report:
    """Load a pipeline and a corpus and evaluate the one on the other; see `account`.

    model (str): A folder, or the name of an installed pipeline.
    train (Path | None): The corpus that the pipeline was trained on, to tell seen entities from unseen ones.
    RAISES: FileNotFoundError when one of them is not there; ModelFilesError when the pipeline is damaged.
    """
    seen = None if train is None else seen_forms(read_docs(train, Vocab()))
    report = account(predict_files(model, data, watch), seen=seen, resamples=resamples, seed=seed)
    return {"model": model, "data": str(data), "train": None if train is None else str(train), **report}


def account(
    predictions: Predictions, *, seen: set[str] | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> Report:
    """The full account of what a pipeline predicted.

    seen (set[str] | None): What `seen_forms` gives of the training corpus.
    resamples (int): How often sentences are drawn anew for the intervals.
    seed (int): Of that drawing.
    RETURNS: JSON-ready scores between 0 and 1. On the corpus's words: "default" and "strict" (seqeval's two modes),
        "spacy" (`ents_*`), "word_accuracy", "nervaluate" (strict, exact, partial, type), "type_blind", "errors" (kinds,
        and which type became which), "seen", "by_entity_length", "by_sentence_length", "calibration" and
        "calibration_error" (None without confidences), "by_language". On the pipeline's own words: "raw_text", and
        "unreachable", the gold entities that it could not find whatever it predicted. "intervals" has the 95 %
        intervals of the chief scores.
    """
    gold, system = predictions.gold, predictions.predicted
    matches = match(predictions.gold_spans, predictions.predicted_spans)
    counts, blind, by_raw = (
        count_matches(matches, len(gold)),
        count_matches(matches, len(gold), borders_only=True),
        count_raw_text(predictions),
    )
    return {
        "docs": len(gold),
        "words": predictions.words,
        "words_without_annotation": sum(int((doc.to_array(ENT_IOB) == IOB_CODES[""]).sum()) for doc in gold),
        "words_per_second": round(predictions.words / predictions.seconds, 1) if predictions.seconds else None,
        "machine": describe_machine(),
        "default": seqeval_scores(predictions.gold_spans, predictions.predicted_spans, gold, "default"),
        "strict": _with_counts(
            seqeval_scores(predictions.gold_spans, predictions.predicted_spans, gold, "strict"), counts
        ),
        "spacy": spacy_scores(gold, system),
        "word_accuracy": word_accuracy(predictions),
        "nervaluate": nervaluate_scores(predictions.gold_spans, predictions.predicted_spans, counts.labels),
        "type_blind": _row(blind.totals[0]),
        "errors": describe_errors(matches, counts.labels),
        "intervals": intervals(counts, blind, by_raw, resamples, seed),
        "seen": None if seen is None else _seen(matches, gold, seen),
        "by_entity_length": _by_entity_length(matches),
        "by_sentence_length": _by_sentence_length(counts, gold),
        "raw_text": _row(by_raw.totals.sum(axis=0)),
        "unreachable": unreachable(predictions),
        **_calibration(predictions),
        "by_language": _by_language(counts, by_raw, gold),
    }


def seqeval_scores(
    gold: Sequence[Sequence[Span]], predicted: Sequence[Sequence[Span]], words: Sequence[Any], mode: str
) -> Report:
    """Precision, recall, F1 and support for each type and over all, by seqeval.

    gold, predicted (Sequence): The entities of each sentence.
    words (Sequence): Of each sentence something as long as it is.
    mode (str): "default", where a lone `I-` starts an entity as in conlleval, or "strict", which is IOB2.
    """
    from seqeval.metrics import classification_report
    from seqeval.scheme import IOB2

    options: dict[str, Any] = {"mode": "strict", "scheme": IOB2} if mode == "strict" else {}
    gold_tags, predicted_tags = (
        [tags_from_spans(spans, len(sentence)) for spans, sentence in zip(side, words, strict=True)]
        for side in (gold, predicted)
    )
    if not any((*gold, *predicted)):
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


def _with_counts(scores: Report, counts: Counts) -> Report:
    """seqeval's strict scores, and beside them of what they are made."""
    totals = counts.totals
    for label, row in zip(counts.labels, totals, strict=True):
        scores["per_type"][label] |= _errors_of(row)
    scores["micro"] |= _errors_of(totals.sum(axis=0))
    return scores


def _errors_of(row: Integers) -> dict[str, int]:
    right, predicted, gold = row.tolist()
    return {"true_positives": right, "false_positives": predicted - right, "false_negatives": gold - right}


def _row(row: Integers) -> Report:
    precision, recall, f1 = precision_recall_f1(row).tolist()
    return {"precision": precision, "recall": recall, "f1": f1, "support": int(row[2]), **_errors_of(row)}


def spacy_scores(gold: Sequence[Doc], predicted: Sequence[Doc]) -> Report:
    """spaCy's `ents_p`, `ents_r`, `ents_f` and `ents_per_type`."""
    examples = [Example(system, reference) for system, reference in zip(predicted, gold, strict=True)]
    return dict(get_ner_prf(examples))


def word_accuracy(predictions: Predictions) -> float | None:
    """The share of words that have the same tag; high wherever most words are `O`. None of no words."""
    same = 0
    for doc, wanted, given in zip(predictions.gold, predictions.gold_spans, predictions.predicted_spans, strict=True):
        if wanted == given:
            same += len(doc)
        else:
            pairs = zip(tags_from_spans(wanted, len(doc)), tags_from_spans(given, len(doc)), strict=True)
            same += sum(first == second for first, second in pairs)
    return same / predictions.words if predictions.words else None


def nervaluate_scores(
    gold: Sequence[Sequence[Span]], predicted: Sequence[Sequence[Span]], labels: Sequence[str]
) -> dict[str, Report]:
    """The four ways of MUC and SemEval-2013 task 9 to count what is nearly right, by nervaluate.

    RETURNS: For "strict", "exact" (words alone), "partial" (half a point for an overlap) and "type" (any overlap of
        the same type) precision, recall, F1 and what they are counted from.
    """
    from nervaluate import Evaluator

    # Sentences without any entity count for nothing, and are left out because it is slow.
    pairs = [(wanted, given) for wanted, given in zip(gold, predicted, strict=True) if wanted or given]
    if not pairs:
        return {}
    # It looks at types one by one too; of those only all together are asked for here.
    sides = [
        [[{"label": label, "start": start, "end": end - 1} for start, end, label in spans] for spans in side]
        for side in zip(*pairs, strict=True)
    ]
    found = Evaluator(*sides, tags=list(labels), loader="dict").evaluate()["overall"]
    return {ours: asdict(found[theirs]) for theirs, ours in SCHEMES.items()}


def describe_errors(matches: Sequence[Match], labels: Sequence[str]) -> Report:
    """Which kinds of error there are, for each type too, and which type became which.

    RETURNS: "kinds" (how many of each of `matching.KINDS`), "by_type" (the same for each type, that of the gold entity
        where there is one) and "confusion": for each gold type, and "spurious", how often which type was predicted, or
        "missed".
    """
    by_type = {label: dict.fromkeys(KINDS, 0) for label in labels}
    confusion = {row: dict.fromkeys([*labels, "missed"], 0) for row in [*labels, "spurious"]}
    for each in matches:
        first = each.gold or each.predicted
        assert first is not None
        by_type[first.label][each.kind] += 1
        wanted = each.gold.label if each.gold else "spurious"
        confusion[wanted][each.predicted.label if each.predicted else "missed"] += 1
    kinds = Counter(each.kind for each in matches)
    return {"kinds": {kind: kinds[kind] for kind in KINDS}, "by_type": by_type, "confusion": confusion}


def intervals(counts: Counts, blind: Counts, raw: Counts, resamples: int, seed: int) -> Report:
    """95 % intervals of the chief scores; see `multiner.intervals`.

    RETURNS: "resamples", "seed", "level" and "scores": for each score its lowest and highest plausible value.
    """
    own = len(counts.labels)
    sums = resampled_sums(
        np.concatenate([counts.values, blind.values, raw.values.sum(axis=1, keepdims=True)], axis=1), resamples, seed
    )
    micro, raw_text = precision_recall_f1(sums[:, :own].sum(axis=1)), precision_recall_f1(sums[:, own + 1])
    series = {
        "micro_precision": micro[:, 0],
        "micro_recall": micro[:, 1],
        "micro_f1": micro[:, 2],
        "macro_f1": macro_f1(sums[:, :own]),
        "type_blind_f1": precision_recall_f1(sums[:, own])[:, 2],
        "raw_text_f1": raw_text[:, 2],
    }
    per_type = precision_recall_f1(sums[:, :own])[..., 2]
    return {
        "resamples": resamples,
        "seed": seed,
        "level": LEVEL,
        "scores": {name: interval(values) for name, values in series.items()},
        "f1_per_type": {label: interval(per_type[:, number]) for number, label in enumerate(counts.labels)},
    }


def seen_forms(docs: Iterable[Doc]) -> set[str]:
    """The entities of some documents as they are written, without regard to case and type."""
    return {_form(doc, span.start, span.end) for doc in docs for span in doc.ents}


def _form(doc: Doc, start: int, end: int) -> str:
    return " ".join(token.text for token in doc[start:end]).casefold()


def _seen(matches: Sequence[Match], gold: Sequence[Doc], forms: set[str]) -> Report:
    found: dict[str, list[bool]] = {"seen": [], "unseen": []}
    for sentence, wanted, _, kind in matches:
        if wanted is not None:
            known = _form(gold[sentence], wanted.start, wanted.end) in forms
            found["seen" if known else "unseen"].append(kind == "right")
    return {
        name: {
            "entities": len(right),
            "found": sum(right),
            "recall": sum(right) / len(right) if right else None,
        }
        for name, right in found.items()
    }


def _by_entity_length(matches: Sequence[Match]) -> dict[str, Report]:
    """Scores of entities of so many words: recall by the length of gold ones, precision by that of predicted ones."""
    counts = {name: np.zeros(3, np.int64) for name in _names(ENTITY_LENGTHS)}
    names = list(counts)
    for _, gold, predicted, kind in matches:
        for column, span in ((2, gold), (1, predicted)):
            if span is not None:
                counts[names[min(span.end - span.start, len(names)) - 1]][column] += 1
        if kind == "right" and gold is not None:
            counts[names[min(gold.end - gold.start, len(names)) - 1]][0] += 1
    return {name: _row(row) for name, row in counts.items()}


def _by_sentence_length(counts: Counts, gold: Sequence[Doc]) -> dict[str, Report]:
    place = np.searchsorted(SENTENCE_LENGTHS, [len(doc) for doc in gold], side="right") - 1
    return {
        name: {"docs": int((place == number).sum()), **_row(counts.values[place == number].sum(axis=(0, 1)))}
        for number, name in enumerate(_names(SENTENCE_LENGTHS))
    }


def _names(starts: Sequence[int]) -> list[str]:
    """What classes of lengths are called, for example 1-5, 6-10, 11+."""
    ends = [start - 1 for start in starts[1:]]
    names = [str(start) if start == end else f"{start}-{end}" for start, end in zip(starts, ends, strict=False)]
    return [*names, f"{starts[-1]}+"]


def count_raw_text(predictions: Predictions) -> Counts:
    """Count what a user gets: the text is cut into words by the pipeline, entities must match to the character."""
    raw = match(map(_characters, predictions.gold), map(_characters, predictions.raw))
    return count_matches(raw, len(predictions.gold))


def _characters(doc: Doc) -> list[Span]:
    return [Span(entity.start_char, entity.end_char, entity.label_) for entity in doc.ents]


def unreachable(predictions: Predictions) -> Report:
    """Gold entities that no prediction could match on raw text, and why.

    RETURNS: "entities", "of", "reasons" (each with how many) and the first "examples".
    """
    reasons: Counter[str] = Counter()
    examples: list[Report] = []
    labels = set(predictions.labels)
    for gold, raw in zip(predictions.gold, predictions.raw, strict=True):
        if not gold.ents:
            continue
        starts = {token.idx: token for token in raw}
        ends = {token.idx + len(token): token for token in raw}
        for entity in gold.ents:
            reason = _why_unreachable(entity.start_char, entity.end_char, starts, ends)
            if reason is None and entity.label_ not in labels:
                reason = "the pipeline has no such type"
            if reason is None:
                continue
            reasons[reason] += 1
            words = raw.char_span(entity.start_char, entity.end_char, alignment_mode="expand")
            if len(examples) < EXAMPLES:
                examples.append(
                    {
                        "entity": entity.text,
                        "type": entity.label_,
                        "reason": reason,
                        "pipeline_words": [token.text for token in words or ()],
                        "text": gold.text,
                    }
                )
    of = sum(map(len, predictions.gold_spans))
    return {"entities": reasons.total(), "of": of, "reasons": dict(reasons.most_common()), "examples": examples}


def _why_unreachable(start: int, end: int, starts: dict[int, Any], ends: dict[int, Any]) -> str | None:
    if start not in starts and end not in ends:
        return "it starts and ends inside words of the pipeline"
    if start not in starts:
        return "it starts inside a word of the pipeline"
    if end not in ends:
        return "it ends inside a word of the pipeline"
    if starts[start].is_space or ends[end].is_space:
        return "it starts or ends with white space"
    return None


def _calibration(predictions: Predictions) -> Report:
    """How far the confidences are from the share of right entities."""
    if predictions.confidences is None:
        return {"calibration_error": None, "calibration": None}
    sure: list[float] = []
    right: list[bool] = []
    for known, gold in zip(predictions.confidences, predictions.gold_spans, strict=True):
        sure += known.values()
        right += [span in gold for span in known]
    arrays = np.array(sure), np.array(right, dtype=bool)
    return {
        "calibration_error": calibration_error(*arrays),
        "calibration": [part._asdict() for part in reliability(*arrays)],
    }


def _by_language(counts: Counts, raw: Counts, gold: Sequence[Doc]) -> dict[str, Report]:
    languages = np.array([doc.user_data.get(LANGUAGE, "") for doc in gold], dtype=object)
    result = {}
    for language in sorted(set(languages) - {""}):
        chosen = languages == language
        strict = _row(counts.values[chosen].sum(axis=(0, 1)))
        result[language] = {
            "strict_f1": strict["f1"],
            "raw_text_f1": _row(raw.values[chosen].sum(axis=(0, 1)))["f1"],
            "support": strict["support"],
            "docs": int(chosen.sum()),
        }
    return result
