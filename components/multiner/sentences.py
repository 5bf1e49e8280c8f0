"""Sentences of corpora, whatever file or dataset they come from, and the account that is kept while reading."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .errors import UserError
from .tags import Scheme, is_tag, to_iob2

MISSING = "-"


class CorpusError(UserError, ValueError):
    """A corpus that cannot be read as it stands; the message names the place, the value there and the remedy."""

    def __init__(self, place: str, problem: str, remedy: str) -> None:
        super().__init__(f"{place}: {problem} {remedy}")


class SplitError(CorpusError):
    """A source that has no part of the wanted name."""


class Sentence(NamedTuple):
    """Words with a tag each.

    words (list[str]): None of them empty.
    tags (list[str]): Legal IOB2; `MISSING` for a word of which nothing is known.
    language (str | None): If the source says it.
    source (str): Where it was found: the file and line, or the dataset and row.
    spaces (list[bool] | None): Whether a blank follows each word, if the source says it.
    """

    words: list[str]
    tags: list[str]
    language: str | None
    source: str
    spaces: list[bool] | None = None


class Change(NamedTuple):
    """Something that was not taken over as it stood in the source.

    source (str): Where it stands.
    text (str): The word, or the words, concerned.
    found (str): The tag or label there.
    read_as (str): What was made of it.
    reason (str): Why.
    """

    source: str
    text: str
    found: str
    read_as: str
    reason: str


@dataclass
class Account:
    """What was met while reading, for people to check.

    schemes (Counter): Files, or splits of datasets, by tagging scheme.
    changes (list[Change]): Repairs, and what could not be taken over.
    document_starts (int): `-DOCSTART-` lines that were passed over.
    empty_rows (int): Rows of datasets without a word, which are no sentences.
    """

    schemes: Counter[str] = field(default_factory=Counter)
    changes: list[Change] = field(default_factory=list)
    document_starts: int = 0
    empty_rows: int = 0


def sentence_from_row(
    words: Sequence[object],
    tags: Sequence[object],
    place: str,
    *,
    names: Sequence[str] | None = None,
    scheme: Scheme = Scheme.IOB2,
    language: str | None = None,
    spaces: list[bool] | None = None,
    repair: bool = False,
    account: Account,
) -> Sentence:
    """A sentence from a list of words and a list of tags, as JSON lines and datasets have them.

    tags (Sequence[object]): Tags, or numbers of tags.
    place (str): Where the row stands, for messages.
    names (Sequence[str] | None): The tags that numbers stand for.
    repair (bool): Make an illegal sequence of tags legal and list the changes, instead of refusing it.
    RAISES: CorpusError for rows of unlike length, words that are empty or no text, numbers without a name, unknown
        tags, illegal sequences.
    """
    if len(words) != len(tags):
        raise CorpusError(
            place, f"{len(words)} words, but {len(tags)} tags.", "Every word needs one tag; correct the row."
        )
    for word in words:
        if not isinstance(word, str) or not word.strip():
            raise CorpusError(place, f"{word!r} is no word.", "Words are text with a letter or sign in it.")
    names_of_tags = [_name_tag(tag, names, word, place) for word, tag in zip(words, tags, strict=True)]
    plain_words = [str(word) for word in words]
    iob2 = legal_tags(plain_words, names_of_tags, scheme, lambda _: place, repair=repair, account=account)
    return Sentence(plain_words, iob2, language, place, spaces)


def legal_tags(
    words: Sequence[str],
    tags: Sequence[str],
    scheme: Scheme,
    place: Callable[[int], str],
    *,
    repair: bool,
    account: Account,
) -> list[str]:
    """The tags of a sentence as legal IOB2.

    place (Callable[[int], str]): Where the word of a number stands, for messages.
    repair (bool): List every change in the account instead of refusing illegal sequences.
    RAISES: CorpusError.
    """
    iob2, problems = to_iob2(tags, scheme)
    for problem in problems:
        where, word = place(problem.word), words[problem.word]
        if not repair:
            raise CorpusError(
                where,
                f"the tag '{problem.tag}' of '{word}' is not legal {scheme.value.upper()}: {problem.reason}.",
                "Correct it, name another scheme with --scheme, or let --repair change it and list what it changed.",
            )
        account.changes.append(Change(where, word, problem.tag, problem.iob2, problem.reason))
    return iob2


def check_tag(tag: str, word: object, place: str, question: str) -> None:
    """Make sure that a tag is one.

    question (str): What may be the matter if it is not.
    RAISES: CorpusError.
    """
    if not is_tag(tag):
        remedy = f"Tags are 'O' or a prefix such as 'B-' and a label. {question}"
        raise CorpusError(place, f"'{tag}' (for '{word}') is not a tag.", remedy)


def _name_tag(tag: object, names: Sequence[str] | None, word: object, place: str) -> str:
    if isinstance(tag, str):
        check_tag(tag, word, place, "Is another field the tags (--tags-field)?")
        return tag
    if not isinstance(tag, int) or isinstance(tag, bool):
        raise CorpusError(place, f"{tag!r} (for '{word}') is not a tag.", "Tags are text, or whole numbers with names.")
    if names is None:
        raise CorpusError(
            place, f"the tag of '{word}' is the number {tag}, and nothing says its name.", "Give --tag-names."
        )
    if not 0 <= tag < len(names):
        raise CorpusError(
            place,
            f"the tag of '{word}' is the number {tag}, but only 0 to {len(names) - 1} have names.",
            f"The names are {', '.join(names)}; name the right ones with --tag-names.",
        )
    return names[tag]
