"""A vocabulary whose tables were made anew is the one that it was, and free memory is the system's."""

import platform

import pytest
import spacy
from spacy.tokens import Doc

from multiner.compacting import compact, return_freed_memory
from multiner.memory_use import MEGABYTE, resident_bytes


def test_words_and_documents_stay_as_they_are(trained):
    nlp = spacy.blank("xx")
    doc = nlp.make_doc("Ada Lovelace lives in London")
    doc.ents = [doc.char_span(0, 12, label="PER")]
    strings = set(nlp.vocab.strings)
    compact(nlp.vocab)
    assert set(nlp.vocab.strings) == strings
    assert doc.text == "Ada Lovelace lives in London"
    assert [(entity.text, entity.label_) for entity in doc.ents] == [("Ada Lovelace", "PER")]
    assert [word.lower_ for word in Doc(nlp.vocab, words=["Ada", "Bern"])] == ["ada", "bern"]


def test_a_pipeline_goes_on_as_before(trained):
    text = "Ada Lovelace lives in London"
    before = [(entity.text, entity.label_) for entity in trained(text).ents]
    for number in range(3):
        with trained.memory_zone():
            list(trained.pipe(f"word{number} {text}" for _ in range(3)))
        compact(trained.vocab)
        assert [(entity.text, entity.label_) for entity in trained(text).ents] == before != []


def test_a_table_of_norms_is_looked_at_once_however_often_it_is_done():
    nlp = spacy.blank("xx")
    nlp.vocab.lookups.add_table("lexeme_norm", {"colour": "color"})
    nlp.vocab.from_bytes(nlp.vocab.to_bytes())
    getters = dict(nlp.vocab.lex_attr_getters)
    for _ in range(3):
        compact(nlp.vocab)
    assert dict(nlp.vocab.lex_attr_getters) == getters
    assert nlp.make_doc("colour")[0].norm_ == "color"


def test_the_places_of_forgotten_words_are_gone():
    nlp = spacy.blank("xx")
    sizes = []
    for number in range(3):
        with nlp.memory_zone():
            list(nlp.pipe(f"word{number}x{other}" for other in range(1000)))
        compact(nlp.vocab)
        # The table counts places of deleted words too.
        sizes.append(len(nlp.vocab.strings._map))
    assert sizes[0] == sizes[1] == sizes[2] < 1000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to return memory")
def test_memory_between_what_is_still_alive_is_given_back():
    blocks = [bytes(4096) for _ in range(50_000)]
    alive = blocks[::100]
    del blocks
    before = resident_bytes()
    return_freed_memory()
    assert resident_bytes() < before - 50 * MEGABYTE
    assert len(alive) == 500
