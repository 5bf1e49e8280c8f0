"""Measure parts of the project by themselves; each figure goes to results/ with the machine it was measured on."""

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress, track
from rich.table import Table

from multiner.analysis_speed import measure_analysis
from multiner.annotation_speed import measure_annotation_memory, measure_annotation_speed, measure_engines
from multiner.benchmark_texts import MADE_UP, made_up_texts, shuffled_texts, texts_of
from multiner.calibration_report import describe_calibration, draw_reliability
from multiner.columns import open_columns
from multiner.console import err, out, plain_errors
from multiner.conversion_speed import measure_conversion
from multiner.evaluation import describe_machine
from multiner.files import new_folder, write_json
from multiner.memory_use import draw_memory, measure_memory
from multiner.pictures import check_matplotlib
from multiner.pipelines import load_pipeline
from multiner.rejoining import language_tokenizers, rejoin
from multiner.small_pipeline import make_small_pipeline
from multiner.tables import percent
from multiner.training_speed import Comparison, compare_training

app = typer.Typer(help=__doc__, add_completion=False, rich_markup_mode=None)


@app.callback()
def main() -> None:
    """Measure parts of the project by themselves; each figure goes to results/ with the machine it was measured on."""


@app.command()
def spacing(
    corpora: Annotated[list[str], typer.Argument(help="Column files with their languages, as in de=FILE fr=FILE.")],
    output: Annotated[Path, typer.Option(help="Where the figures go as JSON.")] = Path("results/spacing.json"),
) -> None:
    """Print how many gold words tokenizers find again in text made of them.

    The text is made in two ways: with a blank between all words, and with blanks rebuilt by the rules of the
    language. It is cut by spaCy's tokenizer of the language and by the project's own for all languages.
    """
    rows: list[dict[str, Any]] = []
    with plain_errors():
        for corpus in corpora:
            language, equals, path = corpus.partition("=")
            if not (language and equals and path):
                raise typer.BadParameter(f"'{corpus}' is not a language and a file, as in de=FILE.")
            sentences = [sentence.words for sentence in open_columns(Path(path)).sentences(repair=True)]
            for name, tokenizer in language_tokenizers(language).items():
                shown = track(sentences, f"{language}, {name}", console=err, transient=True)
                counts = rejoin(shown, language, tokenizer)
                rows.append({"language": language, "corpus": path, "tokenizer": name, **counts.report()})
        command = shlex.join(["python", *sys.argv])
        write_json({"command": command, "machine": describe_machine(), "corpora": rows}, output)
    show_spacing(rows)
    out.print(f"\n[green]✔[/] {output}")


@app.command()
def convert(
    files: Annotated[list[Path], typer.Argument(help="Column files; they are repeated until there is enough.")],
    sentences: Annotated[int, typer.Option(help="Sentences of the large corpus.")] = 2_680_000,
    spacy_sentences: Annotated[int, typer.Option(help="Sentences that `spacy convert` converts too.")] = 50_000,
    output: Annotated[Path, typer.Option(help="Where the figures go as JSON.")] = Path("results/convert.json"),
) -> None:
    """Print how fast a corpus of MultiNERD's size is converted and with how much memory, beside `spacy convert`."""
    with plain_errors():
        converter = [sys.executable, str(Path(__file__).parent / "convert.py")]
        with err.status("Converting"):
            report = measure_conversion(files, converter, sentences=sentences, spacy_sentences=spacy_sentences)
        command = shlex.join(["python", *sys.argv])
        write_json({"command": command, "machine": describe_machine(), **report}, output)
    table = Table(title="Conversion to .spacy, whole processes", title_justify="left")
    for column in ("Converter", "Sentences", "Words", "Seconds", "Words/s", "Peak memory, MB"):
        table.add_column(column, justify="left" if column == "Converter" else "right")
    for name in ("large", "ours", "spacy"):
        title = "spacy convert" if name == "spacy" else "scripts/convert.py"
        table.add_row(title, *(f"{value:,}" for value in report[name].values()))
    out.print(table)
    out.print(f"{report['ratio']} times as fast as spacy convert\n\n[green]✔[/] {output}")


