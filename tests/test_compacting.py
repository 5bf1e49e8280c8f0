"""A long run keeps what it needs of words alone: its tables stay as they were, and free memory is the system's."""

import gc
import platform

import pytest
import spacy
from spacy.tokens import Doc
from spacy.util import compile_suffix_regex

from multiner.compacting import LongRun, compact, return_freed_memory
from multiner.memory_use import MEGABYTE, resident_bytes
from multiner.tokenizer import make_multilingual_tokenizer


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


def parts_of(run, nlp, parts):
    """Run texts part by part; how many strings there are after each."""
    sizes = []
    for part in parts:
        with run.part():
            list(nlp.pipe(part))
        sizes.append(len(nlp.vocab.strings))
    return sizes


def test_a_long_run_keeps_the_words_that_it_meets_first(monkeypatch):
    monkeypatch.setattr("multiner.compacting.KEPT_WORDS", 150)
    nlp = spacy.blank("xx")
    parts = [[f"word{part}x{number}" for number in range(100)] for part in range(5)]
    sizes = parts_of(LongRun(nlp), nlp, parts)
    assert sizes[0] < sizes[1] == sizes[2] == sizes[3] == sizes[4]
    kept = [part[0] in nlp.vocab.strings for part in parts]
    assert kept == [True, True, False, False, False]


def test_words_that_are_kept_are_not_taken_apart_again(monkeypatch):
    taken_apart = []

    class Watched:
        def __init__(self, patterns):
            self.pattern = compile_suffix_regex(patterns)

        def search(self, text):
            taken_apart.append(text)
            return self.pattern.search(text)

    monkeypatch.setattr("multiner.tokenizer.compile_suffix_regex", Watched)
    monkeypatch.setattr("multiner.compacting.KEPT_WORDS", 1)
    nlp = spacy.blank("xx")
    nlp.tokenizer = make_multilingual_tokenizer()(nlp)
    often = [f"word{number}" for number in range(20_000)]
    run = LongRun(nlp)
    parts_of(run, nlp, [often])
    taken_apart.clear()
    parts_of(run, nlp, [[*often, "rare"], [*often, "rare"]])
    assert set(taken_apart) == {"rare"}


def is_looked_through(something):
    return any(each is something for each in gc.get_objects())


def test_what_was_there_before_a_part_is_not_looked_through_for_garbage_in_it():
    nlp = spacy.blank("xx")
    run = LongRun(nlp)
    for _ in range(2):
        with run.part():
            new = spacy.blank("xx")
            assert is_looked_through(new) and not is_looked_through(nlp)
        assert is_looked_through(nlp)
    with pytest.raises(RuntimeError), run.part():
        raise RuntimeError
    assert is_looked_through(nlp)


def test_what_somebody_else_has_taken_from_garbage_collection_stays_so():
    nlp = spacy.blank("xx")
    gc.freeze()
    try:
        with LongRun(nlp).part():
            pass
        assert not is_looked_through(nlp)
    finally:
        gc.unfreeze()


def test_the_places_of_words_that_a_long_run_forgot_do_not_become_more_and_more(monkeypatch):
    monkeypatch.setattr("multiner.compacting.KEPT_WORDS", 0)
    monkeypatch.setattr("multiner.compacting.MOST_FORGOTTEN", 1500)
    nlp = spacy.blank("xx")
    run, places = LongRun(nlp), []
    known = nlp.make_doc("Ada Lovelace")
    for part in range(9):
        assert parts_of(run, nlp, [[f"word{part}x{number}" for number in range(1000)]]) == [len(nlp.vocab.strings)]
        places.append(len(nlp.vocab.strings._map))
    assert max(places) < 2500
    assert places[1] == places[3] == places[5] == places[7] < 1000
    assert known.text == "Ada Lovelace"


def test_a_long_run_finds_what_the_pipeline_finds(trained, monkeypatch):
    monkeypatch.setattr("multiner.compacting.KEPT_WORDS", 20)
    monkeypatch.setattr("multiner.compacting.MOST_FORGOTTEN", 30)
    texts = [f"Ada Lovelace lives in London word{number}" for number in range(60)]
    expected = [(entity.text, entity.label_) for entity in trained(texts[0]).ents]
    assert expected
    run = LongRun(trained)
    for start in range(0, 60, 10):
        with run.part():
            for doc in trained.pipe(texts[start : start + 10]):
                assert [(entity.text, entity.label_) for entity in doc.ents] == expected


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to return memory")
def test_memory_between_what_is_still_alive_is_given_back():
    blocks = [bytes(4096) for _ in range(50_000)]
    alive = blocks[::100]
    del blocks
    before = resident_bytes()
    return_freed_memory()
    assert resident_bytes() < before - 50 * MEGABYTE
    assert len(alive) == 500
