"""Tags of words and the entities that they spell.

Inside the library every sentence is in IOB2 (Ramshaw and Marcus 1995, as CoNLL-2002 uses it): `B-` starts an
entity, `I-` continues it, `O` is outside. The other schemes in use, IOB1, BIOES and BILUO, are read and written
here too. A tag is cut at its first hyphen only, because types have hyphens of their own (`B-creative-work`).
"""

import re
from collections.abc import Iterable, Sequence
from enum import Enum
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from .errors import UserError

OUTSIDE = "O"
IGNORED = -100  # the number of a tag that counts for nothing in the loss, as torch and transformers have it
LabelStrategy = Literal["first", "inside", "repeat"]
LABEL_STRATEGIES: tuple[LabelStrategy, ...] = get_args(LabelStrategy)
TAG = re.compile(r"O|[BIESLU]-\S.*")


class Scheme(str, Enum):
    """How tags mark where an entity starts and ends."""

    IOB1 = "iob1"
    IOB2 = "iob2"
    BIOES = "bioes"
    BILUO = "biluo"


END_AND_SINGLE = {Scheme.BIOES: ("E", "S"), Scheme.BILUO: ("L", "U")}


class Span(NamedTuple):
    """An entity by its first word, the word after its last one, and its label."""

    start: int
    end: int
    label: str


class Problem(NamedTuple):
    """A tag that its scheme does not allow where it stands, and the IOB2 tag that takes its place."""

    word: int
    tag: str
    iob2: str
    reason: str


class TagError(UserError, ValueError):
    """A tag, or a sequence of tags, that cannot be read."""


def split_tag(tag: str) -> tuple[str, str]:
    """Prefix and label of a tag; the label of `O` is empty.

    >>> split_tag("B-creative-work")
    ('B', 'creative-work')
    """
    prefix, _, label = tag.partition("-")
    return prefix, label


def is_tag(text: str) -> bool:
    """Whether the text is `O`, or a prefix that one of the schemes uses, a hyphen and a label."""
    return TAG.fullmatch(text) is not None


def tag_names(labels: Sequence[str]) -> list[str]:
    """All IOB2 tags for some labels: `O` first, then `B-` and `I-` of each label in the given order.

    So label number k has its `B-` at 2k + 1 and its `I-` at 2k + 2.
    """
    return [OUTSIDE, *(f"{prefix}-{label}" for label in labels for prefix in "BI")]


