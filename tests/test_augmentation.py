"""Sentences that stand in for others in training keep their annotation, word by word."""

import random

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.vocab import Vocab

from multiner.augmentation import no_last_mark, other_mentions, small_letters
from multiner.docbins import gold_words_corpus

from .conftest import SENTENCES, make_doc

NLP = spacy.blank("xx")
Tagged = list[tuple[str, str]]


def augmented(augmenter, gold: Doc) -> Doc:
    (example,) = augmenter(NLP, Example(Doc(gold.vocab, words=[token.text for token in gold]), gold))
    assert [token.text for token in example.predicted] == [token.text for token in example.reference]
    assert not example.predicted.ents
    return example.reference


def tagged(doc: Doc) -> Tagged:
    return [(token.text, f"{token.ent_iob_}-{token.ent_type_}") for token in doc]


@pytest.fixture
def corpus(tmp_path):
    DocBin(docs=[make_doc(NLP, *sentence) for sentence in SENTENCES]).to_disk(tmp_path / "names.spacy")
    return tmp_path / "names.spacy"


@st.composite
def docs(draw) -> Doc:
    """Words with entities of three types, and some words of which nothing is annotated."""
    words = draw(st.lists(st.sampled_from(["Ada", "LONDON", "in", ".", "İstanbul", "'s"]), min_size=1, max_size=9))
    tags = [draw(st.sampled_from(["O", "", "B-PER", "B-LOC", "B-MISC"])) for _ in words]
    for place in range(1, len(words)):
        if "-" in tags[place - 1] and draw(st.booleans()):
            tags[place] = "I" + tags[place - 1][1:]
    blanks = draw(st.lists(st.booleans(), min_size=len(words), max_size=len(words)))
    return Doc(NLP.vocab, words=words, spaces=blanks, ents=tags, user_data={"language": "de"})


@given(docs())
def test_small_letters_change_no_tag(gold):
    changed = augmented(small_letters(1.0), gold)
    assert tagged(changed) == [(text.lower(), tag) for text, tag in tagged(gold)]
    assert changed.text == gold.text.lower()
    assert changed.user_data["language"] == "de"


@given(docs())
def test_only_a_last_mark_outside_of_entities_goes(gold):
    changed = tagged(augmented(no_last_mark(1.0), gold))
    text, tag = tagged(gold)[-1]
    goes = len(gold) > 1 and text == "." and tag in {"O-", "-"}
    assert changed == (tagged(gold)[:-1] if goes else tagged(gold))


@settings(max_examples=50)
@given(docs(), st.randoms(use_true_random=False))
def test_other_mentions_are_entities_of_the_same_types_in_the_same_places(tmp_path_factory, gold, numbers):
    random.seed(numbers.random())
    file = tmp_path_factory.mktemp("names") / "names.spacy"
    DocBin(docs=[make_doc(NLP, *sentence) for sentence in SENTENCES]).to_disk(file)
    changed = augmented(other_mentions(1.0, file), gold)
    names = {
        label: {
            " ".join(words[start:end]) for words, spans in SENTENCES for start, end, found in spans if found == label
        }
        for label in ("PER", "LOC")
    }
    assert [entity.label_ for entity in changed.ents] == [entity.label_ for entity in gold.ents]
    for entity, before in zip(changed.ents, gold.ents, strict=True):
        # Of a type that the corpus does not have the names stay.
        own = {" ".join(token.text for token in before)}
        assert " ".join(token.text for token in entity) in names.get(entity.label_, own)
    outside = [[word for word in tagged(doc) if word[1] in {"O-", "-"}] for doc in (changed, gold)]
    assert outside[0] == outside[1]


@pytest.mark.parametrize("make", [small_letters, no_last_mark])
def test_a_share_of_sentences_is_changed_and_the_others_are_as_they_were(make):
    random.seed(0)
    gold = make_doc(NLP, *SENTENCES[1])
    changed = [tagged(augmented(make(0.25), gold)) != tagged(gold) for _ in range(400)]
    assert 60 < sum(changed) < 140
    assert tagged(augmented(make(0.0), gold)) == tagged(gold)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match=rf"share = {share} must be between 0, for no sentence, and 1, for all"):
        small_letters(share)


def test_the_reader_of_corpora_takes_an_augmenter_as_a_config_names_it(corpus):
    make = spacy.registry.augmenters.get("multiner.small_letters.v1")
    examples = list(gold_words_corpus(corpus, augmenter=make(share=1.0))(NLP))
    assert [token.text for token in examples[0].reference][:2] == ["ada", "lovelace"]
    assert [entity.label_ for entity in examples[0].reference.ents] == ["PER", "LOC"]
    assert len(examples) == len(SENTENCES)


def test_names_are_looked_for_in_the_vocabulary_of_the_pipeline(corpus):
    random.seed(1)
    gold = Doc(Vocab(), words=["Lyon", "calls"], ents=["B-LOC", "O"])
    found = {augmented(other_mentions(1.0, corpus), gold)[0].text for _ in range(30)}
    assert found == {"London", "Manchester"}
