"""The letters that languages are written in, as running text has them."""

import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.util import find_spec

from .errors import UserError

# Of running letters one in a hundred thousand is none of the language's: é is a letter of English text, ж is not.
COVERED = 0.99999
# A script that less of the letters belong to is that of foreign words alone.
LEAST_OF_SCRIPT = 0.05


class WordListsMissing(UserError, ImportError):
    """The package with word lists of languages is not installed, or does not know the language."""


def characters_of_languages(languages: Iterable[str]) -> set[str]:
    """All characters that texts in these languages are written with: letters, small and capital, digits and signs.

    languages (Iterable[str]): Their codes, for example "de". None gives no characters.
    RAISES: WordListsMissing.
    """
    letters = set().union(*(letters_of(_word_frequencies(language)) for language in languages))
    if not letters:
        return set()
    characters = map(chr, range(sys.maxunicode + 1))
    return {each for each in characters if set(each.casefold()) <= letters or unicodedata.category(each)[0] in "NPS"}


def letters_of(words: Mapping[str, float]) -> set[str]:
    """The letters of words, marks on letters included; those that hardly occur, and foreign scripts, are left out.

    words (Mapping[str, float]): How often each word occurs, in any unit.
    """
    letters: Counter[str] = Counter()
    for word, frequency in words.items():
        for character in word:
            letters[character] += frequency  # type: ignore[assignment]  # any number can be counted
    for character in [each for each in letters if unicodedata.category(each)[0] not in "LM"]:
        del letters[character]
    scripts: Counter[str] = Counter()
    for letter, frequency in letters.items():
        scripts[script_of(letter)] += frequency
    left, found = COVERED * letters.total(), set()
    for letter, frequency in letters.most_common():
        if left <= 0:
            break
        left -= frequency
        if scripts[script_of(letter)] >= LEAST_OF_SCRIPT * letters.total():
            found.add(letter)
    return found


def script_of(character: str) -> str:
    """The script that a character belongs to, by the first word of its name in Unicode; empty if it has none."""
    return unicodedata.name(character, "").partition(" ")[0]


def _word_frequencies(language: str) -> Mapping[str, float]:
    if find_spec("wordfreq") is None:
        raise WordListsMissing(
            "What languages are written in is found in the word lists of wordfreq: pip install "
            "'spacy-multiner[trim]'. Or give texts alone."
        )
    from wordfreq import available_languages, get_frequency_dict

    known = available_languages("best")
    if language not in known:
        raise WordListsMissing(f"wordfreq has no words of '{language}', only of {', '.join(sorted(known))}.")
    frequencies: Mapping[str, float] = get_frequency_dict(language, "best")
    return frequencies