def legal_transitions(count: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which IOB2 tags may start a sentence, and which may follow which.

    count (int): Number of tags, ordered as `tag_names` orders them.
    RETURNS: Array (count,) of tags that may come first; array (count, count) whose row is the earlier tag.
    """
    tags = np.arange(count)
    inside = (tags > 0) & (tags % 2 == 0)
    same_label = (tags[:, None] > 0) & ((tags[:, None] - 1) // 2 == (tags[None, :] - 1) // 2)
    return ~inside, ~inside[None, :] | same_label


def piece_labels(
    labels: Sequence[int] | NDArray[np.int64],
    word_ids: Sequence[int | None] | NDArray[np.int64],
    strategy: LabelStrategy,
) -> NDArray[np.int64]:
    """The tag that each piece is to learn.

    labels (words,): Numbers of the words' tags in the order of `tag_names`, or `IGNORED`.
    word_ids (pieces,): The word of each piece, in order; None for special pieces.
    strategy (str): What the later pieces of a word learn: with "first" nothing, with "inside" the word's tag, its `B-`
        turned into `I-`, with "repeat" the word's tag again.
    RETURNS: Array (pieces,) of tag numbers; `IGNORED` for pieces that learn nothing.

    >>> piece_labels([3, 0], [None, 0, 0, 1, None], "inside").tolist()
    [-100, 3, 4, 0, -100]
    """
    words = np.array([-1 if word is None else word for word in word_ids], np.int64)
    with_special = np.append(np.asarray(labels, np.int64), IGNORED)
    result = with_special[words]
    later = np.append(False, words[1:] == words[:-1])[: len(words)]
    if strategy == "first":
        result[later] = IGNORED
    elif strategy == "inside":
        result[later & (result > 0) & (result % 2 == 1)] += 1
    return result


def spans_from_tags(tags: Sequence[str]) -> list[Span]:
    """The entities of a sentence in IOB2.

    RAISES: TagError when an `I-` does not continue an entity of its label.

    >>> spans_from_tags(["B-PER", "I-PER", "O", "B-LOC"])
    [Span(start=0, end=2, label='PER'), Span(start=3, end=4, label='LOC')]
    """
    spans: list[Span] = []
    for index, tag in enumerate(tags):
        prefix, label = split_tag(tag)
        if prefix == "B":
            spans.append(Span(index, index + 1, label))
        elif prefix == "I":
            if not spans or spans[-1].end != index or spans[-1].label != label:
                raise TagError(f"'{tag}' at word {index + 1} continues no entity of its label.")
            spans[-1] = spans[-1]._replace(end=index + 1)
    return spans


def tags_from_spans(spans: Iterable[Span], count: int) -> list[str]:
    """The IOB2 tags of a sentence of `count` words; spans must not overlap.

    RAISES: TagError when two spans share a word or one leaves the sentence.
    """
    tags = [OUTSIDE] * count
    for start, end, label in spans:
        if not 0 <= start < end <= count:
            raise TagError(f"The span {start}:{end} {label} does not fit into a sentence of {count} words.")
        if any(tag != OUTSIDE for tag in tags[start:end]):
            raise TagError(f"The span {start}:{end} {label} overlaps another one.")
        tags[start:end] = [f"B-{label}", *[f"I-{label}"] * (end - start - 1)]
    return tags


def detect_scheme(sentences: Iterable[Sequence[str]]) -> Scheme:
    """The scheme that a corpus is written in, from the prefixes it uses.

    Where only `B-`, `I-` and `O` occur it is IOB2 unless every `B-` follows an entity of its own label and some
    entity starts with `I-`, which only IOB1 does.

    RAISES: TagError when prefixes of different schemes are mixed.
    """
    pairs: set[tuple[str, str]] = set()  # of neighbours: all that matters, and quick to collect
    for tags in sentences:
        pairs.update(zip((OUTSIDE, *tags), tags, strict=False))
    prefixes: set[str] = set()
    starts_inside = begins_after_other = False
    for previous, tag in pairs:
        prefix, label = split_tag(tag)
        prefixes.add(prefix)
        differs = label != split_tag(previous)[1]
        starts_inside |= prefix == "I" and differs
        begins_after_other |= prefix == "B" and differs
    if prefixes & {"E", "S"} and prefixes & {"L", "U"}:
        raise TagError(f"Prefixes of BIOES and of BILUO are mixed: {', '.join(sorted(prefixes))}.")
    if prefixes & {"E", "S"}:
        return Scheme.BIOES
    if prefixes & {"L", "U"}:
        return Scheme.BILUO
    return Scheme.IOB1 if starts_inside and not begins_after_other else Scheme.IOB2


def to_iob2(tags: Sequence[str], scheme: Scheme) -> tuple[list[str], list[Problem]]:
    """Read a sentence of some scheme as IOB2, and say what that scheme does not allow in it.

    A tag that continues nothing starts an entity, as conlleval reads it. So the result is always legal, and
    without problems it spells exactly the entities of the original.
    """
    if scheme is Scheme.IOB2 and all(map(_follows, (OUTSIDE, *tags), tags)):
        return list(tags), []
    end, single = END_AND_SINGLE.get(scheme, ("", ""))
    known = {"B", "I", OUTSIDE, end, single} - {""}
    result: list[str] = []
    problems: list[Problem] = []
    open_label = ""  # the label of the entity that the next word may continue
    for index, tag in enumerate(tags):
        prefix, label = split_tag(tag)
        continues = prefix in {"I", end} and label == open_label != ""
        iob2 = OUTSIDE if prefix == OUTSIDE else f"{'I' if continues else 'B'}-{label}"
        if prefix not in known:
            problems.append(Problem(index, tag, iob2, f"the prefix '{prefix}-' is not one of {scheme.value.upper()}"))
        elif prefix in {"I", end} and not continues and scheme is not Scheme.IOB1:
            problems.append(Problem(index, tag, iob2, "no entity of this label goes on here"))
        elif prefix == "B" and label != open_label and scheme is Scheme.IOB1:
            problems.append(Problem(index, tag, iob2, "IOB1 has B- only right after an entity of the same label"))
        if end and open_label and not continues:
            problems.append(
                Problem(
                    index - 1,
                    tags[index - 1],
                    result[-1],
                    f"the entity ends here, but not with '{end}-' or '{single}-'",
                )
            )
        result.append(iob2)
        open_label = "" if prefix in {end, single} or prefix not in known else label
    if end and open_label:
        last = len(tags) - 1
        problems.append(
            Problem(last, tags[last], result[last], f"the entity ends here, but not with '{end}-' or '{single}-'")
        )
    return result, problems


@lru_cache(maxsize=1 << 16)
def _follows(previous: str, tag: str) -> bool:
    """Whether IOB2 allows a tag after another one."""
    prefix, label = split_tag(tag)
    return prefix in {"B", OUTSIDE} or (prefix == "I" and previous != OUTSIDE and split_tag(previous)[1] == label)


def from_iob2(tags: Sequence[str], scheme: Scheme) -> list[str]:
    """Write a legal IOB2 sentence in another scheme.

    >>> from_iob2(["B-PER", "I-PER", "B-LOC"], Scheme.BILUO)
    ['B-PER', 'L-PER', 'U-LOC']
    """
    spans = spans_from_tags(tags)
    result = [OUTSIDE] * len(tags)
    for number, (start, end, label) in enumerate(spans):
        words = ["B", *["I"] * (end - start - 1)]
        if scheme is Scheme.IOB1:
            touches = number > 0 and spans[number - 1].end == start and spans[number - 1].label == label
            words[0] = "B" if touches else "I"
        elif scheme in END_AND_SINGLE:
            last, single = END_AND_SINGLE[scheme]
            words[-1] = single if len(words) == 1 else last
        result[start:end] = [f"{prefix}-{label}" for prefix in words]
    return result
