"""Annotations that are probably wrong, the likeliest first.

Two witnesses are heard about every entity on which the pipeline and the annotation disagree. The model: how much
surer it is of its own tags than of the annotated ones, the margin of confident learning (Northcutt et al. 2021). The
corpus: how the same words are annotated everywhere else. Where both contradict the annotation, someone should look.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from spacy.tokens import Doc

from .losses import WordLosses
from .matching import Match
from .predictions import Predictions, word_spans
from .tags import Span

OUTSIDE, PART = "outside", "part of an entity"
Form = tuple[str, ...]


def find_suspects(
    predictions: Predictions, matches: Iterable[Match], losses: WordLosses | None, other: Iterable[Doc] = ()
) -> list[dict[str, Any]]:
    """Every disagreement between pipeline and annotation, the likeliest error of annotation first.

    losses (WordLosses | None): Without them only the corpus is heard.
    other (Iterable[Doc]): More documents to look into for the same words, such as those of train.
    RETURNS: JSON-ready, for each: "document" (its number), "kind" (see `matching.KINDS`), "words" (what is read in two
        ways), "annotated" and "predicted" (how), "margin" (between -1 and 1, None without losses), "elsewhere" (how
        often the same words are annotated as what) and "suspicion", the sum of the margin and of the share of
        mentions elsewhere that speak for the prediction less the share of those that speak for the annotation.
    """
    wrong = [each for each in matches if each.kind != "right"]
    docs, spans = predictions.gold, predictions.gold_spans
    places = [each.predicted or each.gold for each in wrong]
    forms = [_form(docs[each.sentence], span) for each, span in zip(wrong, places, strict=True)]
    mentions = count_mentions([*zip(docs, spans, strict=True), *((doc, word_spans(doc)) for doc in other)], set(forms))
    suspects = []
    for each, span, form in zip(wrong, places, forms, strict=True):
        assert span is not None
        annotated = _reading(span, spans[each.sentence])
        predicted = each.predicted.label if each.predicted else OUTSIDE
        elsewhere = mentions[form].copy()
        elsewhere[annotated] -= 1  # this one
        margin = None if losses is None else _margin(losses, each)
        # One more mention than there are, so that one alone proves little.
        agreement = (elsewhere[predicted] - elsewhere[annotated]) / (elsewhere.total() + 1)
        suspects.append(
            {
                "document": each.sentence,
                "kind": each.kind,
                "words": " ".join(form),
                "annotated": annotated if each.gold is None or annotated != PART else _name(docs[each.sentence], each),
                "predicted": predicted,
                "margin": margin,
                "elsewhere": {name: count for name, count in elsewhere.most_common() if count},
                "suspicion": (margin or 0.0) + agreement,
            }
        )
    return sorted(suspects, key=lambda suspect: (-suspect["suspicion"], suspect["document"], suspect["words"]))


def _name(doc: Doc, each: Match) -> str:
    assert each.gold is not None
    return f"{each.gold.label}: {' '.join(_form(doc, each.gold))}"


def _form(doc: Doc, span: Span | None) -> Form:
    return tuple(token.text for token in doc[span.start : span.end]) if span is not None else ()


def _reading(span: Span, gold: Sequence[Span]) -> str:
    """What the annotation says of some words: their type if they are an entity."""
    touching = [each for each in gold if each.start < span.end and span.start < each.end]
    if not touching:
        return OUTSIDE
    return touching[0].label if touching[0][:2] == span[:2] else PART


def _margin(losses: WordLosses, each: Match) -> float | None:
    """How much more probable the predicted tags are than the annotated ones, on average over the words of either."""
    spans = [span for span in (each.gold, each.predicted) if span is not None]
    first = int(losses.begins[each.sentence])
    rows = [first + word for word in range(min(s.start for s in spans), max(s.end for s in spans))]
    rows = [row for row in rows if losses.gold[row] >= 0]
    if not rows:
        return None
    chosen = losses.probabilities[rows]
    numbers = range(len(rows))
    margins = chosen[numbers, losses.predicted[rows]] - chosen[numbers, losses.gold[rows]]
    return float(margins.mean())


def count_mentions(
    annotated: Iterable[tuple[Doc, Sequence[Span]]], forms: Collection[Form]
) -> defaultdict[Form, Counter[str]]:
    """How often some words are annotated as what: a type, `OUTSIDE` of entities, or `PART` of a longer one."""
    lengths: defaultdict[str, set[int]] = defaultdict(set)
    for form in forms:
        lengths[form[0]].add(len(form))
    found: defaultdict[Form, Counter[str]] = defaultdict(Counter)
    for doc, spans in annotated:
        words = [token.text for token in doc]
        for start, word in enumerate(words):
            for length in lengths.get(word, ()):
                form = tuple(words[start : start + length])
                if form in forms:
                    found[form][_reading(Span(start, start + length, ""), spans)] += 1
    return found
