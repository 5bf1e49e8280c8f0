"""Where blanks stood: running text from the words of a corpus that does not say.

Column files lose the blanks between words. A pipeline whose training texts put one before every comma would meet
other texts in use than it was trained on, and its scores on raw text could not be measured. So the blanks are
rebuilt by the typographic rules of each language.

A blank stands between two words unless a rule takes it away. Most words have no rule. The others have one: a
function that looks at the word's neighbours where it must. Which word has which rule is found out once for each
language and then remembered. What languages differ in stands in the tables; a language that is in none of them gets
what most European languages share.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache

REMEMBERED_WORDS = 2**17

OPENING = frozenset("([{¿¡")
# Latin, Arabic, Indic, Armenian, Greek, Ethiopic and Hebrew marks.
CLOSING = frozenset(")]}.,;:!?…‥‼،؛؟۔।॥։՝՞·;·።፣፤፥፦፧׃")
# Their wide glyphs bring their own blank, so none stands on either side.
FULL_WIDTH = frozenset("，。、．：；！？（）［］「」『』【】《》〈〉〔〕・")
SENTENCE_MARKS = ".!?…"
ENTITY_QUOTE = "&quot;"
APOSTROPHES = frozenset("'’")
ASCII_APOSTROPHE = str.maketrans("’", "'")

# Quotation marks that open, and those that close; one that does both closes where one of its kind is open.
SHARED_QUOTES = ("„‚“‘«‹", "”’»›")
LOW_HIGH_QUOTES = ("„‚«»‹›", "“‘«»‹›")  # »so« in Germany, «so» in Switzerland
SAME_QUOTES = ("„‚”»", "”’»")
LANGUAGE_QUOTES = {
    **dict.fromkeys(["bg", "cs", "da", "de", "et", "hr", "is", "ka", "lb", "lt", "sk", "sl", "sr"], LOW_HIGH_QUOTES),
    **dict.fromkeys(["fi", "sv"], SAME_QUOTES),
    **dict.fromkeys(["be", "ru", "uk"], ("„‚«‹", "“”‘’»›")),
    "fr": ("„‚“‘", "”’"),  # blanks stand inside of guillemets
    "hu": ("„‚»", "”’«"),
}
# Marks of one kind, by the name under which it is counted how many are open.
QUOTE_KINDS = {
    **dict.fromkeys("„“”", "double"),
    **dict.fromkeys("‚‘’'", "single"),
    **dict.fromkeys("«»", "guillemets"),
    **dict.fromkeys("‹›", "single guillemets"),
    **dict.fromkeys(["''", "``"], "typewriter"),
    '"': "straight",
    ENTITY_QUOTE: "entity",
}
STRAIGHT_QUOTES = frozenset(['"', "''", ENTITY_QUOTE])
# The corpus's tokenizer left a quotation mark on the word. It opens a quotation, or ends the one that is open.
QUOTED_WORD = re.compile(r"(''|\"|``)\w")

# Signs of a number: °C keeps its blank.
AFTER_NUMBERS = frozenset(["°", "²", "³", "º", "ª", "′", "″", "¢"])
PERCENT_SIGNS = frozenset(["%", "‰", "٪"])
SPACED_PERCENT = frozenset(
    ["be", "cs", "da", "de", "es", "fi", "fr", "lt", "nb", "nn", "no", "ru", "sk", "sl", "sv", "uk"]
)
PERCENT_BEFORE_NUMBER = frozenset(["tr"])
CURRENCIES = frozenset(["$", "£", "¥", "₹", "₩", "US$", "A$", "C$", "HK$", "NT$"])
EURO_BEFORE_NUMBER = frozenset(["en", "ga", "mt"])
FRENCH_SPACED = frozenset(";:!?")

DASHES = frozenset("-–‑−")
# `Haupt- und Nebenrollen`: the words after a hyphen that stands for what two compounds share.
SUSPENDING = {
    "da": frozenset(["og", "eller"]),
    "de": frozenset(["und", "oder", "bzw.", "sowie", "bis"]),
    "en": frozenset(["and", "or", "to"]),
    "nb": frozenset(["og", "eller"]),
    "nl": frozenset(["en", "of"]),
    "no": frozenset(["og", "eller"]),
    "sv": frozenset(["och", "eller"]),
}
# How the second part of a compound with a number begins: `3:0-Sieg`, `18-year-old`.
AFTER_NUMBER_HYPHEN: dict[str, Callable[[str], bool]] = {"de": str.isupper, "en": str.islower}

ENGLISH_CLITICS = frozenset(["n't", "'s", "'m", "'re", "'ve", "'ll", "'d"])
DUTCH = frozenset(["af", "fy", "nl"])  # 's and 'n are words there
# What tokenizers after the Penn Treebank cut in two, by the second part.
ENGLISH_CUT = {"not": {"can"}, "na": {"gon", "wan"}, "ta": {"got"}, "me": {"gim", "lem"}}
# What a word ends with that lost its last letters before the next one: `l'|Italie`, `s-|a`.
ELISION_ENDS = {
    **dict.fromkeys(["ca", "co", "fr", "it", "lb", "lij", "oc", "pms", "scn", "vec"], "'’"),
    "ro": "-",
}
# Cut short at the end, not before a vowel: a blank follows.
SHORTENED = frozenset(["po'", "de'", "mo'", "ca'"])
# After them an apostrophe may be all there is of a possessive.
POSSESSIVE_ENDS = frozenset("sxz")
# What a clitic or an ending that was cut off begins with, before a small letter: `dit|-elle`, `Ankara|'da`.
ENCLITIC_STARTS = {"ca": "-'’", "fr": "-", "pt": "-", "ro": "-", "tr": "'’"}

EMOTICON = re.compile(r"[:;=8][-'^o~]?[()\[\]{}|/\\*dDpPoOsScC3]+")
YEAR = re.compile(r"[12]\d{3}")
SHORT_NUMBER = re.compile(r"\d{1,3}")
SHORT_YEAR = re.compile(r"\d(?:\d|00)s?")
LONGER_NUMBER = re.compile(r".*\d\d")

UNSPACED = frozenset(["bo", "dz", "gan", "ja", "km", "lo", "my", "th", "wuu", "yue", "zh"])


def spaces_after(words: Sequence[str], language: str | None) -> list[bool]:
    """Whether a blank follows each word in running text of that language.

    language (str | None): An ISO 639 code, of which what follows a hyphen is ignored; with None the rules that
        most European languages share hold.
    RETURNS: One bool a word; the last one is False.

    >>> spaces_after(["L'", "Italie", ",", "oui", "!"], "fr")
    [False, False, True, True, False]
    """
    typography = _typography(language)
    rules = list(map(typography.rules.__getitem__, words))
    before = [True] * len(words) + [False]  # one more, so that rules need not ask where the sentence ends
    if any(rules):
        line = _Line(words, rules, before, typography.language)
        for index, rule in enumerate(rules):
            if rule is not None:
                rule(line, index)
    if typography.language in UNSPACED:
        _keep_blanks_of_other_scripts(words, before)
    return before[1:]


def join_words(words: Sequence[str], language: str | None) -> str:
    """The running text of some words."""
    spaces = spaces_after(words, language)
    return "".join(word + " " * space for word, space in zip(words, spaces, strict=True))


class _Line:
    """A sentence while its blanks are taken away.

    before (list[bool]): Whether a blank stands before each word, and after the last one.
    open_quotes (dict[str, int]): How many quotations of each kind are open.
    """

    __slots__ = ("before", "language", "open_quotes", "rules", "words")

    def __init__(
        self, words: Sequence[str], rules: Sequence["_Rule | None"], before: list[bool], language: str | None
    ) -> None:
        self.words = words
        self.rules = rules
        self.before = before
        self.language = language
        self.open_quotes: dict[str, int] = {}

    def word(self, index: int) -> str:
        """A word, or nothing outside of the sentence."""
        return self.words[index] if 0 <= index < len(self.words) else ""

    def starts_here(self, index: int) -> bool:
        """Whether a word begins the sentence, or clings to an opening mark or an elided word before it."""
        return index == 0 or not self.before[index]

    def ends_before(self, index: int) -> bool:
        """Whether the sentence ends before this word, or the word clings to what is before it."""
        return index == len(self.words) or self.rules[index] in CLOSING_RULES

    def is_open(self, mark: str) -> bool:
        """Whether a quotation of the mark's kind is open."""
        return self.open_quotes.get(QUOTE_KINDS[mark], 0) > 0

    def open_or_close(self, mark: str, step: int) -> None:
        """Count a quotation that begins (1) or ends (-1); one that began before the sentence is not counted."""
        kind = QUOTE_KINDS[mark]
        self.open_quotes[kind] = max(0, self.open_quotes.get(kind, 0) + step)


