"""What evaluation and analysis found, as tables for the terminal, Markdown and HTML alike."""

from collections.abc import Mapping
from typing import Any

from .matching import KINDS
from .tables import Table, count, percent

Report = dict[str, Any]
# In the order of `matching.precision_recall_f1`.
PRECISION_RECALL_F1 = ("precision", "recall", "f1")
MODES = {"strict": "seqeval strict IOB2", "default": "seqeval default (a lone I- starts an entity, as in conlleval)"}
SCHEMES = {
    "strict": "same words, same type",
    "exact": "same words, any type",
    "partial": "half a point for words that overlap, any type",
    "type": "words that overlap, same type",
}
AVERAGES = ("micro", "macro", "weighted")


def score_tables(scores: Report) -> list[Table]:
    """What `evaluation.account` says; tables without rows are left out."""
    found = [
        _strict(scores),
        _default(scores),
        _summary(scores),
        _nervaluate(scores["nervaluate"]),
        _kinds(scores["errors"]),
        _confusion(scores["errors"]["confusion"]),
        _seen(scores["seen"]),
        _lengths("By length of entities", "words", scores["by_entity_length"]),
        _lengths("By length of sentences", "words", scores["by_sentence_length"]),
        _languages(scores["by_language"]),
        _unreachable(scores["unreachable"]),
        _calibration(scores["calibration"]),
    ]
    return [table for table in found if table.rows]


def analysis_tables(report: Report) -> list[Table]:
    """What `analysis.analyse` adds to the scores."""
    losses = report["losses"]
    found = [_suspects(report)]
    if losses is not None:
        found += [_tags(losses), _tag_confusion(losses["confusion"])]
        for key, name in (("by_word", "words"), ("by_piece", "first pieces")):
            if losses[key] is not None:
                found += _groups(losses[key], name)
    return [table for table in found if table.rows]


def _strict(scores: Report) -> Table:
    strict, spread = scores["strict"], scores["intervals"]
    ranges = spread["scores"]
    rows = [
        (
            label,
            *(percent(row[key]) for key in PRECISION_RECALL_F1),
            _range(spread["f1_per_type"][label]),
            *(count(row[key]) for key in ("support", "true_positives", "false_positives", "false_negatives")),
        )
        for label, row in strict["per_type"].items()
    ]
    for name in AVERAGES:
        row = strict[name]
        counts = [count(row.get(key)) for key in ("true_positives", "false_positives", "false_negatives")]
        between = _range(ranges[f"{name}_f1"]) if f"{name}_f1" in ranges else "-"
        rows.append(
            (
                name,
                *(percent(row[key]) for key in PRECISION_RECALL_F1),
                between,
                count(row["support"]),
                *counts,
            )
        )
    return Table(
        MODES["strict"],
        f"Entities with the corpus's words and type, in percent. 95 %: the interval of F1 by bootstrap, "
        f"{spread['resamples']:,} resamples of sentences, seed {spread['seed']}. TP, FP, FN: right, wrongly found, not "
        "found.",
        ("Type", "precision", "recall", "F1", "95 %", "support", "TP", "FP", "FN"),
        rows,
    )


def _range(values: Any) -> str:
    return f"{percent(values[0])} to {percent(values[1])}"


def _default(scores: Report) -> Table:
    row = scores["default"]
    return Table(
        MODES["default"],
        "The same entities by seqeval's other mode. It differs only for tag sequences that are not legal.",
        ("Average", "precision", "recall", "F1", "support"),
        [
            (name, *(percent(row[name][key]) for key in PRECISION_RECALL_F1), count(row[name]["support"]))
            for name in AVERAGES
        ],
    )


