"""How well words are found again: joined to text, the text cut into words by a tokenizer, both compared.

Two ways to join are measured. With a blank between all words a tokenizer has little to do: it fails only where it
cuts inside a word. Nobody writes such text, though. With the blanks that `spacing` rebuilds the text is like what
users of a pipeline have, and the tokenizer must cut marks, quotes and clitics off by itself. So the share of words
found in rebuilt text says how much of what a pipeline learned, word by word, it can meet again in use; the share in
blank-joined text is the most that the tokenizer could reach. What lies between them is lost where the tokenizer's
idea of a word differs from the corpus's, or where a rule of `spacing` is wrong: the words lost most often show which.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import spacy
from spacy.tokens import Doc

from .columns import open_columns
from .errors import UserError
from .spacing import spaces_after
from .tokenizer import MANY_LANGUAGES, multilingual_tokenizer
from .watching import Watch, unwatched

Tokenizer = Callable[[str], Doc]
MOST_LOST = 30


class TokenizerError(UserError, ValueError):
    """spaCy cannot cut texts of a language."""


@dataclass
class Found:
    """How many of a corpus's words and sentences a tokenizer finds again in one kind of text."""

    words: int = 0
    sentences: int = 0


@dataclass
class Rejoined:
    """What a tokenizer finds again of a corpus.

    words, sentences (int): In the corpus.
    blank (Found): In text with a blank between all words.
    rebuilt (Found): In text with blanks by the rules of the language.
    lost (Counter[str]): Words that were found in the first and not in the second.
    """

    words: int = 0
    sentences: int = 0
    blank: Found = field(default_factory=Found)
    rebuilt: Found = field(default_factory=Found)
    lost: Counter[str] = field(default_factory=Counter)

    def report(self) -> dict[str, Any]:
        """All of it, JSON-ready: counts, shares between 0 and 1, the words lost most often."""
        return {
            "words": self.words,
            "sentences": self.sentences,
            "found_blank": self.blank.words,
            "found_rebuilt": self.rebuilt.words,
            "share_blank": _share(self.blank.words, self.words),
            "share_rebuilt": _share(self.rebuilt.words, self.words),
            "sentence_share_blank": _share(self.blank.sentences, self.sentences),
            "sentence_share_rebuilt": _share(self.rebuilt.sentences, self.sentences),
            "most_lost": dict(self.lost.most_common(MOST_LOST)),
        }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def language_tokenizers(language: str) -> dict[str, Tokenizer]:
    """The tokenizers to compare, by name: spaCy's of that language, and the project's for all languages.

    RAISES: TokenizerError when spaCy does not know the language or needs another package for it.
    """
    try:
        own = spacy.blank(language).tokenizer
    except ImportError as error:
        raise TokenizerError(f"spaCy has no tokenizer for '{language}' here: {error}") from error
    return {"spacy": own, "multilingual": multilingual_tokenizer(MANY_LANGUAGES)}


def measure_rejoining(corpora: Sequence[tuple[str, Path]], watch: Watch = unwatched) -> list[dict[str, Any]]:
    """Rejoin the sentences of column files and cut them by the tokenizers of their languages; see `rejoin`.

    corpora (Sequence): Languages and files; illegal tag sequences do not matter.
    watch (Watch): Is given the sentences as they are gone through.
    RETURNS: JSON-ready "language", "corpus", "tokenizer", and what `Rejoined.report` says, for each tokenizer.
    RAISES: CorpusError; TokenizerError.
    """
    rows = []
    for language, file in corpora:
        sentences = [sentence.words for sentence in open_columns(file).sentences(repair=True)]
        for name, tokenizer in language_tokenizers(language).items():
            counts = rejoin(watch(f"{language}, {name}", sentences), language, tokenizer)
            rows.append({"language": language, "corpus": str(file), "tokenizer": name, **counts.report()})
    return rows


def rejoin(sentences: Iterable[Sequence[str]], language: str, tokenizer: Tokenizer) -> Rejoined:
    """Join sentences to text in both ways, cut the text again, and count the words that come back.

    A word is found if a token begins and ends where it does.
    """
    counts = Rejoined()
    for words in sentences:
        blank = found_again(words, [True] * len(words), tokenizer)
        rebuilt = found_again(words, spaces_after(words, language), tokenizer)
        counts.words += len(words)
        counts.sentences += 1
        for found, flags in ((counts.blank, blank), (counts.rebuilt, rebuilt)):
            found.words += sum(flags)
            found.sentences += all(flags)
        counts.lost.update(
            word for word, before, after in zip(words, blank, rebuilt, strict=True) if before and not after
        )
    return counts


def found_again(words: Sequence[str], spaces: Sequence[bool], tokenizer: Tokenizer) -> list[bool]:
    """Which words a tokenizer finds again in the text they make.

    spaces (Sequence[bool]): Whether a blank follows each word.
    """
    text = "".join(word + " " * space for word, space in zip(words, spaces, strict=True))
    tokens = {(token.idx, len(token)) for token in tokenizer(text)}
    starts = accumulate((len(word) + space for word, space in zip(words, spaces, strict=True)), initial=0)
    return [(start, len(word)) in tokens for start, word in zip(starts, words, strict=False)]
