"""Sentences that stand in for others in training: in small letters, without their last mark, with other names.

Each is an augmenter as spaCy's readers take them: it is given an example and yields the one to train on, which is the
same one but for a share of them. It is asked once, when the corpus is read, so an epoch has as many sentences as
without, and the same ones again.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from spacy.language import Language
from spacy.tokens import Doc, Span, Token
from spacy.training import Example
from spacy.vocab import Vocab

from .docbins import read_docs, without_annotation

Augmenter = Callable[[Language, Example], Iterator[Example]]
Mentions = dict[str, list[tuple[str, ...]]]


class Word(NamedTuple):
    """A word, whether a blank follows, and its tag as spaCy writes it; empty where it has none."""

    text: str
    has_blank: bool
    tag: str


def small_letters(share: float) -> Augmenter:
    """Have some sentences written in small letters, as much on the web is.

    Registered as `multiner.small_letters.v1`.

    share (float): Of how many, between 0 and 1.
    RAISES: ValueError for another share.
    """

    def in_small_letters(gold: Doc) -> Iterable[Word]:
        return (word._replace(text=word.text.lower()) for word in map(_word, gold))

    return _augmenter(share, in_small_letters)


def no_last_mark(share: float) -> Augmenter:
    """Have some sentences end without their full stop, which a model should not need to find names.

    Registered as `multiner.no_last_mark.v1`.

    share (float): Of how many, between 0 and 1. Those that end in no punctuation, or in some of an entity, stay.
    RAISES: ValueError for another share.
    """

    def without_last_mark(gold: Doc) -> Iterable[Word]:
        ends_in_mark = len(gold) > 1 and gold[-1].is_punct and not gold[-1].ent_type_
        return map(_word, gold[:-1] if ends_in_mark else gold)

    return _augmenter(share, without_last_mark)


def other_mentions(share: float, corpus: Path) -> Augmenter:
    """Have the entities of some sentences be others of the same types (mention replacement, Dai and Adel 2020).

    Registered as `multiner.other_mentions.v1`. A name is drawn as often as the corpus has it.

    share (float): Of how many, between 0 and 1.
    corpus (Path): Where names come from: a `.spacy` file, or a folder of them.
    RAISES: ValueError for another share; FileNotFoundError when the corpus is read.
    """
    mentions_of = cache(partial(_mentions, corpus))

    def with_other_mentions(gold: Doc) -> Iterator[Word]:
        begin = 0
        for entity in gold.ents:
            yield from map(_word, gold[begin : entity.start])
            known = mentions_of(gold.vocab).get(entity.label_) or [_texts(entity)]
            yield from _in_place_of(entity, random.choice(known))
            begin = entity.end
        yield from map(_word, gold[begin:])

    return _augmenter(share, with_other_mentions)


def _augmenter(share: float, change: Callable[[Doc], Iterable[Word]]) -> Augmenter:
    if not 0.0 <= share <= 1.0:
        raise ValueError(
            f"[corpora.train.augmenter] share = {share} must be between 0, for no sentence, and 1, for all."
        )

    def augment(nlp: Language, example: Example) -> Iterator[Example]:
        if random.random() >= share:
            yield example
            return
        gold = example.reference
        texts, blanks, tags = zip(*change(gold), strict=True)
        changed = Doc(gold.vocab, words=list(texts), spaces=list(blanks), ents=list(tags), user_data=gold.user_data)
        yield Example(without_annotation(changed), changed)

    return augment


def _word(token: Token) -> Word:
    tag = f"{token.ent_iob_}-{token.ent_type_}" if token.ent_type_ else token.ent_iob_
    return Word(token.text, bool(token.whitespace_), tag)


def _texts(entity: Span) -> tuple[str, ...]:
    return tuple(token.text for token in entity)


def _mentions(corpus: Path, vocab: Vocab) -> Mentions:
    """The entities of each type in a corpus, each as often as it is there."""
    mentions: Mentions = defaultdict(list)
    for doc in read_docs(corpus, vocab):
        for entity in doc.ents:
            mentions[entity.label_].append(_texts(entity))
    return mentions


def _in_place_of(entity: Span, mention: Sequence[str]) -> Iterator[Word]:
    """The words of another entity, of the same type; what follows it stands as near."""
    for number, text in enumerate(mention, 1):
        is_last = number == len(mention)
        prefix = "B" if number == 1 else "I"
        yield Word(text, bool(entity[-1].whitespace_) if is_last else True, f"{prefix}-{entity.label_}")