def _summary(scores: Report) -> Table:
    ranges = scores["intervals"]["scores"]
    blind, raw = scores["type_blind"], scores["raw_text"]
    spacy = scores["spacy"]
    rows: list[tuple[str, ...]] = [
        ("F1 of gold words", percent(scores["strict"]["micro"]["f1"]), _range(ranges["micro_f1"])),
        ("F1 of raw text, as users have it", percent(raw["f1"]), _range(ranges["raw_text_f1"])),
        ("F1 without types", percent(blind["f1"]), _range(ranges["type_blind_f1"])),
        ("ents_f of spaCy", percent(spacy["ents_f"]), "-"),
        ("Accuracy of words' tags", percent(scores["word_accuracy"]), "-"),
    ]
    if scores["calibration_error"] is not None:
        rows.append(("Expected calibration error", percent(scores["calibration_error"]), "-"))
    if scores["words_without_annotation"]:
        rows.append(("Words without annotation, scored as O", count(scores["words_without_annotation"]), "-"))
    return Table(
        "In one number",
        "In percent. On raw text the pipeline finds its own words, and entities must match to the character. Without "
        "types an entity is right if its words are. Accuracy is high wherever most words are in no entity.",
        ("Score", "value", "95 %"),
        rows,
    )


def _nervaluate(found: Report) -> Table:
    keys = ("correct", "incorrect", "partial", "missed", "spurious")
    return Table(
        "What is nearly right",
        "The four ways of MUC and SemEval-2013, by nervaluate. "
        + "; ".join(f"{name}: {meaning}" for name, meaning in SCHEMES.items())
        + ".",
        ("Way", *keys, "precision", "recall", "F1"),
        [
            (
                name,
                *(count(found[name][key]) for key in keys),
                *(percent(found[name][key]) for key in PRECISION_RECALL_F1),
            )
            for name in SCHEMES
            if name in found
        ],
    )


def _kinds(errors: Report) -> Table:
    return Table(
        "Kinds of error",
        "; ".join(f"{kind}: {meaning}" for kind, meaning in KINDS.items())
        + ". Each entity of either side is in one of them, under the gold type where there is one.",
        ("Type", *KINDS),
        [
            *((label, *(count(row[kind]) for kind in KINDS)) for label, row in errors["by_type"].items()),
            ("all", *(count(errors["kinds"][kind]) for kind in KINDS)),
        ],
    )


def _confusion(confusion: Report) -> Table:
    columns = list(next(iter(confusion.values())))
    return Table(
        "Which type became which",
        "Rows are gold types, columns predicted ones; overlapping entities count as pairs.",
        ("Gold", *columns),
        [(row, *(count(values[column]) for column in columns)) for row, values in confusion.items()],
    )


def _seen(seen: Report | None) -> Table:
    return Table(
        "Entities that training has, and new ones",
        "Seen: train has the same words as an entity, of any type and case.",
        ("Entities", "support", "found", "recall"),
        [
            (name, count(row["entities"]), count(row["found"]), percent(row["recall"]))
            for name, row in (seen or {}).items()
        ],
    )


def _lengths(title: str, unit: str, rows: Mapping[str, Report]) -> Table:
    return Table(
        title,
        "Recall of gold entities and precision of predicted ones of such a length, in percent."
        if "entities" in title
        else "Entities of sentences of such a length, in percent.",
        (unit.capitalize(), "precision", "recall", "F1", "support", "FP", "FN"),
        [
            (
                name,
                *(percent(row[key]) for key in PRECISION_RECALL_F1),
                *(count(row[key]) for key in ("support", "false_positives", "false_negatives")),
            )
            for name, row in rows.items()
        ],
    )


def _languages(rows: Mapping[str, Report]) -> Table:
    return Table(
        "By language",
        "As the documents say.",
        ("Language", "F1", "F1 of raw text", "support", "sentences"),
        [
            (name, percent(row["strict_f1"]), percent(row["raw_text_f1"]), count(row["support"]), count(row["docs"]))
            for name, row in rows.items()
        ],
    )


def _unreachable(found: Report) -> Table:
    return Table(
        "Gold entities that no prediction could match on raw text",
        f"{count(found['entities'])} of {count(found['of'])}. They do not start and end where words of the pipeline "
        "do, or are of a type that it does not have.",
        ("Reason", "entities", "for example"),
        [
            (
                reason,
                count(number),
                next(
                    (
                        f"{each['entity']}, cut as {' | '.join(each['pipeline_words'])}"
                        for each in found["examples"]
                        if each["reason"] == reason
                    ),
                    "-",
                ),
            )
            for reason, number in found["reasons"].items()
        ],
    )


