"""Measure parts of the project by themselves; each figure goes to results/ with the machine it was measured on."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from multiner.analysis_speed import measure_analysis
from multiner.annotation_speed import measure_annotation_memory, measure_annotation_speed, measure_engines
from multiner.benchmark_tables import (
    analysis_table,
    annotation_tables,
    calibration_table,
    conversion_table,
    documents_table,
    memory_table,
    spacing_table,
    speed_table,
    training_table,
)
from multiner.benchmark_texts import (
    MADE_UP,
    Profile,
    annotated_texts,
    made_up_texts,
    sentences_of,
    shuffled_texts,
    texts_for_latency,
    texts_of,
)
from multiner.calibration_report import describe_calibration, draw_reliability
from multiner.console import err, out, plain_errors, say_written, settings_among, watched
from multiner.conversion_speed import measure_conversion
from multiner.document_scores import measure_documents
from multiner.figures import keep_figures
from multiner.files import new_folder
from multiner.memory_use import draw_memory, measure_memory
from multiner.pictures import check_matplotlib
from multiner.pipelines import load_pipeline
from multiner.prediction_speed import measure_speed
from multiner.rejoining import measure_rejoining
from multiner.small_pipeline import make_small_pipeline
from multiner.speed_plot import draw_speed
from multiner.tables import show
from multiner.training_speed import Comparison, compare_training

LANGUAGES = ("de", "fr", "it", "en")

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
    with plain_errors():
        files = [(language, Path(file)) for language, file in (parts_of(corpus, "de=FILE") for corpus in corpora)]
        with watched() as watch:
            rows = measure_rejoining(files, watch)
        keep_figures({"corpora": rows}, output)
    show([spacing_table(rows)], out)
    say_written(output)


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
        keep_figures(report, output)
    show([conversion_table(report)], out)
    say_written(output)


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
        for model, corpus in [parts_of(pair, "MODEL=TEST.spacy") for pair in models]:
            with err.status(f"{model} on {corpus}"):
                reports.append(describe_calibration(model, Path(corpus)))
        keep_figures({"models": reports}, output)
        picture = output.with_suffix(".png")
        draw_reliability(reports, picture)
    show([calibration_table(reports)], out)
    say_written(output, picture)


@app.command()
def documents(
    model: Annotated[str, typer.Argument(help="A pipeline that has learnt from single sentences.")],
    corpora: Annotated[list[Path], typer.Argument(help="Test corpora of single sentences, .spacy.")],
    words: Annotated[
        list[int] | None, typer.Option(help="Words of a document, as often as wanted: 1, 100, 10000.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Where the figures go as JSON.")] = Path("results/documents.json"),
) -> None:
    """Print what is found in documents of several sentences, read as a whole and sentence by sentence.

    Example: benchmark.py documents training/sample/model-best corpus/sample.spacy/test.spacy
    """
    lengths = words or [1, 100, 10_000]
    with plain_errors():
        with progress_bar(model, 2 * len(lengths)) as advance:
            rows = []
            for row in measure_documents(model, corpora, lengths):
                rows.append(row)
                advance(len(rows))
        report = {"model": model, "rows": rows}
        keep_figures(report, output)
    show([documents_table(report)], out)
    say_written(output)


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
    say_written(folder)


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
    part: Annotated[int, typer.Option(help="Texts of one part.")] = 2000,
    output: Annotated[Path, typer.Option(help="Where figures (JSON) and picture (PNG) go.")] = Path(
        "results/memory.json"
    ),
) -> None:
    """Print how much memory a long stream of texts takes, part by part of a `LongRun`.

    Texts that are made up have far more different words than people write, which shows soon what would grow; those
    of a corpus have as many as it has.
    """
    if texts < 10 * part:
        raise typer.BadParameter(f"{texts} texts are less than ten parts of {part}.")
    with plain_errors():
        check_matplotlib()
        nlp = load_pipeline(model)
        with err.status(f"{texts:,} texts"):
            stream = shuffled_texts(texts_of(corpus), texts) if corpus else made_up_texts(texts)
            report = measure_memory(nlp, stream, part)
        about = {"model": model, "texts_from": list(map(str, corpus)) if corpus else MADE_UP}
        picture = keep_memory({**about, **report}, output)
    show([memory_table(report)], out)
    say_written(output, picture)


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
        keep_figures({"speed": speed, "engines": engines}, output)
    show(annotation_tables(speed, engines), out)
    say_written(output)


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
        about = {"texts_from": list(map(str, files)), "new_words": "one made up behind each text"}
        picture = keep_memory({**about, **report}, output)
    show([memory_table(report)], out)
    say_written(output, picture)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train(
    context: typer.Context,
    corpus: Annotated[Path, typer.Argument(help="A folder with train, dev and test .spacy files.")],
    encoder: Annotated[Path, typer.Option(help="The encoder, a folder.")] = Path("assets/e5-small"),
    config: Annotated[Path, typer.Option(help="The config of our side.")] = Path("configs/e5-small.cfg"),
    epochs: Annotated[int, typer.Option(help="Epochs of both.")] = 4,
    batch_size: Annotated[int, typer.Option(help="Sentences in a batch, for both.")] = 16,
    learn_rate: Annotated[float, typer.Option(help="Of the usual recipe; the config has ours.")] = 1e-4,
    seeds: Annotated[list[int] | None, typer.Option(help="Seeds; each is a run of both. By default 0.")] = None,
    output: Annotated[Path, typer.Option(help="Where the figures go as JSON.")] = Path("results/train.json"),
) -> None:
    """Print speed, memory and test F1 of the usual fine-tuning by transformers' Trainer, and of ours, in one run.

    Settings of the config can be changed as for `spacy train`, with --components.ner.model.frozen_layers 0 say.
    """
    rows: list[dict[str, Any]] = []
    with plain_errors():
        train_file, dev, test = (corpus / f"{split}.spacy" for split in ("train", "dev", "test"))
        settings = settings_among(context.args)
        shared = Comparison(encoder, train_file, dev, test, config, epochs, batch_size, 0, learn_rate, settings)
        for seed in seeds or [0]:
            with err.status(f"Training both, seed {seed}"):
                rows.append({"seed": seed, **compare_training(shared._replace(seed=seed))})
            report = {**shared.report(), "runs": rows}
            keep_figures(report, output)
    show([training_table(report)], out)
    say_written(output)


@app.command()
def speed(
    model: Annotated[str, typer.Argument(help="The pipeline: a folder, or the name of an installed package.")],
    files: Annotated[list[Path] | None, typer.Argument(help="Column files; WikiNEuRal's tests if none.")] = None,
    profile: Annotated[
        Profile, typer.Option(help="Sentences of at most 12 words, all of them, or texts of 10,000 words.")
    ] = "middle",
    sentences: Annotated[int, typer.Option(min=1, help="How many of each file at most.")] = 200,
    rounds: Annotated[int, typer.Option(min=1, help="How often each way has its turn.")] = 3,
    gpu_id: Annotated[int, typer.Option(help="GPU that all ways compute on; -1 for the CPU.")] = -1,
    output: Annotated[Path, typer.Option(help="Where figures (JSON) and picture (PNG) go.")] = Path(
        "results/speed.json"
    ),
) -> None:
    """Print how fast texts are tagged by the usual ways and by ours in each number format, in one run.

    All have the same weights and texts, each in a process of its own: words/s, latency of a short text, memory, equal
    labels, F1, and the share of what the machine can compute; of a GPU its memory, and the share of time in which it
    computed, which takes thousands of sentences to tell. Ways whose packages are not installed are left out.
    """
    with plain_errors():
        check_matplotlib()
        sources = files or [Path(f"../shared/data/wikineural/{language}/test.conllu") for language in LANGUAGES]
        texts = annotated_texts(sentences_of(sources, sentences), profile)
        short = texts_for_latency(sentences_of(sources, sentences))
        with err.status("") as status:
            report = measure_speed(model, texts, short, rounds, lambda way: status.update(f"{way} ..."), gpu_id)
        keep_figures({"texts_from": list(map(str, sources)), "profile": profile, **report}, output)
        picture = output.with_suffix(".png")
        draw_speed(report, picture)
    show([speed_table(report)], out)
    say_written(output, picture)


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
        keep_figures(report, output)
    show([analysis_table(report)], out)
    say_written(output)


def keep_memory(report: dict[str, Any], output: Path) -> Path:
    """Write figures of memory, and draw them beside. RETURNS: The picture."""
    keep_figures(report, output)
    picture = output.with_suffix(".png")
    draw_memory(report, picture)
    return picture


def parts_of(pair: str, example: str) -> tuple[str, str]:
    """The two sides of an argument such as de=FILE."""
    left, _, right = pair.partition("=")
    if not (left and right):
        raise typer.BadParameter(f"'{pair}' is not of the form {example}.")
    return left, right


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how many of something are done."""
    with Progress(console=err, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


if __name__ == "__main__":
    app()
