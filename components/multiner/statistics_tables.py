"""What was counted in a corpus, as tables for people and as files."""

from collections.abc import Iterable
from pathlib import Path

from .files import new_file, write_json
from .statistics import LENGTHS, MOST_FREQUENT, Report
from .statistics_plots import draw
from .tables import Table, count, markdown_parts, percent, plain

SUMMARY = {"mean": "mean", "median": "median", "percentile_95": "95 %", "max": "most"}


def tables(report: Report) -> list[Table]:
    """All that `statistics.describe` reports, leaving out tables without rows."""
    found = [
        _types(report),
        _sizes(report),
        _languages(report),
        _sentence_lengths(report),
        _lengths(report),
        *(_pieces(report) if report["window"] else ()),
        _unseen(report),
        _repeated(report),
        _shared(report),
        _examples(report),
        *(_contradictions(report) if "contradictions" in report else ()),
    ]
    return [table for table in found if table.rows]


def write_statistics(report: Report, folder: Path) -> list[Path]:
    """Write stats.md, stats.json and the pictures; all is made before anything is written.

    RETURNS: The files.
    RAISES: PicturesNeedMatplotlib.
    """
    pictures = {folder / f"{name}.png": picture for name, picture in draw(report).items()}
    text = markdown(report, [path.name for path in pictures])
    for path, picture in pictures.items():
        with new_file(path) as unfinished:
            unfinished.write_bytes(picture)
    with new_file(folder / "stats.md") as unfinished:
        unfinished.write_text(text, encoding="utf8")
    write_json(report, folder / "stats.json")
    return [folder / "stats.md", folder / "stats.json", *pictures]


def markdown(report: Report, pictures: Iterable[str] = ()) -> str:
    """The tables as Markdown, under the pictures.

    pictures (Iterable[str]): Names of picture files beside the Markdown.
    """
    parts = [f"# Statistics of {plain(report['corpus'])}"]
    parts += [f"![{Path(picture).stem.replace('-', ' ').capitalize()}]({picture})" for picture in pictures]
    parts += markdown_parts(tables(report))
    return "\n\n".join(parts) + "\n"


def _types(report: Report) -> Table:
    return Table(
        "Entities by type",
        "Entities in each split.",
        ("Split", *report["labels"], "all"),
        [
            (
                split,
                *(count(counts["entities_by_type"][label]) for label in report["labels"]),
                count(counts["entities"]),
            )
            for split, counts in report["splits"].items()
        ],
    )


def _sizes(report: Report) -> Table:
    return Table(
        "Sentences and words",
        "Words are spaCy's tokens. A sentence without entity has all its words annotated and none in an entity. Words "
        "without annotation are neither in an entity nor outside; shares of words in entities leave them out.",
        ("Split", "sentences", "without entity", "%", "words", "in entities, %", "without annotation"),
        [
            (
                split,
                count(counts["sentences"]),
                count(counts["sentences_without_entity"]),
                percent(counts["share_without_entity"]),
                count(counts["words"]),
                percent(counts["share_of_words_in_entities"]),
                count(counts["words_without_annotation"]),
            )
            for split, counts in report["splits"].items()
        ],
    )


def _sentence_lengths(report: Report) -> Table:
    return Table(
        "Words per sentence",
        "Half of the sentences have at most as many as the median says, 95 % at most as many as the next column.",
        ("Split", *SUMMARY.values()),
        [(split, *_summary(counts["words_per_sentence"])) for split, counts in report["splits"].items()],
    )


def _summary(values: dict[str, float | None]) -> list[str]:
    return [count(values[name]) for name in SUMMARY]


def _languages(report: Report) -> Table:
    return Table(
        "Languages",
        "As the corpus says for each sentence; unknown where it does not.",
        ("Split", "language", "sentences", "words", "entities"),
        [
            (split, language, *(count(row[key]) for key in ("sentences", "words", "entities")))
            for split, counts in report["splits"].items()
            for language, row in counts["by_language"].items()
        ],
    )


def _lengths(report: Report) -> Table:
    return Table(
        "Lengths of entities",
        "Entities of so many words, and the words of the longest.",
        ("Split", "type", *LENGTHS, "longest"),
        [
            (split, name, *(count(lengths[key]) for key in (*LENGTHS, "longest")))
            for split, counts in report["splits"].items()
            for name, lengths in (
                *counts["entity_lengths"]["by_type"].items(),
                ("all", counts["entity_lengths"]["all"]),
            )
        ],
    )


