"""Whatever a text is made of: an answer, the same in any batch, and never a broken one."""

import itertools
import random

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc

from multiner.tags import legal_transitions

from .conftest import SENTENCES
from .test_pipe import entities, scores

NAMES = [" ".join(words) for words, _ in SENTENCES]
# What has broken tokenizers, alignments and decoders before, and pieces of it.
ODD = [
    "",
    " ",
    " \t\r\n\u2028 ",
    "\x00\x07\x1b\x7f\x85",
    "\u0301",
    "a\u0301\u0301\u0301",
    "👩\u200d👩\u200d👧\u200d👦",
    "🇩🇪🏳️\u200d🌈👍🏽",
    "\u200b\u200d\ufeff\u2060",
    "ולדימיר נסע ללונדון",
    "\u202eadA ecalevoL\u202c",
    "سافرت آدا إلى لندن",
    "東京都に住むＡｄａ　Ｌｏｖｅｌａｃｅ",
    "，。！？：；（）【】",
    "Wait… … ……what",
    "Ada\u00a0Lovelace\u202fin\u2007London",
    "<s> </s> <pad> <unk> <mask> [CLS] [SEP] Ada</s>Lovelace",
    "▁ ▁▁Ada▁Lovelace",
    "Ада Lovelace αβγ 東京 หนังสือ",
    "ﷺ ﬁ ㎏ ½ Ⅷ ①",
    "\U0010ffff\ue000\ufffe\uffff",
    "http://a.b/" + "%20" * 100,
    "=" * 500,
]
texts = st.one_of(
    st.text(st.characters(codec="utf8"), max_size=40),
    st.text(st.sampled_from("Aa.,-'\n\t \u00a0\u200d\u0301…，<s>/▁👩א東"), max_size=40),
    st.lists(st.sampled_from([*ODD, *NAMES, "Ada", "London", "\n"]), max_size=5).map(" ".join),
    st.lists(st.sampled_from([*ODD, *NAMES]), max_size=4).map("".join),
)


def check_entities(nlp: Language, doc: Doc) -> None:
    """What holds for the entities of any document."""
    may_start, may_follow = legal_transitions(1 + 2 * len(nlp.get_pipe("ner").labels))
    labels = nlp.get_pipe("ner").labels
    tags = [
        0 if not word.ent_type_ else 2 * labels.index(word.ent_type_) + (1 if word.ent_iob_ == "B" else 2)
        for word in doc
    ]
    assert not tags or may_start[tags[0]]
    assert all(may_follow[one, other] for one, other in itertools.pairwise(tags))
    taken: set[int] = set()
    for entity in doc.ents:
        assert entity.text and entity.text == entity.text.strip()
        assert not entity[0].is_space and not entity[-1].is_space
        assert taken.isdisjoint(range(entity.start, entity.end))
        taken.update(range(entity.start, entity.end))
    assert list(doc.spans["ner"]) == list(doc.ents)
    confidence = doc.spans["ner"].attrs["scores"]
    assert len(confidence) == len(doc.ents)
    assert np.all((confidence >= 0) & (confidence <= 1))


def test_any_text_has_sound_entities_and_the_same_in_any_batch(trained):
    alone: dict[str, Doc] = {}

    # The same examples each time: of two labels that are as likely as each other to the last bit, a batch may choose
    # the other one, and a test must not depend on whether it meets such a word.
    @settings(max_examples=2000, derandomize=True)
    @given(texts)
    def one_by_one(text: str) -> None:
        alone[text] = doc = trained(text)
        assert doc.text == text
        check_entities(trained, doc)

    one_by_one()
    several = list(alone)
    assert len(several) > 1000 and sum(bool(doc.ents) for doc in alone.values()) > 500
    for seed, batch_size in enumerate((1, 3, 64)):
        random.Random(seed).shuffle(several)
        for text, doc in zip(several, trained.pipe(several, batch_size=batch_size), strict=True):
            assert doc.text == text
            assert entities(doc) == entities(alone[text])
            # Matrix products of another shape add up in another order, so the last bits of a float32 may differ.
            assert scores(doc) == pytest.approx(scores(alone[text]), abs=1e-4)


@pytest.mark.parametrize("batch_size", [1, 64])
def test_documents_without_a_word_between_others_keep_their_places(trained, batch_size):
    several = ["", NAMES[0], "", " ", NAMES[1], "\n\n", ""]
    docs = list(trained.pipe(several, batch_size=batch_size))
    assert [len(doc.ents) for doc in docs] == [0, 2, 0, 0, 2, 0, 0]
    assert all(doc.has_annotation("ENT_IOB") or not len(doc) for doc in docs)
    assert list(trained.pipe(["", " "])) and list(trained.pipe([])) == []


def test_a_no_break_space_inside_a_word_parts_it_no_further(trained):
    doc = trained.get_pipe("ner")(Doc(trained.vocab, words=["Ada\u00a0Lovelace", "lives", "in", "London"]))
    assert len(doc) == 4
    assert ("London", "LOC") in entities(doc)
    check_entities(trained, doc)


def test_a_sentence_end_written_in_a_text_hides_nothing_from_the_encoder(trained):
    """With the tokenizer alone `</s>` would have the id that ends a sentence."""
    shim = trained.get_pipe("ner").shim
    batches = list(shim.batcher([trained.make_doc("<s> Ada </s> <pad> Lovelace")], 1024))
    ids = batches[0].ids.tolist()
    assert [ids.count(special) for special in (0, 1, 2)] == [1, 0, 1]


def test_a_lone_surrogate_is_refused_with_its_name_and_place(trained):
    """It is no character and has no UTF-8, so spaCy refuses it before any component runs; others are unharmed."""
    for text in ("\ud800", "Ada \udfff"):
        with pytest.raises(UnicodeEncodeError, match=r"can't encode character '\\ud[8f]..' in position \d: surrogates"):
            trained(text)
        with pytest.raises(UnicodeEncodeError):
            Doc(spacy.blank("en").vocab, words=[text])
    assert entities(trained(NAMES[0]))


@pytest.mark.parametrize("character", ["x", "漢", " ", "\u0301", "."])
def test_a_megabyte_of_one_character(trained, character):
    doc = trained(character * trained.max_length)
    assert len(doc) == 1
    check_entities(trained, doc)


def test_documents_of_several_vocabularies_in_one_batch(trained):
    """As `nlp.pipe` takes documents that other pipelines made."""
    foreign = [Doc(spacy.blank("de").vocab, words=[*words, "Zuerst"]) for words, _ in SENTENCES]
    own = [Doc(trained.vocab, words=[*words, "first"]) for words, _ in SENTENCES]
    together = [entities(doc) for doc in trained.pipe([*own, *foreign])]
    assert together == [entities(trained.get_pipe("ner")(doc)) for doc in [*own, *foreign]]
    assert ("Ada Lovelace", "PER") in together[len(own)]
