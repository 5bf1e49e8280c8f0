"""Where blanks stood: running text from the words of a corpus that does not say.

Column files lose the blanks between words. A pipeline whose training texts put one before every comma would meet
other texts in use than it was trained on, and its scores on raw text could not be measured. So the blanks are
rebuilt by the typographic rules of each language.
"""

from collections.abc import Sequence

OPENING = frozenset("([{¿¡")
CLOSING = frozenset(")]}.,;:!?…%")
FRENCH_SPACED = frozenset(";:!?%")
STRAIGHT_QUOTES = frozenset(['"', "'", "''", "``"])
# Quotation marks that open and close, by language; elsewhere the English ones hold.
QUOTES = {"de": ("„‚»›«", "“‘«‹»"), "fr": ("“‘", "”’"), "it": ("«“‘", "»”’"), "en": ("“‘«", "”’»")}
ELIDING = frozenset(["fr", "it", "ca", "lij", "oc"])
APOSTROPHES = ("'", "’")
# Cut short at the end, not before a vowel: a blank follows.
SHORTENED = frozenset(["po'", "de'", "po’", "de’"])
ENGLISH_CLITICS = frozenset(["n't", "'s", "'m", "'re", "'ve", "'ll", "'d"])
UNSPACED = frozenset(["ja", "lo", "my", "th", "zh", "km"])


def spaces_after(words: Sequence[str], language: str | None) -> list[bool]:
    """Whether a blank follows each word in running text of that language.

    language (str | None): An ISO 639 code; with None the rules that most European languages share hold.
    RETURNS: One bool a word; the last one is False.

    >>> spaces_after(["L'", "Italie", ",", "oui", "!"], "fr")
    [False, False, True, True, False]
    """
    if language in UNSPACED:
        return [False] * len(words)
    glued_left, glued_right = _glued(words, language)
    return [
        not (glued_right[index] or glued_left[index + 1]) if index + 1 < len(words) else False
        for index in range(len(words))
    ]


def join_words(words: Sequence[str], language: str | None) -> str:
    """The running text of some words."""
    spaces = spaces_after(words, language)
    return "".join(word + " " * space for word, space in zip(words, spaces, strict=True))


def _glued(words: Sequence[str], language: str | None) -> tuple[list[bool], list[bool]]:
    """For each word, whether it clings to the one before it and to the one after it."""
    openers, closers = QUOTES.get(language or "en", QUOTES["en"])
    left, right = [False] * len(words), [False] * len(words)
    open_quotes: set[str] = set()
    for index, word in enumerate(words):
        either_way = word in openers and word in closers  # »so« in Germany, «so» in Switzerland
        if word in STRAIGHT_QUOTES or either_way:
            kind = "guillemets" if either_way else word
            closes = kind in open_quotes
            open_quotes.symmetric_difference_update([kind])
            left[index], right[index] = closes, not closes
        elif word in OPENING or word in openers:
            right[index] = True
        elif word in closers:
            left[index] = True
        elif word[0] in CLOSING and not any(map(str.isalnum, word)):
            after_mark = index > 0 and words[index - 1][-1] in CLOSING
            left[index] = after_mark or not (language == "fr" and word[0] in FRENCH_SPACED)
        elif word.lower().replace("’", "'") in ENGLISH_CLITICS and language in {"en", None}:
            left[index] = True
        elif language in ELIDING and word.endswith(APOSTROPHES) and len(word) > 1 and word.lower() not in SHORTENED:
            right[index] = True
    return left, right