def _calibration(bins: list[Report] | None) -> Table:
    return Table(
        "Confidences",
        "Entities by confidence, and how many of them are right: the two should be alike.",
        ("Confidence, mean", "right, %", "entities"),
        [(percent(row["confidence"]), percent(row["right"]), count(row["entities"])) for row in bins or ()],
    )


def _suspects(report: Report) -> Table:
    def elsewhere(row: Report) -> str:
        return ", ".join(f"{name} {number}" for name, number in row["elsewhere"].items()) or "nowhere"

    return Table(
        "Annotations to look at again",
        f"The {count(len(report['suspects']))} likeliest errors of annotation among {count(report['disagreements'])} "
        "disagreements. Margin: how much more probable the model finds its tags than the annotated ones. Elsewhere: "
        "how the same words are annotated in other places. "
        f"{count(report['sentences_to_label_again'])} of {count(report['sentences_with_disagreements'])} sentences "
        "with a disagreement are in relabel.jsonl; scripts/relabel.py brings corrections back.",
        ("Words", "annotated", "predicted", "margin", "elsewhere", "sentence"),
        [
            (
                row["words"],
                row["annotated"],
                row["predicted"],
                "-" if row["margin"] is None else f"{row['margin']:.2f}",
                elsewhere(row),
                row["text"],
            )
            for row in report["suspects"]
        ],
    )


def _tags(losses: Report) -> Table:
    return Table(
        "Loss by tag",
        f"Cross-entropy in nats of the network's own probabilities; over all {count(losses['words'])} words the mean "
        f"is {count(losses['mean'])}. {count(losses['not_scored'])} words have no tag that could be scored.",
        ("Tag", "count", "mean", "sum"),
        [_group(row) for row in losses["by_tag"]],
    )


def _group(row: Report) -> tuple[str, ...]:
    return (row["name"], count(row["count"]), f"{row['mean']:.2f}", f"{row['sum']:,.1f}")


def _groups(found: Report, name: str) -> list[Table]:
    columns = (name.capitalize(), "count", "mean", "sum")
    return [
        Table(
            f"Loss by {name}: the dearest all in all",
            f"The first of {count(found['groups'])}.",
            columns,
            [_group(row) for row in found["by_sum"]],
        ),
        Table(
            f"Loss by {name}: the dearest on average",
            f"Among those that occur {found['at_least']} times or more.",
            columns,
            [_group(row) for row in found["by_mean"]],
        ),
    ]


def _tag_confusion(confusion: Report) -> Table:
    return Table(
        "Which tag became which",
        "Percent of the words of each gold tag (rows) that got each tag (columns).",
        ("Gold", *confusion["tags"]),
        [
            (tag, *(percent(share) for share in shares))
            for tag, counts, shares in zip(confusion["tags"], confusion["counts"], confusion["shares"], strict=True)
            if any(counts)
        ],
    )


def sentence_tables(report: Report, number: int) -> list[Table]:
    """The dearest sentences, word by word.

    number (int): How many.
    """
    worst = [each for each in report["sentences"] if "worst" in each["shown_as"]]
    return [_sentence(each) for each in worst[:number]]


def _sentence(sentence: Report) -> Table:
    """Aligned rows of one sentence."""
    losses = sentence.get("losses") or [None] * len(sentence["words"])
    wrong = ", ".join(f"{error['kind']} {error['type']}" for error in sentence["errors"] if error["kind"] != "right")
    return Table(
        f"Document {sentence['document']}, {sentence['cost']:.2f} in all",
        f"{sentence['source'] or 'source unknown'}; {wrong or 'no error'}.",
        ("Word", "gold", "predicted", "loss"),
        [
            (word, gold, predicted, "-" if loss is None else f"{loss:.2f}")
            for word, gold, predicted, loss in zip(
                sentence["words"], sentence["gold_tags"], sentence["predicted_tags"], losses, strict=True
            )
        ],
    )
