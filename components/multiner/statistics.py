"""What a corpus is made of, and what in it makes scores look better or worse than they are.

One look at each document counts almost everything; a second look at train finds where the words of its entities
stand outside of entities. What is kept grows with the distinct sentences and entities, as hashes and not as texts,
so that millions of sentences can be counted.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from spacy.attrs import ENT_IOB, ORTH
from spacy.strings import StringStore
from spacy.tokens import Doc
from spacy.vocab import Vocab

from .docbins import LANGUAGE, SOURCE, read_docs
from .encoder import check_encoder_folder, load_tokenizer
from .errors import UserError
from .pieces import PieceCutter
from .watching import Watch, unwatched

Report = dict[str, Any]
Words = NDArray[np.uint64]
SPLITS = ("train", "dev", "test")
UNKNOWN_LANGUAGE = "unknown"
# Entities are counted by their words; all from the last length on are counted together.
LENGTHS = ("1", "2", "3", "4", "5+")
EXAMPLES = 5
MOST_FREQUENT = 20
# spaCy's numbers for a word without annotation and for a word outside of entities.
MISSING, OUTSIDE = 0, 2
BYTES_OF_WORD = 8


class NothingToCount(UserError, FileNotFoundError):
    """A folder without any split of a corpus; the message says how to make one."""


class Cutting(NamedTuple):
    """How an encoder cuts words into pieces, and how much it reads at once.

    special (int): Special pieces around each sentence.
    window (int): The most pieces read at once, special ones included.
    """

    cutter: PieceCutter
    special: int
    window: int


def load_cutting(folder: Path, window: int) -> Cutting:
    """The cutting of an encoder in a folder; its weights are not loaded.

    window (int): The most pieces read at once, special ones included; less if the encoder cannot read so many.
    RAISES: EncoderNotFound, EncoderNotUsable.
    """
    check_encoder_folder(folder)
    tokenizer, reading = load_tokenizer(str(folder))
    special = len(reading.prefix) + len(reading.suffix)
    # Here all pieces of a word count, however many they are.
    cutter = PieceCutter(tokenizer, reading.unknown, sys.maxsize)
    return Cutting(cutter, special, min(window, reading.capacity + special))


class _StoredDocs:
    """The documents of a `.spacy` file or a folder of them, read anew each time."""

    def __init__(self, path: Path, vocab: Vocab) -> None:
        self.path = path
        self.vocab = vocab

    def __iter__(self) -> Iterator[Doc]:
        return read_docs(self.path, self.vocab)


def describe_corpus(folder: Path, cutting: Cutting | None = None, watch: Watch = unwatched) -> Report:
    """Count the splits of a corpus in a folder; see `describe`.

    folder (Path): With any of train.spacy, dev.spacy and test.spacy, each a file or a folder of files.
    RAISES: NothingToCount; FileNotFoundError when the folder of a split is empty.
    """
    vocab = Vocab()
    paths = {split: folder / f"{split}.spacy" for split in SPLITS}
    stored = {split: _StoredDocs(path, vocab) for split, path in paths.items() if path.exists()}
    if not stored:
        raise NothingToCount(
            f"There is no train.spacy, dev.spacy or test.spacy in {folder}. Make them with scripts/convert.py, or give "
            "the folder that they lie in."
        )
    return {"corpus": str(folder), **describe(stored, vocab.strings, cutting, watch)}


def describe(
    splits: Mapping[str, Iterable[Doc]],
    strings: StringStore,
    cutting: Cutting | None = None,
    watch: Watch = unwatched,
) -> Report:
    """Count the splits of a corpus and compare them.

    splits (Mapping): Documents of any of "train", "dev" and "test"; some are gone through a second time.
    strings (StringStore): Of the documents' vocabulary.
    cutting (Cutting | None): To count pieces too.
    watch (Watch): Is given the documents as they are gone through.
    RETURNS: JSON-ready "labels", "splits" and "shared" (sentences in two splits); "window" and "special_pieces", None
        without a cutting; with train "contradictions" and "unseen". Shares are between 0 and 1, or None of nothing.
    """
    present = [split for split in SPLITS if split in splits]
    counted = {split: _Split() for split in present}
    forms = _Forms()
    unseen = {split: _Unseen() for split in present if split != "train" and "train" in present}
    shared = {(split, earlier): _Shared() for split in present for earlier in present[: present.index(split)]}
    for split in present:
        for number, doc in enumerate(watch(split, splits[split]), 1):
            words = _words(doc)
            sentence = _sentence_key(words)
            counted[split].add(doc, words, sentence, cutting)
            if split == "train":
                forms.add(doc, words)
            elif split in unseen:
                unseen[split].add(doc, forms)
            for (later, earlier), matches in shared.items():
                if later == split and sentence in counted[earlier].distinct:
                    matches.add(sentence, doc, _place(doc, split, number))
    outside: Counter[bytes] = Counter()
    for split in present:
        sought = forms.distinct() if split == "train" else set()
        matched = [matches for (_, earlier), matches in shared.items() if earlier == split]
        wanted = {sentence for matches in matched for sentence in matches.examples}
        if sought or wanted:
            found, places = _look_again(watch(f"{split} again", splits[split]), split, sought, wanted)
            outside.update(found)
            for matches in matched:
                matches.earlier_places = places
    labels = sorted({label for counts in counted.values() for label in counts.entity_lengths})
    report: Report = {
        "labels": labels,
        "window": cutting.window if cutting else None,
        "special_pieces": cutting.special if cutting else None,
        "splits": {split: counts.report(labels, cutting) for split, counts in counted.items()},
        "shared": [
            {"split": split, "also_in": earlier, **matches.report(counted[split].total.sentences)}
            for (split, earlier), matches in shared.items()
        ],
    }
    if "train" in present:
        report["unseen"] = {split: counts.report(labels) for split, counts in unseen.items()}
        report["contradictions"] = forms.contradictions(outside, strings)
    return report


@dataclass
class _Sentences:
    """What is counted in the sentences of a split, and of each language in it.

    words_per_sentence, pieces_per_sentence, pieces_per_word (Counter[int]): How many sentences, or words, have so
        many. White space has no pieces, and is left out of the last.
    """

    words_per_sentence: Counter[int] = field(default_factory=Counter)
    pieces_per_sentence: Counter[int] = field(default_factory=Counter)
    pieces_per_word: Counter[int] = field(default_factory=Counter)
    unknown_pieces: int = 0
    entities: int = 0

    @property
    def sentences(self) -> int:
        """All of them, empty ones too."""
        return self.words_per_sentence.total()

    @property
    def words(self) -> int:
        """The words of all of them."""
        return _sum(self.words_per_sentence)

    def report(self, cutting: Cutting | None) -> Report:
        """Counts and shares, of pieces too if these were counted."""
        report: Report = {"sentences": self.sentences, "words": self.words, "entities": self.entities}
        if cutting:
            cut = sum(words for pieces, words in self.pieces_per_word.items() if pieces > 1)
            room = cutting.window - cutting.special
            longer = sum(sentences for pieces, sentences in self.pieces_per_sentence.items() if pieces > room)
            report["pieces"] = {
                "per_word": _summary(self.pieces_per_word),
                "per_sentence": _summary(self.pieces_per_sentence),
                "share_of_words_cut": _share(cut, self.pieces_per_word.total()),
                "share_unknown": _share(self.unknown_pieces, _sum(self.pieces_per_sentence)),
                "sentences_longer_than_window": longer,
                "share_longer_than_window": _share(longer, self.sentences),
            }
        return report


@dataclass
class _Split:
    """What is counted in one split.

    entity_lengths (dict): For each label, how many entities have so many words.
    distinct (set[int]): The keys of its sentences.
    """

    total: _Sentences = field(default_factory=_Sentences)
    languages: defaultdict[str, _Sentences] = field(default_factory=lambda: defaultdict(_Sentences))
    entity_lengths: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    without_entity: int = 0
    words_without_annotation: int = 0
    distinct: set[int] = field(default_factory=set)

    def add(self, doc: Doc, words: Words, sentence: int, cutting: Cutting | None) -> None:
        """Count a sentence."""
        self.distinct.add(sentence)
        entities = doc.ents
        for entity in entities:
            self.entity_lengths[entity.label_][len(entity)] += 1
        missing = int((doc.to_array(ENT_IOB) == MISSING).sum())
        self.words_without_annotation += missing
        self.without_entity += not entities and not missing
        both = (self.total, self.languages[doc.user_data.get(LANGUAGE, UNKNOWN_LANGUAGE)])
        for counts in both:
            counts.words_per_sentence[len(doc)] += 1
            counts.entities += len(entities)
        if cutting:
            ids, pieces = cutting.cutter(words.tolist(), doc.vocab.strings.__getitem__)
            of_words = pieces[pieces > 0].tolist()
            unknown = int((ids == cutting.cutter.unknown).sum())
            for counts in both:
                counts.pieces_per_sentence[len(ids)] += 1
                counts.pieces_per_word.update(of_words)
                counts.unknown_pieces += unknown

    def report(self, labels: list[str], cutting: Cutting | None) -> Report:
        """Counts and shares; every label has its place, also one that this split lacks."""
        lengths = {label: self.entity_lengths.get(label, Counter()) for label in labels}
        all_lengths: Counter[int] = Counter()
        for of_label in lengths.values():
            all_lengths.update(of_label)
        total = self.total
        repeated = total.sentences - len(self.distinct)
        report = {
            **total.report(cutting),
            "entities_by_type": {label: of_label.total() for label, of_label in lengths.items()},
            "words_per_sentence": _summary(total.words_per_sentence),
            "sentences_without_entity": self.without_entity,
            "share_without_entity": _share(self.without_entity, total.sentences),
            "words_without_annotation": self.words_without_annotation,
            "share_of_words_in_entities": _share(_sum(all_lengths), total.words - self.words_without_annotation),
            "repeated_sentences": repeated,
            "share_repeated": _share(repeated, total.sentences),
            "entity_lengths": {
                "all": _lengths(all_lengths),
                "by_type": {label: _lengths(of_label) for label, of_label in lengths.items()},
            },
            "by_language": {language: counts.report(cutting) for language, counts in sorted(self.languages.items())},
            "sentences_by_words": _histogram(total.words_per_sentence),
        }
        if cutting:
            report["sentences_by_pieces"] = _histogram(total.pieces_per_sentence)
        return report


@dataclass
class _Forms:
    """The entities of train as they are written.

    mentions (dict): For each label, how often a form has it; a form is the hashes of its words, as bytes.
    folded (dict): For each label, the keys of its forms without regard to case.
    """

    mentions: defaultdict[str, Counter[bytes]] = field(default_factory=lambda: defaultdict(Counter))
    folded: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    def add(self, doc: Doc, words: Words) -> None:
        """Remember the entities of a sentence."""
        for entity in doc.ents:
            self.mentions[entity.label_][words[entity.start : entity.end].tobytes()] += 1
            self.folded[entity.label_].add(_folded_key(doc, entity.start, entity.end))

    def distinct(self) -> set[bytes]:
        """All forms, whatever their labels."""
        return {form for mentions in self.mentions.values() for form in mentions}

    def contradictions(self, outside: Counter[bytes], strings: StringStore) -> Report:
        """Forms with several labels, and forms that stand outside of entities too.

        outside (Counter[bytes]): How often a form does so.
        RETURNS: Of both kinds how many there are, their mentions, and those that disagree with themselves most often.
        """
        forms = self.distinct()
        mentions = sum(of_label.total() for of_label in self.mentions.values())

        def conflicts(chosen: Iterable[bytes]) -> list[_Conflict]:
            return [
                _Conflict(
                    " ".join(strings[word] for word in np.frombuffer(form, np.uint64).tolist()),
                    {label: of_label[form] for label, of_label in sorted(self.mentions.items()) if form in of_label},
                    outside[form],
                )
                for form in chosen
            ]

        several = conflicts(form for form in forms if sum(form in of_label for of_label in self.mentions.values()) > 1)
        return {
            "forms": len(forms),
            "mentions": mentions,
            "several_labels": _conflict_report(
                several, mentions, lambda form: form.mentions - max(form.labels.values())
            ),
            "also_outside": _conflict_report(
                conflicts(outside), mentions, lambda form: min(form.mentions, form.outside)
            ),
        }


class _Conflict(NamedTuple):
    """A form that is not always annotated alike, and how often it is what."""

    form: str
    labels: dict[str, int]
    outside: int

    @property
    def mentions(self) -> int:
        """How often it is an entity."""
        return sum(self.labels.values())


def _conflict_report(forms: list[_Conflict], mentions: int, disagreement: Callable[[_Conflict], int]) -> Report:
    """How much of train some contradictory forms are; those first that disagree with themselves most often.

    mentions (int): All entities of train.
    """
    # The last two decide between equals, so that the order is always the same.
    ranked = sorted(forms, key=lambda form: (-disagreement(form), -form.mentions - form.outside, form.form))
    affected = sum(form.mentions for form in forms)
    return {
        "forms": len(forms),
        "mentions": affected,
        "share_of_mentions": _share(affected, mentions),
        "most_frequent": [form._asdict() for form in ranked[:MOST_FREQUENT]],
    }


@dataclass
class _Unseen:
    """Entities whose form is not one of train: for each label all, those of new form, those of new form or label."""

    entities: Counter[str] = field(default_factory=Counter)
    forms: Counter[str] = field(default_factory=Counter)
    with_label: Counter[str] = field(default_factory=Counter)

    def add(self, doc: Doc, train: _Forms) -> None:
        """Compare the entities of a sentence with those of train."""
        for entity in doc.ents:
            key, label = _folded_key(doc, entity.start, entity.end), entity.label_
            self.entities[label] += 1
            self.forms[label] += not any(key in of_label for of_label in train.folded.values())
            self.with_label[label] += label not in train.folded or key not in train.folded[label]

    def report(self, labels: list[str]) -> Report:
        """Counts and shares over all labels and for each."""

        def row(entities: int, forms: int, with_label: int) -> Report:
            return {
                "entities": entities,
                "unseen": forms,
                "share_unseen": _share(forms, entities),
                "unseen_with_type": with_label,
                "share_unseen_with_type": _share(with_label, entities),
            }

        return {
            "all": row(self.entities.total(), self.forms.total(), self.with_label.total()),
            "by_type": {
                label: row(self.entities[label], self.forms[label], self.with_label[label]) for label in labels
            },
        }


@dataclass
class _Shared:
    """Sentences of a split that an earlier one has too, with the first few as examples.

    examples (dict): The words and the place of each, by the sentence's key.
    earlier_places (dict): Where the earlier split has it.
    """

    sentences: int = 0
    examples: dict[int, tuple[str, str]] = field(default_factory=dict)
    earlier_places: dict[int, str] = field(default_factory=dict)

    def add(self, sentence: int, doc: Doc, place: str) -> None:
        """Count a sentence that is in both."""
        self.sentences += 1
        if len(self.examples) < EXAMPLES:
            self.examples.setdefault(sentence, (" ".join(token.text for token in doc), place))

    def report(self, sentences: int) -> Report:
        """Count, share and examples.

        sentences (int): All of the later split.
        """
        return {
            "sentences": self.sentences,
            "share": _share(self.sentences, sentences),
            "examples": [
                {"sentence": text, "place": place, "earlier_place": self.earlier_places[sentence]}
                for sentence, (text, place) in self.examples.items()
            ],
        }


def _look_again(
    docs: Iterable[Doc], split: str, forms: Collection[bytes], sentences: Collection[int]
) -> tuple[Counter[bytes], dict[int, str]]:
    """Look in a split for what only all of it, or a later split, could tell.

    forms (Collection[bytes]): Entities to look for outside of entities.
    sentences (Collection[int]): Keys of sentences to look for.
    RETURNS: How often each form is there, and the place of the first such sentence.
    """
    lengths: defaultdict[bytes, set[int]] = defaultdict(set)
    for form in forms:
        lengths[form[:BYTES_OF_WORD]].add(len(form))
    outside: Counter[bytes] = Counter()
    places: dict[int, str] = {}
    for number, doc in enumerate(docs, 1):
        words = _words(doc)
        for start, end in _runs(doc.to_array(ENT_IOB) == OUTSIDE):
            run = words[start:end].tobytes()
            for at in range(0, len(run), BYTES_OF_WORD):
                # Only the lengths of forms that begin with this word are tried.
                for length in lengths.get(run[at : at + BYTES_OF_WORD], ()):
                    found = run[at : at + length]
                    if len(found) == length and found in forms:
                        outside[found] += 1
        if sentences and (sentence := _sentence_key(words)) in sentences:
            places.setdefault(sentence, _place(doc, split, number))
    return outside, places


def _words(doc: Doc) -> Words:
    """The hash of each word; spaCy's own annotation of `to_array` says floats."""
    return doc.to_array(ORTH).astype(np.uint64, copy=False)


