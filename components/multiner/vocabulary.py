"""A tokenizer with fewer pieces, which cuts the words that it was kept for as before.

What cut a word is still there: the pieces it was cut into, and in byte-pair encoding those that they were joined of.
What is gone was not chosen for it before. So of the pieces that remain the best cut (Unigram), the longest first piece
(WordPiece) and the first merge that fits (BPE) are those of before. Other words are cut into pieces that remain,
smaller ones as a rule.
"""

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from tokenizers import Tokenizer

from .errors import UserError

Content = dict[str, Any]


class TokenizerCannotBeTrimmed(UserError, ValueError):
    """The tokenizer is of a kind whose pieces cannot be taken away one by one."""


def trim_tokenizer(tokenizer: Tokenizer, keep: Collection[int]) -> tuple[Tokenizer, list[int]]:
    """Leave out pieces.

    keep (Collection[int]): Ids of the pieces to keep; special pieces and what kept ones are made of stay too.
    RETURNS: The smaller tokenizer, and for each of its ids the id that the piece had before, in the same order.
    RAISES: TokenizerCannotBeTrimmed.
    """
    content: Content = json.loads(tokenizer.to_str())
    model = content["model"]
    if model["type"] not in KINDS:
        raise TokenizerCannotBeTrimmed(
            f"The tokenizer is of the kind {model['type']}; pieces can be left out of {', '.join(KINDS)}."
        )
    added = {token["id"] for token in content["added_tokens"]}
    close, leave_out = KINDS[model["type"]]
    kept = sorted(close(model, {*keep, *added}))
    new_ids = {old: new for new, old in enumerate(kept)}
    leave_out(model, new_ids)
    content["added_tokens"] = [{**token, "id": new_ids[token["id"]]} for token in content["added_tokens"]]
    if content["post_processor"] is not None:
        _renumber_post_processor(content["post_processor"], new_ids)
    return Tokenizer.from_str(json.dumps(content)), kept


def _with_unknown(model: Content, keep: set[int]) -> set[int]:
    return keep if model["unk_id"] is None else keep | {model["unk_id"]}


def _leave_out_of_unigram(model: Content, new_ids: Mapping[int, int]) -> None:
    vocabulary = model["vocab"]
    model["vocab"] = [vocabulary[old] for old in new_ids if old < len(vocabulary)]
    if model["unk_id"] is not None:
        model["unk_id"] = new_ids[model["unk_id"]]


def _with_unknown_token(model: Content, keep: set[int]) -> set[int]:
    unknown = model["vocab"].get(model["unk_token"])
    return keep if unknown is None else keep | {unknown}


def _leave_out_of_wordpiece(model: Content, new_ids: Mapping[int, int]) -> None:
    model["vocab"] = {piece: new_ids[old] for piece, old in model["vocab"].items() if old in new_ids}


def _with_parts(model: Content, keep: set[int]) -> set[int]:
    """Pieces with all that they can be joined of, and with the alphabet that any word is."""
    ids: dict[str, int] = model["vocab"]
    joined: dict[int, set[int]] = {}
    for first, second in map(_pair, model["merges"]):
        joined.setdefault(ids[_join(model, first, second)], set()).update((ids[first], ids[second]))
    closed: set[int] = set()
    waiting = _with_unknown_token(model, keep) | {number for piece, number in ids.items() if len(piece) == 1}
    while waiting:
        closed |= waiting
        waiting = {part for piece in waiting for part in joined.get(piece, ())} - closed
    return closed


def _leave_out_of_bpe(model: Content, new_ids: Mapping[int, int]) -> None:
    ids: dict[str, int] = model["vocab"]

    def stays(merge: str | list[str]) -> bool:
        first, second = _pair(merge)
        return all(ids[piece] in new_ids for piece in (first, second, _join(model, first, second)))

    model["merges"] = [merge for merge in model["merges"] if stays(merge)]
    _leave_out_of_wordpiece(model, new_ids)


def _pair(merge: str | list[str]) -> tuple[str, str]:
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    return first, second


def _join(model: Content, first: str, second: str) -> str:
    return first + second.removeprefix(model.get("continuing_subword_prefix") or "")


Close = Callable[[Content, set[int]], set[int]]
LeaveOut = Callable[[Content, Mapping[int, int]], None]
KINDS: dict[str, tuple[Close, LeaveOut]] = {
    "Unigram": (_with_unknown, _leave_out_of_unigram),
    "WordPiece": (_with_unknown_token, _leave_out_of_wordpiece),
    "BPE": (_with_parts, _leave_out_of_bpe),
}


def _renumber_post_processor(processor: Content, new_ids: Mapping[int, int]) -> None:
    for part in processor.get("processors", ()):
        _renumber_post_processor(part, new_ids)
    for token in processor.get("special_tokens", {}).values() if processor["type"] == "TemplateProcessing" else ():
        token["ids"] = [new_ids[old] for old in token["ids"]]
    for end in ("sep", "cls"):
        if end in processor:
            text, old = processor[end]
            processor[end] = [text, new_ids[old]]
