"""A pipeline with a smaller vocabulary reads the words that it was trimmed for as before."""

import json
import unicodedata

import numpy as np
import pytest
import safetensors.torch
import spacy
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin

from multiner import alphabets, trimming
from multiner.alphabets import WordListsMissing, characters_of_languages, letters_of
from multiner.encoder import load_encoder
from multiner.manifest import ModelFilesError
from multiner.storage import STORAGES, pack, unpack
from multiner.trimming import NothingToTrim, trim, words_of_texts
from multiner.vocabulary import TokenizerCannotBeTrimmed, trim_tokenizer

from .conftest import SENTENCES, learn_by_heart, make_doc, make_examples, run_script
from .families import FAMILIES, TEXT, save_encoder

WORDS = sorted({word for words, _ in SENTENCES for word in words})
COVERED = sorted({word for text in TEXT for word in text.split()})


def cuts(tokenizer, words):
    encodings = tokenizer.encode_batch([[word] for word in words], is_pretokenized=True, add_special_tokens=False)
    return [encoding.tokens for encoding in encodings]


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def tokenizer(request, tmp_path_factory):
    return load_encoder(save_encoder(request.param, tmp_path_factory.mktemp(request.param))).tokenizer


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.sampled_from(COVERED), min_size=1, max_size=5))
def test_covered_words_are_cut_as_before_and_ends_of_sentences_have_their_pieces(tokenizer, words):
    used = {number for word in words for number in tokenizer.encode([word], is_pretokenized=True).ids}
    smaller, kept = trim_tokenizer(tokenizer, used)
    assert cuts(smaller, words) == cuts(tokenizer, words)
    whole, part = (each.encode(words, is_pretokenized=True) for each in (tokenizer, smaller))
    assert part.tokens == whole.tokens
    assert [kept[number] for number in part.ids] == whole.ids
    assert len(kept) == smaller.get_vocab_size() <= tokenizer.get_vocab_size()


def test_other_words_are_made_of_pieces_that_remain(tokenizer):
    used = {number for word in COVERED[:3] for number in tokenizer.encode([word], is_pretokenized=True).ids}
    smaller, kept = trim_tokenizer(tokenizer, used)
    assert len(kept) < tokenizer.get_vocab_size()
    assert all(cut for cut in cuts(smaller, COVERED))


