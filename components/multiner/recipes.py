"""What a corpus is made of: one or more sources, with what is taken of each and how it is read.

The command line describes one source; several with different settings are described in a TOML file, which can be
checked in beside the config:

    labels = ["PER", "LOC", "ORG"]      # refuse any other

    [[source]]
    from = "panx"
    languages = ["de", "fr"]
    fractions = [0.629, 0.229]

    [[source]]
    from = "../shared/data/wnut17"
    language = "en"
    rename = { person = "PER", location = "LOC", corporation = "ORG", group = "ORG", product = "", creative-work = "" }
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .columns import Layout
from .errors import UserError
from .tags import Scheme

NUMBER = re.compile(r"\d*\.?\d+")
SEPARATORS = {"tab": "\t", "blank": None}


class RecipeError(UserError, ValueError):
    """A recipe that cannot be followed; the message names the file, the setting and what to do."""


@dataclass(frozen=True)
class SourceRecipe:
    """A source and how it is read.

    origin (str): A file, a folder, the name of a corpus in `multiner.catalog`, or a repository on the hub.
    languages (tuple[str, ...]): Take only sentences of these; all if empty.
    fractions (tuple[float, ...]): Of each of `languages` take this share, drawn with the seed.
    language (str | None): Of sentences that do not say theirs, nor lie in a folder named after it.
    rename (Mapping[str, str]): New names of labels; an empty one drops the label. See `multiner.labels.LabelMap`.
    repair (bool): Make illegal tag sequences legal and list the changes, instead of refusing them.
    layout, scheme, encoding: See `multiner.columns.open_columns`.
    repository (str | None): Where to take a corpus of the catalog from, instead of its own repository: a folder, too.
    config, revision (str | None): Of a dataset.
    words_field, tags_field (str | None): Where a dataset or JSON lines have words and tags.
    tag_names (tuple[str, ...]): What numbers of tags stand for.
    """

    origin: str
    languages: tuple[str, ...] = ()
    fractions: tuple[float, ...] = ()
    language: str | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    repair: bool = False
    layout: Layout | None = None
    scheme: Scheme | None = None
    encoding: str = "utf-8"
    repository: str | None = None
    config: str | None = None
    revision: str | None = None
    words_field: str | None = None
    tags_field: str | None = None
    tag_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.fractions and len(self.fractions) != len(self.languages):
            raise RecipeError(
                f"{len(self.fractions)} fractions for {len(self.languages)} languages ({self.origin}). "
                "Every language needs one: --lang de,fr --fractions .6,.4"
            )
        wrong = [fraction for fraction in self.fractions if not 0 < fraction <= 1]
        if wrong:
            raise RecipeError(f"{wrong[0]} is no fraction ({self.origin}). Fractions are above 0 and at most 1.")


@dataclass(frozen=True)
class Recipe:
    """Sources that make a corpus together.

    labels (tuple[str, ...]): The only labels that it may have after renaming; any if empty.
    """

    sources: tuple[SourceRecipe, ...]
    labels: tuple[str, ...] = ()


def make_layout(
    separator: str | None, word_column: int | None, tag_column: int | None, language_prefix: bool
) -> Layout | None:
    """A layout from what was said of it; None if nothing was, so that it is found out.

    RAISES: RecipeError for a separator of another name than `SEPARATORS` has.
    """
    if (separator, word_column, tag_column, language_prefix) == (None, None, None, False):
        return None
    if separator not in {None, *SEPARATORS}:
        raise RecipeError(f"'{separator}' is no separator. It is one of {', '.join(SEPARATORS)}.")
    return Layout(
        SEPARATORS[separator or "tab"],
        0 if word_column is None else word_column,
        -1 if tag_column is None else tag_column,
        language_prefix,
    )


def parse_fractions(texts: Sequence[str]) -> tuple[float, ...]:
    """Numbers from the command line.

    RAISES: RecipeError.
    """
    wrong = [text for text in texts if not NUMBER.fullmatch(text)]
    if wrong:
        raise RecipeError(f"'{wrong[0]}' is no number. Fractions are written .6,.4")
    return tuple(map(float, texts))


def parse_renamings(texts: Sequence[str]) -> dict[str, str]:
    """New names of labels from the command line, each as `old=new`.

    RAISES: RecipeError.
    """
    wrong = [text for text in texts if "=" not in text]
    if wrong:
        raise RecipeError(f"'{wrong[0]}' is no renaming. Write old=new, or old= to drop a label.")
    return dict(text.split("=", 1) for text in texts)


def read_recipe(path: Path, language: str | None = None) -> Recipe:
    """Read a recipe from TOML. Paths in it are relative to the folder in which the program runs.

    language (str | None): Of sources for which it says none.
    RAISES: RecipeError for what is no TOML, for settings that do not exist, lack or have a value of another kind.
    """
    content = read_toml(path, "A recipe")
    check_settings(path, content, {"labels": list, "source": list})
    sources = tuple(
        read_source(f"{path}, source {number}", table, language)
        for number, table in enumerate(content.get("source", []), 1)
    )
    if not sources:
        raise RecipeError(f'{path}: no source. Add [[source]] and, below it, from = "a file, folder or name".')
    return Recipe(sources, tuple(content.get("labels", ())))


KINDS = {
    str: "text",
    list: "list",
    dict: "table of names",
    bool: "yes or no (true, false)",
    int: "whole number",
    float: "number",
}
ELEMENTS: dict[str, type | tuple[type, ...]] = {
    "labels": str,
    "languages": str,
    "fractions": (int, float),
    "tag_names": str,
    "rename": str,
}
SETTINGS: dict[str, type] = {
    "from": str,
    "languages": list,
    "fractions": list,
    "language": str,
    "rename": dict,
    "repair": bool,
    "scheme": str,
    "encoding": str,
    "separator": str,
    "word_column": int,
    "tag_column": int,
    "language_prefix": bool,
    "repository": str,
    "config": str,
    "revision": str,
    "words_field": str,
    "tags_field": str,
    "tag_names": list,
}


def read_source(where: str, table: Any, language: str | None = None) -> SourceRecipe:
    """A source from the table that describes it.

    where (str): Where the table stands, for messages.
    language (str | None): Of sentences, if the table says none.
    RAISES: RecipeError.
    """
    if not isinstance(table, dict):
        raise RecipeError(f"{where}: {table!r} is no table. Write [[source]] and its settings below.")
    check_settings(where, table, SETTINGS)
    settings = {"language": language, **table}
    if "from" not in settings:
        raise RecipeError(f'{where}: nothing says what it is. Add from = "a file, folder or name".')
    layout = make_layout(
        settings.pop("separator", None),
        settings.pop("word_column", None),
        settings.pop("tag_column", None),
        settings.pop("language_prefix", False),
    )
    scheme = settings.pop("scheme", None)
    if scheme not in {None, *Scheme}:
        raise RecipeError(f"{where}: '{scheme}' is no scheme. It is one of {', '.join(Scheme)}.")
    for key in ("languages", "fractions", "tag_names"):
        settings[key] = tuple(settings.get(key, ()))
    return SourceRecipe(
        origin=settings.pop("from"), layout=layout, scheme=Scheme(scheme) if scheme else None, **settings
    )


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The settings in a file.

    what (str): What the file is, for the message.
    RAISES: RecipeError for what is no TOML; FileNotFoundError.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: {error}. {what} is TOML.") from None


def check_settings(where: object, table: dict[str, Any], known: Mapping[str, type | tuple[type, ...]]) -> None:
    """See that a table has only known settings, of the right kinds.

    where: What messages begin with.
    known (Mapping): The settings, and the kinds of value that they may have.
    RAISES: RecipeError.
    """
    for key, value in table.items():
        if key not in known:
            raise RecipeError(f"{where}: there is no setting '{key}'. The settings are {', '.join(known)}.")
        if not isinstance(value, known[key]):
            raise RecipeError(f"{where}: {key} = {value!r} is of the wrong kind; it is a {_kind(known[key])}.")
        elements = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        wrong = [element for element in elements if key in ELEMENTS and not isinstance(element, ELEMENTS[key])]
        if wrong:
            raise RecipeError(f"{where}: {wrong[0]!r} in {key} is of the wrong kind.")


def _kind(kinds: type | tuple[type, ...]) -> str:
    return KINDS[kinds[-1] if isinstance(kinds, tuple) else kinds]