_Rule = Callable[[_Line, int], None]


class _Rules(dict[str, "_Rule | None"]):
    """The rule of each word that was asked for, or None for a word without; the others are found when asked for."""

    def __init__(self, find_rule: Callable[[str], "_Rule | None"]) -> None:
        super().__init__()
        self.find_rule = find_rule

    def __missing__(self, word: str) -> "_Rule | None":
        if len(self) >= REMEMBERED_WORDS:
            self.clear()  # the frequent words are back soon
        rule = self[word] = self.find_rule(word)
        return rule


class _Typography:
    """Which words of a language have which rule."""

    def __init__(self, language: str | None) -> None:
        self.language = language
        self.signs = _rules_of_signs(language)
        self.elision_ends = ELISION_ENDS.get(language or "", "")
        self.enclitic_starts = ENCLITIC_STARTS.get(language or "", "")
        self.rules = _Rules(self.find_rule)

    def find_rule(self, word: str) -> "_Rule | None":
        """The rule of a word, or None."""
        rule = self.signs.get(word)
        if rule is not None or word.isalnum():
            return rule
        return self._rule_of_marks(word) if not any(map(str.isalnum, word)) else self._rule_of_part(word)

    def _rule_of_marks(self, word: str) -> "_Rule | None":
        first = word[:1]
        if first in OPENING:
            return _cling_right
        if first not in CLOSING or EMOTICON.fullmatch(word):
            return None
        return _french_mark if self.language == "fr" and first in FRENCH_SPACED else _cling_left

    def _rule_of_part(self, word: str) -> "_Rule | None":
        plain = word.lower().translate(ASCII_APOSTROPHE)
        if plain in ENGLISH_CLITICS and self.language not in DUTCH:
            return _cling_left
        if word[0] in self.enclitic_starts and word[1].islower():
            return _cling_left
        if word[-1] in self.elision_ends and plain not in SHORTENED:
            return _cling_right
        return _quoted_word if QUOTED_WORD.match(word) else None


