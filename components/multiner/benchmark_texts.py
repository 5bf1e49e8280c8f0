"""Streams of texts for measurements: made up of new words without end, or the sentences of corpora."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from .columns import open_columns
from .spacing import join_words

SYLLABLES = [consonant + vowel for consonant in "bdfghklmnprstvwz" for vowel in "aeiou"]
DIFFERENT_WORDS = 1 << 20
WORDS_A_TEXT = 8
MADE_UP = f"made up, {WORDS_A_TEXT + 1} words each"


def made_up_texts(count: int, seed: int = 0) -> Iterator[str]:
    """Short texts whose words are as frequent as by Zipf's law: half of them are among a thousand, others new.

    Far more of them are new than in texts of the world, which shows soon what would fill memory in the end.
    """
    draw = random.Random(seed)
    for _ in range(count):
        words = [_word(int(DIFFERENT_WORDS ** draw.random())) for _ in range(WORDS_A_TEXT)]
        yield " ".join([words[0].title(), *words[1:], "."])


def _word(number: int) -> str:
    syllables = []
    while number:
        number, syllable = divmod(number, len(SYLLABLES))
        syllables.append(SYLLABLES[syllable])
    return "".join(syllables)


def texts_of(files: Sequence[Path]) -> list[str]:
    """The sentences of column files as texts, with blanks where the rules of typography have them.

    RAISES: CorpusError.
    """
    sentences = (sentence for file in files for sentence in open_columns(file).sentences(repair=True))
    return [join_words(sentence.words, sentence.language).strip() for sentence in sentences]


def shuffled_texts(texts: Sequence[str], count: int, seed: int = 0) -> Iterator[str]:
    """So many texts in an order by chance. When there are too few they come again, in another order.

    texts (Sequence[str]): At least one.
    """
    draw = random.Random(seed)
    order = list(texts)
    for start in range(0, count, len(order)):
        draw.shuffle(order)
        yield from order[: count - start]
