"""What scripts/benchmark.py measured, as tables for the terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .speed_plot import best_pipeline
from .tables import Table, count, percent

Report = dict[str, Any]


def spacing_table(rows: Sequence[Report]) -> Table:
    """What `rejoining.measure_rejoining` says."""
    shares = ("share", "sentence_share")
    return Table(
        "Found again in blank-joined → rebuilt text, %",
        "A word is found again if a token begins and ends where it does, a sentence if all its words are.",
        ("Corpus", "Tokenizer", "Words", "Words found", "Sentences wholly found"),
        [
            (
                f"{row['language']} {Path(row['corpus']).name}",
                row["tokenizer"],
                count(row["words"]),
                *(f"{percent(row[f'{share}_blank'])} → {percent(row[f'{share}_rebuilt'])}" for share in shares),
            )
            for row in rows
        ],
    )


def conversion_table(report: Report) -> Table:
    """What `conversion_speed.measure_conversion` says."""
    names = {"large": "scripts/convert.py", "ours": "scripts/convert.py", "spacy": "spacy convert"}
    return Table(
        "Conversion to .spacy, whole processes",
        f"The start of Python included. On the same words ours is {report['ratio']} times as fast as spacy convert.",
        ("Converter", "Sentences", "Words", "Seconds", "Words/s", "Peak memory, MB"),
        [
            (
                converter,
                *(count(report[name][size]) for size in ("sentences", "words")),
                f"{report[name]['seconds']:,.1f}",
                *(count(report[name][size]) for size in ("words_per_second", "peak_memory_mb")),
            )
            for name, converter in names.items()
        ],
    )


def calibration_table(reports: Sequence[Report]) -> Table:
    """What `calibration_report.describe_calibration` says of each pipeline."""
    return Table(
        "Expected calibration error, points",
        "How far confidences are from the share of right entities, without the fitted temperature and with it.",
        ("Pipeline", "Corpus", "Entities", "Temperature", "Before", "After"),
        [
            (
                report["model"],
                report["corpus"],
                count(report["entities"]),
                f"{report['temperature']:.2f}",
                *(percent(report[when]["error"]) for when in ("before", "after")),
            )
            for report in reports
        ],
    )


def documents_table(report: Report) -> Table:
    """What `document_scores.measure_documents` says of each length."""
    corpora = [Path(name) for name in report["rows"][0]["f1"]]
    return Table(
        "Strict F1 in documents of several sentences",
        "Sentences of corpora, joined to documents of at least so many words; 1 is each sentence alone.",
        ("Words", "Read", *(f"{corpus.parent.stem}/{corpus.stem}" for corpus in corpora), "Mean", "Words/s"),
        [
            (
                count(row["words_of_a_document"]),
                "by sentence" if row["by_sentence"] else "as a whole",
                *(percent(f1) for f1 in row["f1"].values()),
                percent(row["mean_f1"]),
                count(round(row["words_per_second"])),
            )
            for row in report["rows"]
        ],
    )


def memory_table(report: Report) -> Table:
    """What `memory_use.describe_growth` says, and the seconds."""
    sizes = ("after_a_tenth_mb", "most_after_a_tenth_mb", "at_the_end_mb")
    return Table(
        "Resident memory, MB",
        "After a tenth of a long run all is there that is loaded or remembered; what comes later is growth.",
        ("Texts", "Seconds", "After a tenth", "Most after it", "At the end"),
        [(count(report["texts"]), f"{report['seconds']:,.0f}", *(f"{report[size]:,.0f}" for size in sizes))],
    )


def annotation_tables(speed: Report, engines: Report) -> list[Table]:
    """What `annotation_speed.measure_annotation_speed` and `measure_engines` say."""
    ways = {"pipe": "nlp.pipe", "annotate": "multiner annotate"}
    same = {True: "are the same, byte for byte", False: "are NOT the same", None: "were not compared"}
    return [
        Table(
            "From file to files beside nlp.pipe in memory, words/s",
            f"multiner annotate has {percent(speed['ratio'])} % of the speed of nlp.pipe.",
            ("", *(f"Round {number}" for number in range(1, len(speed["pipe"]) + 1))),
            [(title, *(f"{value:,.0f}" for value in speed[way])) for way, title in ways.items()],
        ),
        Table(
            f"Engines, {count(engines['documents'])} documents",
            f"Start and loading included. The files of processes and of Ray {same[engines['same_output']]}.",
            ("Engine", "Seconds"),
            [(engine, f"{seconds:,.1f}") for engine, seconds in engines["seconds"].items()],
        ),
    ]


def training_table(report: Report) -> Table:
    """What `training_speed.compare_training` says of each seed, with what both sides were given."""
    return Table(
        f"{report['epochs']} epochs, batches of {report['batch_size']}",
        "Sentences/s of training alone; seconds of the whole process until the scores are there; F1 by seqeval.",
        ("Recipe", "Seed", "Sentences/s", "Seconds", "Peak memory, MB", "Test F1, default", "strict"),
        [
            (
                name,
                str(run["seed"]),
                f"{run[name]['sentences_per_second']:.1f}",
                f"{run[name]['seconds']:,.0f}",
                count(run[name]["peak_memory_mb"]),
                *(percent(run[name][score]) for score in ("test_default", "test_strict")),
            )
            for run in report["runs"]
            for name in ("usual", "ours")
        ],
    )


def speed_table(report: Report) -> Table:
    """What `prediction_speed.measure_speed` says."""
    best = best_pipeline(report)
    of_gpu = ("GPU busy, %", "GPU memory, MB") if any("gpu_busy" in row for row in report["ways"].values()) else ()
    return Table(
        f"Tagging {count(report['words'])} words in {count(report['texts'])} texts, medians of {report['rounds']}",
        "Times: of the best pipeline of transformers. Latency: of one short text, half and 95 % of them. Equal: words "
        "with the label that ours gives in float32. Share: of what the machine computed of a large product just then.",
        ("Way", "Words/s", "Times", "Latency, ms", "95 %", "Peak memory, MB", "Equal, %", "F1", "Share, %", *of_gpu),
        [
            (
                name,
                f"{row['words_per_second']:,.0f}",
                f"{row['words_per_second'] / best:.2f}",
                *(f"{row['latency_ms'][point]:,.1f}" for point in ("median", "p95")),
                count(row["peak_memory_mb"]),
                f"{100 * row['equal_labels']:.2f}" if "equal_labels" in row else "-",
                percent(row.get("f1")),
                percent(row["share_of_these"]),
                *((percent(row["gpu_busy"]), count(row["gpu_memory_mb"])) if of_gpu else ()),
            )
            for name, row in report["ways"].items()
        ],
    )


def analysis_table(report: Report) -> Table:
    """What `analysis_speed.measure_analysis` says."""
    return Table(
        f"{count(report['sentences'])} sentences, {count(report['words'])} words, F1 {percent(report['f1'])}",
        f"Peak memory {count(report['peak_memory_mb'])} MB.",
        ("Part", "Seconds"),
        [(name, f"{seconds:,.1f}") for name, seconds in report["seconds"].items()],
    )