def test_pieces_that_are_no_list_are_refused(tokenizer):
    content = {
        **json.loads(tokenizer.to_str()),
        "model": {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"},
    }
    content |= {"added_tokens": [], "post_processor": None}
    with pytest.raises(TokenizerCannotBeTrimmed, match="of the kind WordLevel; .*Unigram, WordPiece, BPE"):
        trim_tokenizer(type(tokenizer).from_str(json.dumps(content)), {0})


@pytest.fixture
def nlp(saved):
    return spacy.load(saved)


def scores(nlp, words):
    return nlp.get_pipe("ner").model.predict([Doc(nlp.vocab, words=words)])[0]


def test_covered_words_have_the_scores_of_before(nlp, saved, tmp_path):
    before = [scores(nlp, words) for words, _ in SENTENCES]
    trimmed = trim(nlp, WORDS[:12], (), "float32")
    assert trimmed.pieces < trimmed.pieces_before and trimmed.words == 12
    nlp.to_disk(tmp_path / "small")
    loaded = spacy.load(tmp_path / "small")
    for pipeline in (nlp, loaded):
        for (words, _), wanted in zip(SENTENCES, before, strict=True):
            if set(words) <= set(WORDS[:12]):
                np.testing.assert_allclose(scores(pipeline, words), wanted, atol=1e-5)
    assert len(loaded.get_pipe("ner").shim.network.embedding.weight) == trimmed.pieces


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_encoders_of_every_family_read_covered_words_as_before(family, tmp_path):
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("multiner", name="ner", config={"model": {"precision": "float32"}})
    pipe.initialize(lambda: make_examples(nlp), nlp=nlp, encoder=save_encoder(family, tmp_path))
    words = TEXT[0].split()
    before = scores(nlp, words)
    trimmed = trim(nlp, words, (), "float32")
    assert len(pipe.shim.vocabulary()) == trimmed.pieces <= trimmed.pieces_before
    np.testing.assert_allclose(scores(nlp, words), before, atol=1e-5)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_all_words_of_some_characters_are_read_as_before(family, tmp_path):
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("multiner", name="ner", config={"model": {"precision": "float32"}})
    pipe.initialize(lambda: make_examples(nlp), nlp=nlp, encoder=save_encoder(family, tmp_path))
    characters = "abdehilnorstuDPS"
    covered = [word for word in COVERED if set(word) <= set(characters)] + ["Sand", "stables", "Dublin", "Portland"]
    before, cut = scores(nlp, covered), cuts(pipe.shim.tokenizer, covered)
    trimmed = trim(nlp, [], characters, "float32")
    assert trimmed.words == 0 and trimmed.characters == len(characters)
    assert trimmed.pieces < trimmed.pieces_before
    assert cuts(pipe.shim.tokenizer, covered) == cut
    np.testing.assert_allclose(scores(nlp, covered), before, atol=1e-5)


@pytest.mark.parametrize("storage", STORAGES)
def test_weights_in_fewer_bytes_find_the_same_entities(nlp, tmp_path, storage):
    wanted = [[(entity.text, entity.label_) for entity in nlp(" ".join(words)).ents] for words, _ in SENTENCES]
    trim(nlp, WORDS, (), storage)
    nlp.to_disk(tmp_path / "small")
    loaded = spacy.load(tmp_path / "small")
    again = spacy.load(tmp_path / "small")
    again.from_bytes(loaded.to_bytes())
    for pipeline in (loaded, again):
        found = [pipeline(" ".join(words)).ents for words, _ in SENTENCES]
        assert [[(entity.text, entity.label_) for entity in entities] for entities in found] == wanted
    stored = safetensors.torch.load_file(tmp_path / "small/ner/model/weights.safetensors")
    matrices = {tensor.dtype for name, tensor in stored.items() if tensor.ndim > 1 and name != "head.weight"}
    assert matrices == {getattr(torch, storage)}
    assert stored["head.weight"].dtype == torch.float32


def test_trimmed_pipelines_can_be_trained_on(nlp, tmp_path):
    trim(nlp, WORDS, (), "int8")
    nlp.to_disk(tmp_path / "small")
    loaded = spacy.load(tmp_path / "small")
    learn_by_heart(loaded, make_examples(loaded))


def test_characters_of_the_scripts_stay():
    assert trimming._is_character("▁é", {"LATIN"}) and trimming._is_character("##z", {"LATIN"})
    assert trimming._is_character("▁", {unicodedata.name("▁").split()[0]})
    assert not trimming._is_character("▁б", {"LATIN"})
    assert not trimming._is_character("▁ab", {"LATIN"})


def test_words_of_texts_do_not_stay_in_the_vocabulary(nlp):
    before = len(nlp.vocab.strings)
    assert list(words_of_texts(nlp, ["Zyxin  binds Actin."])) == ["Zyxin", "binds", "Actin", "."]
    assert len(nlp.vocab.strings) == before


@settings(max_examples=50)
@given(
    rows=st.integers(1, 5),
    columns=st.integers(1, 9),
    seed=st.integers(0, 999),
    power=st.integers(-6, 6),
)
def test_int8_is_off_by_half_a_step_of_its_row_at_most_and_bfloat16_by_a_256th(rows, columns, seed, power):
    tensor = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * 10.0**power
    tensor[0] = 0.0
    given_back = unpack(pack({"a": tensor}, "int8"), "here")["a"]
    steps = tensor.abs().amax(1, keepdim=True) / 127
    assert ((given_back - tensor).abs() <= steps * 0.501).all()
    given_back = unpack(pack({"a": tensor}, "bfloat16"), "here")["a"]
    assert ((given_back - tensor).abs() <= tensor.abs() / 256).all()


def test_a_scale_that_is_missing_is_an_error():
    packed = pack({"a": torch.ones(2, 2)}, "int8")
    del packed["a.scale"]
    with pytest.raises(ModelFilesError, match="the file: a has no scale for each of its rows"):
        unpack(packed, "the file")


def test_there_has_to_be_something_to_trim():
    with pytest.raises(NothingToTrim, match="no trained component"):
        trim(spacy.blank("en"), ["word"], (), "bfloat16")


def test_letters_are_those_of_running_text():
    words = {"straße": 5.0, "café": 1.0, "2024": 9.0, "don't": 1.0, "жук": 0.1, "naïve": 1e-5}
    assert letters_of(words) == set("straßecfédon")  # ж is of another script, ï occurs once in a million letters
    assert letters_of({"жук": 5.0, "taxi": 1.0}) == set("жукtaxi")  # two scripts are in use
    assert letters_of({}) == set()


@settings(max_examples=50)
@given(st.dictionaries(st.text("abcdéβж1-", min_size=1, max_size=6), st.floats(0.001, 1000), min_size=1))
def test_letters_cover_nearly_all_of_the_running_ones_in_their_scripts(words):
    letters = letters_of(words)
    running = {letter: sum(words[word] * word.count(letter) for word in words) for letter in "abcdéβж"}
    scripts = [[running[letter] for letter in script] for script in ("abcdé", "β", "ж")]
    missing = sum(frequency for letter, frequency in running.items() if letter not in letters)
    foreign = sum(sum(script) for script in scripts if sum(script) < alphabets.LEAST_OF_SCRIPT * sum(running.values()))
    assert missing <= foreign + (1 + 1e-9 - alphabets.COVERED) * sum(running.values())
    assert letters <= set(running)


def test_languages_are_written_in_letters_of_both_cases_and_signs(monkeypatch):
    lists = {"de": {"strasse": 1.0, "für": 1.0}, "ru": {"жук": 1.0}}
    monkeypatch.setattr(alphabets, "_word_frequencies", lists.__getitem__)
    german = characters_of_languages(["de"])
    assert german >= set("StraßeFÜRfür €5,„“!") - {" "} and not german & set("жЖé")
    assert characters_of_languages(["de", "ru"]) >= german | set("жЖ")
    assert characters_of_languages([]) == set()


def test_word_lists_know_the_letters_of_languages():
    pytest.importorskip("wordfreq", reason="the extra `trim` is not installed")
    assert characters_of_languages(["de"]) >= set("äöüÄÖÜßé") and "ж" not in characters_of_languages(["de"])
    with pytest.raises(WordListsMissing, match="no words of 'xx', only of ar, "):
        characters_of_languages(["xx"])


def test_what_word_lists_need_is_named(monkeypatch):
    monkeypatch.setattr(alphabets, "find_spec", lambda name: None)
    with pytest.raises(WordListsMissing, match=r"pip install 'spacy-multiner\[trim\]'"):
        characters_of_languages(["de"])


def test_the_command_says_what_became_smaller(saved, tmp_path):
    (tmp_path / "texts.txt").write_text("Ada Lovelace lives in London", encoding="utf8")
    nlp = spacy.load(saved)
    DocBin(docs=[make_doc(nlp, *SENTENCES[0])]).to_disk(tmp_path / "test.spacy")
    arguments = ["--texts", tmp_path / "texts.txt", "--check", tmp_path / "test.spacy", "--report", tmp_path / "r.json"]
    ran = run_script("scripts/trim.py", saved, tmp_path / "small", *arguments)
    assert ran.returncode == 0, ran.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["pieces"] < report["pieces_before"] and report["stored_as"] == "bfloat16"
    assert report["after"]["size_mb"] < report["before"]["size_mb"]
    assert report["strict_f1"] == [{"corpus": str(tmp_path / "test.spacy"), "before": 1.0, "after": 1.0}]
    assert [entity.text for entity in spacy.load(tmp_path / "small")("Ada Lovelace lives in London").ents]


def test_the_command_wants_to_know_what_to_cover(saved, tmp_path):
    ran = run_script("scripts/trim.py", saved, tmp_path / "small")
    assert ran.returncode == 2 and "--texts or --language" in ran.stderr
    assert not (tmp_path / "small").exists()
