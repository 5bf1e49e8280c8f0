"""Languages of unlike size in an epoch: how often the sentences of each are drawn."""

import random
from collections import Counter

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import registry

from multiner.training import balanced_languages, language_shares, length_grouped_batches

VOCAB = spacy.blank("xx").vocab
SIZES = st.dictionaries(st.sampled_from(["de", "fr", "it", "en", "ka"]), st.integers(1, 40), min_size=1)


def examples_of(sizes: dict[str, int]) -> list[Example]:
    made = []
    for language, size in sizes.items():
        for number in range(size):
            doc = Doc(VOCAB, words=[f"{language}{number}"] * (1 + number % 5))
            doc.user_data["language"] = language
            made.append(Example(doc.copy(), doc))
    random.shuffle(made)
    return made


def drawn(sizes: dict[str, int], exponent: float) -> Counter[str]:
    """How often each sentence is in an epoch; a sentence is its first word."""
    batches = list(balanced_languages(4, exponent)(examples_of(sizes)))
    assert all(len(batch) <= 4 for batch in batches)
    return Counter(example.reference[0].text for batch in batches for example in batch)


@given(SIZES, st.floats(0, 2))
def test_an_epoch_is_as_long_as_the_corpus_and_shares_go_by_the_power(sizes, exponent):
    times = drawn(sizes, exponent)
    total = sum(sizes.values())
    assert times.total() == total
    weights = {language: size**exponent for language, size in sizes.items()}
    for language, size in sizes.items():
        of_language = {word: n for word, n in times.items() if word.startswith(language)}
        share = total * weights[language] / sum(weights.values())
        assert abs(sum(of_language.values()) - share) < 1 + 1e-6
        # All sentences of a language come equally often, as far as that is possible.
        counts = [of_language.get(f"{language}{number}", 0) for number in range(size)]
        assert max(counts) - min(counts) <= 1


@given(SIZES)
def test_at_one_the_batches_are_those_of_the_corpus_as_it_is(sizes):
    examples = examples_of(sizes)
    state = random.getstate()
    wanted = list(length_grouped_batches(3)(examples))
    random.setstate(state)
    assert list(balanced_languages(3, 1.0)(examples)) == wanted


@given(SIZES)
def test_at_nothing_all_languages_have_the_same_share(sizes):
    shares = language_shares(sizes, 0.0)
    assert sum(shares.values()) == sum(sizes.values())
    assert max(shares.values()) - min(shares.values()) <= 1


def test_copies_of_a_sentence_are_far_from_each_other():
    examples = examples_of({"de": 300, "en": 100})
    batches = balanced_languages(2, 0.0)(examples)  # stretches of a hundred examples
    for batch in batches:
        words = [example.reference[0].text for example in batch]
        assert len(set(words)) == len(words)


def test_each_epoch_draws_others_of_a_large_language():
    examples = examples_of({"de": 60, "en": 20})
    batch = balanced_languages(4, 0.0)
    epochs = []
    for _ in range(2):
        random.shuffle(examples)
        epochs.append({example.reference[0].text for part in batch(examples) for example in part})
    assert epochs[0] != epochs[1]


def test_documents_without_a_language_count_as_one_and_nothing_gives_nothing():
    doc = Doc(VOCAB, words=["word"])
    assert sum(map(len, balanced_languages(2, 0.0)([Example(doc, doc)] * 5))) == 5
    assert list(balanced_languages(2, 0.5)([])) == []


def test_a_config_finds_it_and_a_negative_exponent_is_refused():
    settings = {"batcher": {"@batchers": "multiner.BalancedLanguages.v1", "size": 2, "exponent": 0.5}}
    assert callable(registry.resolve(settings)["batcher"])
    with pytest.raises(ValueError, match=r"exponent = -1 must be 0 or more"):
        balanced_languages(2, -1)