def _rules_of_signs(language: str | None) -> "dict[str, _Rule]":
    """The rules of the words that can be named."""
    opening, closing = LANGUAGE_QUOTES.get(language or "", SHARED_QUOTES)
    rules: dict[str, _Rule] = {
        **dict.fromkeys(FULL_WIDTH, _cling_both),
        **dict.fromkeys(DASHES, _dash),
        **dict.fromkeys(AFTER_NUMBERS, _cling_left),
        "/": _slash,
        ":": _colon,
        **dict.fromkeys(["#", *CURRENCIES], _sign_before_number),
        **dict.fromkeys(opening, _opening_quote),
        **dict.fromkeys(closing, _closing_quote),
        **dict.fromkeys(APOSTROPHES, _apostrophe),
        # “ and ‘ may close a quotation of another language.
        **dict.fromkeys(set(opening) & {*closing, *"“‘"}, _quote),
        **dict.fromkeys(STRAIGHT_QUOTES, _quote),
        "``": _opening_quote,
    }
    if language not in SPACED_PERCENT:
        percent = _sign_before_number if language in PERCENT_BEFORE_NUMBER else _cling_left
        rules |= dict.fromkeys(PERCENT_SIGNS, percent)
    if language in EURO_BEFORE_NUMBER:
        rules["€"] = _sign_before_number
    if language == "en":
        rules |= dict.fromkeys([*ENGLISH_CUT, "s"], _english_cut)
    return rules


@cache
def _typography(language: str | None) -> _Typography:
    return _Typography(language.partition("-")[0] if language else None)


def _cling_left(line: _Line, index: int) -> None:
    line.before[index] = False


def _cling_right(line: _Line, index: int) -> None:
    line.before[index + 1] = False


def _cling_both(line: _Line, index: int) -> None:
    line.before[index] = line.before[index + 1] = False


def _french_mark(line: _Line, index: int) -> None:
    """A blank stands before it, but not between two marks."""
    if not line.word(index - 1).strip(SENTENCE_MARKS):
        line.before[index] = False


def _colon(line: _Line, index: int) -> None:
    """Also the sign between two numbers: `27:17`, `Joshua 24:1`."""
    if SHORT_NUMBER.fullmatch(line.word(index - 1)) and SHORT_NUMBER.fullmatch(line.word(index + 1)):
        _cling_both(line, index)
    elif line.language == "fr":
        _french_mark(line, index)
    else:
        line.before[index] = False


CLOSING_RULES = frozenset([_cling_left, _french_mark, _colon])


def _opening_quote(line: _Line, index: int) -> None:
    line.open_or_close(line.words[index], 1)
    line.before[index + 1] = False


def _closing_quote(line: _Line, index: int) -> None:
    line.open_or_close(line.words[index], -1)
    line.before[index] = False