def _pieces(report: Report) -> list[Table]:
    def languages(counts: Report) -> list[tuple[str, Report]]:
        """The rows of languages, where these are not all the same as the row of the split."""
        rows = list(counts["by_language"].items())
        return rows if len(rows) > 1 else []

    rows = [
        (split, language, row["pieces"])
        for split, counts in report["splits"].items()
        for language, row in (*languages(counts), ("all", counts))
    ]
    return [
        Table(
            "Pieces per word",
            "What the encoder's tokenizer makes of the words, each cut on its own; white space has no pieces and does "
            "not count. Cut words have more than one piece. Unknown pieces are those that the vocabulary lacks.",
            ("Split", "language", *SUMMARY.values(), "cut, % of words", "unknown, % of pieces"),
            [
                (
                    split,
                    language,
                    *_summary(pieces["per_word"]),
                    percent(pieces["share_of_words_cut"]),
                    percent(pieces["share_unknown"]),
                )
                for split, language, pieces in rows
            ],
        ),
        Table(
            "Pieces per sentence",
            "Special pieces at both ends not counted. Longer than a window are sentences with more than "
            f"{report['window']} pieces, special ones included.",
            ("Split", "language", *SUMMARY.values(), "longer than a window", "% of sentences"),
            [
                (
                    split,
                    language,
                    *_summary(pieces["per_sentence"]),
                    count(pieces["sentences_longer_than_window"]),
                    percent(pieces["share_longer_than_window"]),
                )
                for split, language, pieces in rows
            ],
        ),
    ]


def _unseen(report: Report) -> Table:
    return Table(
        "Unseen entities",
        "Entities whose words, without regard to case, are those of no entity in train; with type, of no entity of the "
        "same type. Every mention counts.",
        ("Split", "type", "entities", "unseen", "%", "unseen with type", "%"),
        [
            (
                split,
                name,
                count(row["entities"]),
                count(row["unseen"]),
                percent(row["share_unseen"]),
                count(row["unseen_with_type"]),
                percent(row["share_unseen_with_type"]),
            )
            for split, unseen in report.get("unseen", {}).items()
            for name, row in (*unseen["by_type"].items(), ("all", unseen["all"]))
        ],
    )


def _repeated(report: Report) -> Table:
    return Table(
        "Repeated sentences",
        "Sentences with the same words, in the same order and spelling, as an earlier one of their split.",
        ("Split", "sentences", "repeated", "% of sentences"),
        [
            (split, count(row["sentences"]), count(row["repeated_sentences"]), percent(row["share_repeated"]))
            for split, row in report["splits"].items()
        ],
    )


def _shared(report: Report) -> Table:
    return Table(
        "Sentences in two splits",
        "Sentences whose words, in the same order and spelling, are those of a sentence in another split.",
        ("Split", "also in", "sentences", "% of the split"),
        [(row["split"], row["also_in"], count(row["sentences"]), percent(row["share"])) for row in report["shared"]],
    )


def _examples(report: Report) -> Table:
    return Table(
        "Examples of sentences in two splits",
        "The first few, and where both are.",
        ("Sentence", "is at", "and at"),
        [
            (example["sentence"], example["place"], example["earlier_place"])
            for row in report["shared"]
            for example in row["examples"]
        ],
    )


def _contradictions(report: Report) -> list[Table]:
    found = report["contradictions"]
    kinds = {"several_labels": "several labels", "also_outside": "an entity here, outside of entities there"}
    summary = Table(
        "Contradictory forms in train",
        "A form is the words of an entity in their spelling. It contradicts itself if it is annotated with several "
        "labels, or if the same words stand outside of entities elsewhere in train. Some of that is as it should be.",
        ("Contradiction", "forms", "% of forms", "mentions", "% of mentions"),
        [
            (
                name,
                count(found[kind]["forms"]),
                percent(found[kind]["forms"] / found["forms"]),
                count(found[kind]["mentions"]),
                percent(found[kind]["share_of_mentions"]),
            )
            for kind, name in kinds.items()
            if found["forms"]
        ],
    )
    order = {
        "several_labels": "by mentions that do not have the form's most frequent label",
        "also_outside": "by the smaller of the numbers of mentions and of times outside",
    }
    return [
        summary,
        *(
            Table(
                f"Forms with {name}" if kind == "several_labels" else f"Forms that are {name}",
                f"The first {MOST_FREQUENT} {order[kind]}.",
                ("Form", "labels", "outside"),
                [(row["form"], _labels(row["labels"]), count(row["outside"])) for row in found[kind]["most_frequent"]],
            )
            for kind, name in kinds.items()
        ),
    ]


def _labels(labels: dict[str, int]) -> str:
    return ", ".join(
        f"{label} {count(mentions)}" for label, mentions in sorted(labels.items(), key=lambda item: -item[1])
    )