@app.command()
def calibration(
    models: Annotated[
        list[str], typer.Argument(help="Pipelines and the corpora to look at them with, as in MODEL=TEST.spacy.")
    ],
    output: Annotated[Path, typer.Option(help="Where figures (JSON) and picture (PNG) go.")] = Path(
        "results/calibration.json"
    ),
) -> None:
    """Print how far confidences are from the share of right entities, without the fitted temperature and with it."""
    reports: list[dict[str, Any]] = []
    with plain_errors():
        for pair in models:
            model, equals, corpus = pair.partition("=")
            if not (model and equals and corpus):
                raise typer.BadParameter(f"'{pair}' is not a pipeline and a corpus, as in MODEL=TEST.spacy.")
            with err.status(f"{model} on {corpus}"):
                reports.append(describe_calibration(model, Path(corpus)))
        command = shlex.join(["python", *sys.argv])
        write_json({"command": command, "machine": describe_machine(), "models": reports}, output)
        picture = output.with_suffix(".png")
        draw_reliability(reports, picture)
    table = Table(title="Expected calibration error, points", title_justify="left")
    for column in ("Pipeline", "Corpus", "Entities", "Temperature", "Before", "After"):
        table.add_column(column, justify="left" if column in {"Pipeline", "Corpus"} else "right")
    for report in reports:
        errors = (percent(report[name]["error"]) for name in ("before", "after"))
        table.add_row(
            report["model"], report["corpus"], f"{report['entities']:,}", f"{report['temperature']:.2f}", *errors
        )
    out.print(table)
    out.print(f"\n[green]✔[/] {output}\n[green]✔[/] {picture}")


@app.command()
def small_pipeline(
    folder: Annotated[Path, typer.Argument(help="Where the pipeline goes.")],
    encoder: Annotated[Path, typer.Option(help="A folder with the encoder whose tokenizer it has.")] = Path(
        "assets/e5-small"
    ),
    seed: Annotated[int, typer.Option(help="Of its weights.")] = 0,
) -> None:
    """Write a pipeline for the measurements of memory, of which only the growth counts.

    It has an encoder's tokenizer and vocabulary, but two narrow layers of random weights: texts are cut as they are
    with the encoder, and are through in a fraction of the time. What it finds is chance.

    Example: benchmark.py small-pipeline training/small, and then: benchmark.py memory training/small
    """
    with plain_errors(), err.status("Making a small pipeline"), new_folder(folder) as unfinished:
        make_small_pipeline(encoder, seed).to_disk(unfinished)
    out.print(f"[green]✔[/] {folder}")


@app.command()
def memory(
    model: Annotated[
        str, typer.Argument(help="A pipeline; one that small-pipeline makes does, for only growth counts.")
    ],
    corpus: Annotated[
        list[Path] | None,
        typer.Option(help="Column files whose sentences are the texts, shuffled; without, texts are made up."),
    ] = None,
    texts: Annotated[int, typer.Option(help="How many texts to process; sentences come again.")] = 200_000,
    zone: Annotated[int, typer.Option(help="Texts of one memory zone.")] = 2000,
    output: Annotated[Path, typer.Option(help="Where figures (JSON) and picture (PNG) go.")] = Path(
        "results/memory.json"
    ),
) -> None:
    """Print how much memory a long stream of texts takes, each part of it in a memory zone of spaCy.

    Texts that are made up have very many different words, half of which never come again; texts of a corpus have as
    many new ones as people write.
    """
    if texts < 10 * zone:
        raise typer.BadParameter(f"{texts} texts are less than ten zones of {zone}.")
    with plain_errors():
        check_matplotlib()
        nlp = load_pipeline(model)
        with err.status(f"{texts:,} texts"):
            stream = shuffled_texts(texts_of(corpus), texts) if corpus else made_up_texts(texts)
            report = measure_memory(nlp, stream, zone)
        command = shlex.join(["python", *sys.argv])
        about = {"model": model, "texts_from": list(map(str, corpus)) if corpus else MADE_UP}
        write_json({"command": command, "machine": describe_machine(), **about, **report}, output)
        picture = output.with_suffix(".png")
        draw_memory(report, picture)
    show_memory(report, [output, picture])


