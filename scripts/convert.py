"""Convert corpora to spaCy's binary format: column files, JSON lines, DocBin, or datasets by name."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from multiner.catalog import HUB
from multiner.console import err, out, plain_errors
from multiner.corpora import Conversion, changes_path, convert, convert_splits, has_splits
from multiner.docbins import SHARD
from multiner.recipes import Recipe, SourceRecipe, make_layout, parse_fractions, parse_renamings, read_recipe
from multiner.sentences import Sentence
from multiner.tags import Scheme

STEP = 2000  # sentences between two looks at the clock


def main(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE... [OUT]",
            help=f"Files, folders, names ({', '.join(HUB)}), repositories on the hub, or one recipe (.toml); then what "
            "to write. Of a single name that is corpus/NAME.spacy.",
        ),
    ],
    split: Annotated[
        str | None, typer.Option(help="Take only this part: train, dev or test. Else OUT is a folder with all parts.")
    ] = None,
    languages: Annotated[str, typer.Option("--lang", help="Take only these languages: de,fr,it,en.")] = "",
    fractions: Annotated[str, typer.Option(help="Draw this share of each of them: .629,.229,.084,.059.")] = "",
    sentences: Annotated[
        int, typer.Option(help="Draw so many sentences (without --split only to train on); 0 for all.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Seed of drawing, the one of datasets.Dataset.shuffle.")] = 0,
    language: Annotated[
        str | None,
        typer.Option(help="Language of sentences that do not say (lang:word) and whose folder has no such name."),
    ] = None,
    rename: Annotated[
        str, typer.Option(help="Rename, merge or drop labels: person=PER,group=ORG,corporation=ORG,product=.")
    ] = "",
    labels: Annotated[str, typer.Option(help="Refuse other labels than these: PER,LOC,ORG.")] = "",
    repair: Annotated[
        bool, typer.Option(help="Make illegal tag sequences legal, count the changes and list them beside the output.")
    ] = False,
    scheme: Annotated[Scheme | None, typer.Option(help="Tagging scheme, if it should not be found out.")] = None,
    encoding: Annotated[str, typer.Option(help="Encoding of column files.")] = "utf-8",
    separator: Annotated[
        str | None, typer.Option(help="'tab' or 'blank'; with this or the next three nothing is found out.")
    ] = None,
    word_column: Annotated[int | None, typer.Option(help="Column of the words, counted from 0.")] = None,
    tag_column: Annotated[int | None, typer.Option(help="Column of the tags; -1 is the last.")] = None,
    language_prefix: Annotated[
        bool, typer.Option(help="Words have their language in front, as in de:Wort (with named columns).")
    ] = False,
    repository: Annotated[
        str | None, typer.Option(help="Take a corpus by name from this folder, or from this repository on the hub.")
    ] = None,
    config: Annotated[str | None, typer.Option(help="Configuration of a dataset; {language} in it is filled.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a dataset on the hub.")] = None,
    words_field: Annotated[str | None, typer.Option(help="Where a dataset or JSON lines have the words.")] = None,
    tags_field: Annotated[str | None, typer.Option(help="Where they have the tags.")] = None,
    tag_names: Annotated[str, typer.Option(help="What numbers of tags stand for: O,B-PER,I-PER.")] = "",
    shard: Annotated[int, typer.Option(help="Sentences in a file; of more, OUT is a folder of files.")] = SHARD,
) -> None:
    """Convert corpora to .spacy files, one document a sentence, and say what went in.

    Separators, index columns, language prefixes and the scheme (IOB1, IOB2, BIOES, BILUO) are found out.
    What is wrong with a source is said with its line, and then nothing is written.

    Examples: convert.py train.conll train.spacy | convert.py folder corpus/mine.spacy | convert.py panx --lang
    de,fr,it,en --fractions .629,.229,.084,.059 | convert.py panx --repository ../xtreme --lang de out.spacy --split dev
    """
    *origins, target = sources if len(sources) > 1 else [*sources, f"corpus/{sources[0]}.spacy"]
    if len(sources) == 1 and sources[0] not in HUB:
        raise typer.BadParameter("Give at least one source and the file or folder to write.")
    with plain_errors():
        settings = SourceRecipe(
            origins[0],
            languages=_list(languages),
            fractions=parse_fractions(_list(fractions)),
            language=language,
            rename=parse_renamings(_list(rename)),
            repair=repair,
            layout=make_layout(separator, word_column, tag_column, language_prefix),
            scheme=scheme,
            encoding=encoding,
            repository=repository,
            config=config,
            revision=revision,
            words_field=words_field,
            tags_field=tags_field,
            tag_names=_list(tag_names),
        )
        if origins[0].endswith(".toml"):
            recipe = read_recipe(Path(origins[0]), language)
            if labels or len(origins) > 1 or settings != SourceRecipe(origins[0], language=language):
                raise typer.BadParameter(f"{origins[0]} says what is read and how: put the settings there.")
        else:
            recipe = Recipe(tuple(replace(settings, origin=origin) for origin in origins), _list(labels))
        path = Path(target)
        if split is None and has_splits(recipe):
            parts = convert_splits(recipe, path, sentences=sentences, seed=seed, shard=shard, watch=progress_bar)
            for name, conversion in parts.items():
                show(conversion, path / f"{name}.spacy")
        else:
            show(
                convert(recipe, path, split=split, sentences=sentences, seed=seed, shard=shard, watch=progress_bar),
                path,
            )


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def progress_bar(sentences: Iterator[Sentence]) -> Iterator[Sentence]:
    """Show how many sentences and words have gone by, and how fast."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("")
        words = 0
        for number, sentence in enumerate(sentences, 1):
            words += len(sentence.words)
            if number % STEP == 0:
                speed = words / (progress.tasks[task].elapsed or 1)
                progress.update(task, description=f"{number:,} sentences, {words:,} words, {speed:,.0f} words/s")
            yield sentence


def show(conversion: Conversion, target: Path) -> None:
    """Print what a corpus is made of."""
    table = Table(title=str(target), title_justify="left")
    for column in ("Docs", "Words", "Entities", *sorted(conversion.labels), "Languages", "Scheme"):
        table.add_column(column, justify="right")
    table.add_row(
        f"{conversion.docs:,}",
        f"{conversion.words:,}",
        f"{conversion.entities:,}",
        *(f"{conversion.labels[label]:,}" for label in sorted(conversion.labels)),
        " ".join(f"{language} {count:,}" for language, count in sorted(conversion.languages.items())),
        " ".join(sorted(conversion.schemes)),
    )
    out.print(table)
    for source, label, name, count in conversion.renamed:
        fate = f"became {name}" if name else "were dropped"
        out.print(f"{count:,} entities {label} of {source} {fate}.")
    for count, what in (
        (conversion.left_out, "sentences were not drawn"),
        (conversion.other_languages, "sentences are in other languages than --lang takes"),
        (conversion.document_starts, "-DOCSTART- lines are no words and were passed over"),
        (conversion.empty_rows, "rows have no words and were passed over"),
        (conversion.unannotated_words, "words have no annotation, neither of an entity nor of none"),
    ):
        if count:
            out.print(f"{count:,} {what}.")
    for source in conversion.absent:
        out.print(f"[yellow]{source} has no such part.[/]")
    if conversion.changes:
        out.print(
            f"[yellow]{len(conversion.changes):,} tags or spans were not taken over as they were; they are listed in "
            f"{changes_path(target)}[/]"
        )


if __name__ == "__main__":
    typer.run(main)