def _quote(line: _Line, index: int) -> None:
    """A mark that both opens and closes: where it stands says which; else it closes what is open."""
    closes = line.ends_before(index + 1) or line.is_open(line.words[index])
    if closes and not line.starts_here(index):
        _closing_quote(line, index)
    else:
        _opening_quote(line, index)


def _quoted_word(line: _Line, index: int) -> None:
    mark = '"' if line.words[index][0] == '"' else "''"
    line.open_or_close(mark, -1 if line.is_open(mark) else 1)


def _apostrophe(line: _Line, index: int) -> None:
    """A quotation mark, or letters left out at a word's end (`members'`), inside (`O'Hara`) or start (`'60`)."""
    previous, following = line.word(index - 1), line.word(index + 1)
    if line.is_open("'"):
        _closing_quote(line, index)
    elif line.starts_here(index):
        _opening_quote(line, index)
    elif line.ends_before(index + 1):
        line.before[index] = False
    elif SHORT_YEAR.fullmatch(following):
        line.before[index + 1] = False
    elif _ends_word(previous):
        line.before[index] = False
    elif line.words[index] == "'" and _closes_later(line, index):
        _opening_quote(line, index)
    else:
        line.before[index] = False
        inside = previous[-1:].isalpha() and following[:1].isalpha()
        if inside and previous[-1] not in POSSESSIVE_ENDS and line.language != "en":
            line.before[index + 1] = False


def _ends_word(word: str) -> bool:
    """Whether an apostrophe can only end a word: `po'`, and minutes as in `27'`."""
    return word + "'" in SHORTENED or SHORT_NUMBER.fullmatch(word) is not None


def _closes_later(line: _Line, index: int) -> bool:
    """Whether a later apostrophe closes: `the ' reward '`, but not `members ' and players ' rights`."""
    later = [
        other
        for other in range(index + 1, len(line.words))
        if line.words[other] == "'" and not SHORT_YEAR.fullmatch(line.word(other + 1))
    ]
    return any(
        line.words[index - 1][-1:] not in POSSESSIVE_ENDS
        or line.words[other - 1][-1:] not in POSSESSIVE_ENDS
        or line.ends_before(other + 1)
        for other in later
    )


def _dash(line: _Line, index: int) -> None:
    """Between two numbers (`1990–1995`), in a compound with a number, or for what the next compound repeats."""
    previous, following = line.word(index - 1), line.word(index + 1)
    if _is_number(previous) and _is_number(following):
        _cling_both(line, index)
    elif line.words[index] == "-" and following and line.language is not None:
        begins_second_part = AFTER_NUMBER_HYPHEN.get(line.language)
        if following in SUSPENDING.get(line.language, ()):
            line.before[index] = False
        elif (
            begins_second_part
            and begins_second_part(following[0])
            and previous[:1].isdigit()
            and not YEAR.fullmatch(previous)
        ):
            _cling_both(line, index)


def _slash(line: _Line, index: int) -> None:
    """`2011/12`, `km/h`, `and/or`; between names of several words, which have capitals, blanks are usual."""
    previous, following = line.word(index - 1)[:1], line.word(index + 1)[:1]
    if previous.isalnum() and following.isalnum() and not previous.isupper() and not following.isupper():
        _cling_both(line, index)


def _sign_before_number(line: _Line, index: int) -> None:
    """`$5` and `#5`; after a number the sign belongs to that."""
    if line.word(index + 1)[:1].isdigit() and not _is_number(line.word(index - 1)):
        line.before[index + 1] = False


def _english_cut(line: _Line, index: int) -> None:
    """`can|not`, and `1930|s`."""
    word, previous = line.words[index], line.word(index - 1)
    if previous.lower() in ENGLISH_CUT.get(word, ()) or (word == "s" and LONGER_NUMBER.fullmatch(previous)):
        line.before[index] = False


def _is_number(word: str) -> bool:
    return word[:1].isdigit() and word[-1:].isdigit()


def _keep_blanks_of_other_scripts(words: Sequence[str], before: list[bool]) -> None:
    """Take away the blanks in scripts that have none; those between Latin words or numbers remain.

    Corpora that cut such texts into characters cut Latin words too, so two single characters belong together.
    """
    for index in range(1, len(words)):
        left, right = words[index - 1], words[index]
        characters = len(left) == len(right) == 1 and (left + right).isalnum()
        if before[index] and (characters or not (_has_blanks(left[-1:]) and _has_blanks(right[:1]))):
            before[index] = False


def _has_blanks(character: str) -> bool:
    """Whether the script of a character sets words apart: those before Thai, and Latin and Greek with more accents."""
    return character < "\u0e00" or "\u1e00" <= character < "\u2000"