@app.command()
def annotate(
    model: Annotated[str, typer.Argument(help="The pipeline whose speed is measured.")],
    files: Annotated[list[Path], typer.Argument(help="Column files; their sentences are the documents.")],
    documents: Annotated[int, typer.Option(help="Annotate so many of them; 0 for all.")] = 5000,
    rounds: Annotated[int, typer.Option(min=1, help="Measure the speed so often, both ways in turn.")] = 3,
    workers: Annotated[int, typer.Option(min=1, help="Processes and Ray actors.")] = 2,
    ray: Annotated[bool, typer.Option(help="Measure Ray beside processes.")] = True,
    output: Annotated[Path, typer.Option(help="Where the figures go as JSON.")] = Path("results/annotate.json"),
) -> None:
    """Print the speed of `multiner annotate` beside `nlp.pipe` in memory, and how long its engines take."""
    with plain_errors():
        sentences = texts_of(files)
        some = sentences[:documents] if documents else sentences
        with err.status(f"{len(some):,} documents, {rounds} rounds"):
            speed = measure_annotation_speed(model, some, rounds)
        with err.status(f"{len(some):,} documents, engines"):
            engines = measure_engines(model, some, workers, ray=ray)
        command = shlex.join(["python", *sys.argv])
        write_json({"command": command, "machine": describe_machine(), "speed": speed, "engines": engines}, output)
    table = Table(title="From file to files beside nlp.pipe in memory, words/s", title_justify="left")
    for column in ("", *(f"Round {number}" for number in range(1, rounds + 1))):
        table.add_column(column, justify="right" if column else "left")
    for name, title in (("pipe", "nlp.pipe"), ("annotate", "multiner annotate")):
        table.add_row(title, *(f"{value:,.0f}" for value in speed[name]))
    out.print(table)
    out.print(f"multiner annotate has {percent(speed['ratio'])} % of the speed of nlp.pipe.\n")
    for name, seconds in engines["seconds"].items():
        out.print(f"{name}: {seconds:,.1f} s for {engines['documents']:,} documents, start and loading included")
    if ray:
        out.print(f"Ray's files are {'the same' if engines['same_output'] else '[red]not[/] the same'}, byte for byte.")
    out.print(f"\n[green]✔[/] {output}")


@app.command()
def annotate_memory(
    model: Annotated[
        str, typer.Argument(help="A pipeline; one that small-pipeline makes does, for only growth counts.")
    ],
    files: Annotated[list[Path], typer.Argument(help="Column files; the documents are made of their sentences.")],
    texts: Annotated[int, typer.Option(min=20, help="How many short documents to annotate.")] = 1_000_000,
    output: Annotated[Path, typer.Option(help="Where figures (JSON) and picture (PNG) go.")] = Path(
        "results/annotate-memory.json"
    ),
) -> None:
    """Print how much memory `multiner annotate` takes over many short documents, shard by shard."""
    with plain_errors():
        check_matplotlib()
        with progress_bar(f"{texts:,} documents", texts) as watch:
            report = measure_annotation_memory(model, texts_of(files), texts, watch)
        command = shlex.join(["python", *sys.argv])
        about = {"texts_from": list(map(str, files)), "new_words": "one made up behind each text"}
        write_json({"command": command, "machine": describe_machine(), **about, **report}, output)
        picture = output.with_suffix(".png")
        draw_memory(report, picture)
    show_memory(report, [output, picture])


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how many of something are done."""
    with Progress(console=err, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


def show_memory(report: dict[str, Any], files: list[Path]) -> None:
    """Print memory as a table, and where figures and picture are."""
    table = Table(title="Resident memory, MB", title_justify="left")
    for column in ("Texts", "Seconds", "After a tenth", "Most after it", "At the end"):
        table.add_column(column, justify="right")
    sizes = (f"{report[f'{when}_mb']:,.0f}" for when in ("after_a_tenth", "most_after_a_tenth", "at_the_end"))
    table.add_row(f"{report['texts']:,}", f"{report['seconds']:,.0f}", *sizes)
    out.print(table)
    out.print("")
    out.print("\n".join(f"[green]✔[/] {file}" for file in files))


@app.command()
def train(
    corpus: Annotated[Path, typer.Argument(help="A folder with train, dev and test .spacy files.")],
    encoder: Annotated[Path, typer.Option(help="The encoder, a folder.")] = Path("assets/e5-small"),
    config: Annotated[Path, typer.Option(help="The config of our side.")] = Path("configs/e5-small.cfg"),
    epochs: Annotated[int, typer.Option(help="Epochs of both.")] = 4,
    batch_size: Annotated[int, typer.Option(help="Sentences in a batch, for both.")] = 16,
    learn_rate: Annotated[float, typer.Option(help="Of the usual recipe; the config has ours.")] = 1e-4,
    seeds: Annotated[list[int] | None, typer.Option(help="Seeds; each is a run of both. By default 0.")] = None,
    output: Annotated[Path, typer.Option(help="Where the figures go as JSON.")] = Path("results/train.json"),
) -> None:
    """Print speed, memory and test F1 of the usual fine-tuning by transformers' Trainer, and of ours, in one run."""
    rows: list[dict[str, Any]] = []
    with plain_errors():
        files = (corpus / f"{split}.spacy" for split in ("train", "dev", "test"))
        shared = Comparison(encoder, *files, config, epochs, batch_size, 0, learn_rate)
        for seed in seeds or [0]:
            with err.status(f"Training both, seed {seed}"):
                rows.append({"seed": seed, **compare_training(shared._replace(seed=seed))})
            about = {name: str(value) if isinstance(value, Path) else value for name, value in shared._asdict().items()}
            command = shlex.join(["python", *sys.argv])
            write_json({"command": command, "machine": describe_machine(), **about, "runs": rows}, output)
    table = Table(title=f"{epochs} epochs, batches of {batch_size}", title_justify="left")
    for column in ("Recipe", "Seed", "Sentences/s", "Seconds", "Peak memory, MB", "Test F1, default", "strict"):
        table.add_column(column, justify="left" if column == "Recipe" else "right")
    for row in rows:
        for name in ("usual", "ours"):
            side = row[name]
            scores = (percent(side[key]) for key in ("test_default", "test_strict"))
            figures = (f"{side['sentences_per_second']:.1f}", f"{side['seconds']:,.0f}", f"{side['peak_memory_mb']:,}")
            table.add_row(name, str(row["seed"]), *figures, *scores)
    out.print(table)
    out.print(f"\n[green]✔[/] {output}")


