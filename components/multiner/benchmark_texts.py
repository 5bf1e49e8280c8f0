"""Streams of texts for measurements: made up of new words without end, or the sentences of corpora."""

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

from spacy.tokens import Doc
from spacy.vocab import Vocab

from .columns import open_columns
from .docbins import pack
from .sentences import Sentence
from .spacing import join_words

SYLLABLES = [consonant + vowel for consonant in "bdfghklmnprstvwz" for vowel in "aeiou"]
DIFFERENT_WORDS = 1 << 20
WORDS_A_TEXT = 8
MADE_UP = f"made up, {WORDS_A_TEXT + 1} words each"


# What texts can be made of sentences: the short ones alone, each by itself, or as many as make a long document.
Profile = Literal["short", "middle", "long"]
SHORT_WORDS, LONG_WORDS = 12, 10_000
# How many words a text has whose latency is taken, and how many such texts there are at most.
LATENCY_WORDS, LATENCIES = 15, 30


class Text(NamedTuple):
    """A text, and its annotated entities: where they begin and end, and their labels."""

    text: str
    entities: list[tuple[int, int, str]]


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


def sentences_of(files: Sequence[Path], count: int | None = None) -> Iterator[Sentence]:
    """The sentences of column files, at most so many of each.

    RAISES: CorpusError.
    """
    for file in files:
        yield from islice(open_columns(file).sentences(repair=True), count)


def texts_of(files: Sequence[Path]) -> list[str]:
    """The sentences of column files as texts, with blanks where the rules of typography have them.

    RAISES: CorpusError.
    """
    return [join_words(sentence.words, sentence.language).strip() for sentence in sentences_of(files)]


def shuffled_texts(texts: Sequence[str], count: int, seed: int = 0) -> Iterator[str]:
    """So many texts in an order by chance. When there are too few they come again, in another order.

    texts (Sequence[str]): At least one.
    """
    draw = random.Random(seed)
    order = list(texts)
    for start in range(0, count, len(order)):
        draw.shuffle(order)
        yield from order[: count - start]


def annotated_texts(sentences: Iterable[Sentence], profile: Profile) -> list[Text]:
    """Sentences as annotated texts.

    profile (str): "short" for sentences of at most 12 words, "middle" for all, "long" for texts of 10,000 words.
    """
    if profile == "short":
        sentences = (sentence for sentence in sentences if len(sentence.words) <= SHORT_WORDS)
    texts, gathered, size = [], list[Doc](), 0
    for doc in pack(sentences).get_docs(Vocab()):
        gathered.append(doc)
        size += len(doc)
        if profile != "long" or size >= LONG_WORDS:
            texts.append(_as_text(gathered))
            gathered, size = [], 0
    return [*texts, _as_text(gathered)] if gathered else texts


def texts_for_latency(sentences: Iterable[Sentence]) -> list[str]:
    """Short texts to be tagged one by one: sentences of 15 words, or whatever there is without such."""
    words = [sentence.words for sentence in sentences]
    short = [each for each in words if len(each) == LATENCY_WORDS]
    return [" ".join(each) for each in (short or words)[:LATENCIES]]


def _as_text(docs: Sequence[Doc]) -> Text:
    text = ""
    entities = []
    for doc in docs:
        text += " " * bool(text)
        entities += [(len(text) + span.start_char, len(text) + span.end_char, span.label_) for span in doc.ents]
        text += doc.text.strip()
    return Text(text, entities)