def _runs(chosen: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Start and end of every stretch of chosen words."""
    edges = np.flatnonzero(np.diff(chosen, prepend=False, append=False)).tolist()
    return zip(edges[::2], edges[1::2], strict=True)


def _sentence_key(words: Words) -> int:
    """The same for equal sequences of words; that two of millions meet by chance has odds of one in a million."""
    return hash(words.tobytes())


def _folded_key(doc: Doc, start: int, end: int) -> int:
    return hash(" ".join(token.text for token in doc[start:end]).casefold())


def _place(doc: Doc, split: str, number: int) -> str:
    """File and line of a sentence if they are known, else where in the split it is."""
    return str(doc.user_data.get(SOURCE, f"sentence {number} of {split}"))


def _sum(counts: Counter[int]) -> int:
    return sum(value * count for value, count in counts.items())


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _summary(counts: Counter[int]) -> dict[str, float | None]:
    """Mean, median, 95th percentile and maximum.

    A percentile is the smallest value that so many percent of the values do not exceed.
    """
    return {
        "mean": _share(_sum(counts), counts.total()),
        "median": _percentile(counts, 50),
        "percentile_95": _percentile(counts, 95),
        "max": max(counts, default=None),
    }


def _percentile(counts: Counter[int], percent: int) -> int | None:
    below = 0
    for value, count in sorted(counts.items()):
        below += count
        if 100 * below >= percent * counts.total():
            return value
    return None


def _histogram(counts: Counter[int]) -> dict[str, int]:
    return {str(value): count for value, count in sorted(counts.items())}


def _lengths(counts: Counter[int]) -> Report:
    """How many entities have so many words, and the most words that one has."""
    longest = len(LENGTHS)
    buckets = Counter(dict.fromkeys(range(1, longest + 1), 0))
    for length, count in counts.items():
        buckets[min(length, longest)] += count
    return {**dict(zip(LENGTHS, buckets.values(), strict=True)), "longest": max(counts, default=None)}