@app.command()
def analysis(
    test: Annotated[Path, typer.Argument(help="A .spacy file, or a folder of them, to evaluate and analyse.")],
    train: Annotated[Path, typer.Argument(help="What a pipeline would have been trained on.")],
    seed: Annotated[int, typer.Option(help="Of the disturbance and of the bootstrap.")] = 0,
    output: Annotated[Path, typer.Option(help="Where the figures go as JSON.")] = Path("results/analysis.json"),
) -> None:
    """Print how long evaluation and analysis take beside prediction, and with how much memory.

    Nothing is predicted: the gold entities are disturbed instead, so that only the rest is measured.
    """
    with plain_errors():
        with err.status("Evaluating and analysing"):
            report = measure_analysis(test, train, seed)
        command = shlex.join(["python", *sys.argv])
        write_json({"command": command, "machine": describe_machine(), **report}, output)
    sizes = f"{report['sentences']:,} sentences, {report['words']:,} words"
    table = Table(title=f"{sizes}, F1 {percent(report['f1'])}", title_justify="left")
    table.add_column("Part")
    table.add_column("Seconds", justify="right")
    for name, seconds in report["seconds"].items():
        table.add_row(name, f"{seconds:,.1f}")
    out.print(table)
    out.print(f"Peak memory {report['peak_memory_mb']:,} MB\n\n[green]✔[/] {output}")


def show_spacing(rows: list[dict[str, Any]]) -> None:
    """Print the shares as a table."""
    table = Table(title="Found again in blank-joined → rebuilt text, %", title_justify="left")
    for column in ("Corpus", "Tokenizer", "Words", "Words found", "Sentences wholly found"):
        table.add_column(column, justify="left" if column in {"Corpus", "Tokenizer"} else "right")
    for row in rows:
        shares = (
            f"{percent(row[f'{unit}_blank'])} → {percent(row[f'{unit}_rebuilt'])}"
            for unit in ("share", "sentence_share")
        )
        table.add_row(f"{row['language']} {Path(row['corpus']).name}", row["tokenizer"], f"{row['words']:,}", *shares)
    out.print(table)


if __name__ == "__main__":
    app()
