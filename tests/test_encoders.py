"""Encoders of every family in use: what is read, what is scored, what is trained, what is saved, what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.strings import StringStore
from spacy.tokens import Doc
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForTokenClassification,
    AutoTokenizer,
    BartConfig,
    PretrainedConfig,
    ViTConfig,
)

from multiner.encoder import EncoderNotFound, EncoderNotUsable, load_encoder, load_tokenizer
from multiner.layout import POSITIONS_AFTER_PAD
from multiner.pieces import PieceCutter

from .conftest import SENTENCES, learn_by_heart, make_examples
from .families import FAMILIES, POSITIONS, SIZES, save_encoder
from .test_long_documents import windows_of

WORDS = [
    *[words for words, _ in SENTENCES],
    ["Unbelievably", ",", "naïveté", "東京", "of", "Donaudampfschifffahrt"],
    ["LONDON", "a\u200db", "'s", "▁", "Ġ"],
]


@pytest.fixture(scope="session", params=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_encoder(family, tmp_path_factory.mktemp(family))


@pytest.fixture(scope="session")
def learnt(folder: str) -> Language:
    """A pipeline that has learnt the sentences by heart. Tests must leave it as it is."""
    torch.manual_seed(0)
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("multiner", name="ner", config={"model": {"precision": "float32"}})
    examples = make_examples(nlp)
    pipe.initialize(lambda: examples, nlp=nlp, encoder=folder)
    learn_by_heart(nlp, examples)
    return nlp


def scores(nlp: Language) -> list[np.ndarray]:
    return nlp.get_pipe("ner").model.predict([Doc(nlp.vocab, words=words) for words in WORDS])


def test_every_family_learns_the_sentences_by_heart(learnt):
    for words, entities in SENTENCES:
        doc = next(learnt.pipe([Doc(learnt.vocab, words=words)]))
        assert [(entity.start, entity.end, entity.label_) for entity in doc.ents] == entities


def test_scores_are_those_of_transformers(family, folder, learnt):
    """After training, in one batch of sentences of different lengths, against one sentence at a time."""
    network = learnt.get_pipe("ner").shim.network.eval()
    reference = AutoModelForTokenClassification.from_pretrained(folder, num_labels=network.head.out_features).eval()
    getattr(reference, FAMILIES[family].inner).load_state_dict(network.encoder.state_dict())
    reference.classifier.load_state_dict(network.head.state_dict())
    if family == "modernbert":
        reference.head = nn.Identity()  # it puts another layer between encoder and classifier
    tokenizer = AutoTokenizer.from_pretrained(folder, add_prefix_space=True)
    for words, ours in zip(WORDS, scores(learnt), strict=True):
        encoded = tokenizer(words, is_split_into_words=True, return_tensors="pt")
        with torch.inference_mode():
            theirs = reference(encoded.input_ids, encoded.attention_mask).logits[0].numpy()
        firsts = [encoded.word_ids().index(word) for word in range(len(words))]
        np.testing.assert_allclose(ours, theirs[firsts], atol=1e-5)
        assert np.ptp(ours, axis=0).max() > 0.1, "equal scores for all words would prove nothing"


def test_every_family_is_saved_and_restored_with_equal_scores(learnt, tmp_path):
    learnt.to_disk(tmp_path)
    from_bytes = spacy.blank("en")
    from_bytes.add_pipe("multiner", name="ner")
    from_bytes.from_bytes(learnt.to_bytes())
    for restored in (from_bytes, spacy.load(tmp_path)):
        for ours, theirs in zip(scores(restored), scores(learnt), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_only_the_rows_of_pieces_in_the_corpus_are_trained(folder, learnt):
    before = load_encoder(folder).module.get_input_embeddings().weight
    network = learnt.get_pipe("ner").shim.network.eval()
    assert network.encoder.get_input_embeddings() is network.embedding
    assert network.embedding.weight.shape == before.shape
    tokenizer = AutoTokenizer.from_pretrained(folder, add_prefix_space=True)
    met = torch.zeros(len(before), dtype=torch.bool)
    for words, _ in SENTENCES:
        met[tokenizer(words, is_split_into_words=True).input_ids] = True
    moved = (network.embedding.weight != before).any(dim=1)
    assert met.any() and moved[met].all()
    met[tokenizer.pad_token_id] = True  # what is filled up with is met too, and nothing is said about it
    assert not met.all() and not moved[~met].any()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.text(st.characters(codec="utf8"), min_size=1, max_size=8), min_size=1, max_size=6))
def test_a_word_cut_on_its_own_has_the_pieces_that_it_has_in_a_sentence(folder, words):
    tokenizer, reading = load_tokenizer(folder)
    strings = StringStore()
    pieces = PieceCutter(tokenizer, reading.unknown, 64)([strings.add(word) for word in words], strings.__getitem__)
    theirs = AutoTokenizer.from_pretrained(folder, add_prefix_space=True)(words, is_split_into_words=True)
    expected: list[list[int]] = [[] for _ in words]
    for piece, word in zip(theirs.input_ids, theirs.word_ids(), strict=True):
        if word is not None:
            expected[word].append(piece)
    cuts = np.split(pieces.ids, np.cumsum(pieces.counts)[:-1])
    for word, ours, their_pieces in zip(words, cuts, expected, strict=True):
        assert ours.tolist() == ([] if word.isspace() else their_pieces or [reading.unknown])


def test_an_encoder_reads_all_the_pieces_that_it_can(family, folder):
    encoder = load_encoder(folder)
    special = len(encoder.reading.prefix) + len(encoder.reading.suffix)
    assert special == 2
    most = encoder.reading.capacity + special
    assert most == (POSITIONS - 2 if family in POSITIONS_AFTER_PAD else POSITIONS)
    word = encoder.reading.suffix[0]
    vectors = encoder.module.eval()(input_ids=torch.full((1, most), word)).last_hidden_state
    assert vectors.shape == (1, most, encoder.width)


def test_more_words_than_an_encoder_reads_have_the_scores_of_their_windows(learnt):
    model = learnt.get_pipe("ner").model
    doc = Doc(learnt.vocab, words=SENTENCES[0][0] * 40)
    windows = windows_of(learnt, doc)
    assert len(windows) > 2
    (together,) = model.predict([doc])
    alone = model.predict([doc[window.start : window.end].as_doc() for window in windows])
    for (start, _, keep_start, keep_end), expected in zip(windows, alone, strict=True):
        kept = expected[keep_start - start : keep_end - start]
        np.testing.assert_allclose(together[keep_start:keep_end], kept, atol=1e-5)


def small(model_type: str) -> PretrainedConfig:
    # What only one of them knows is ignored by the others.
    own = {"attention_window": 14, "entity_vocab_size": 3, "entity_emb_size": 8}
    return AutoConfig.for_model(model_type, **SIZES, vocab_size=50, pad_token_id=1, **own)


@pytest.mark.parametrize("model_type", sorted(POSITIONS_AFTER_PAD))
def test_types_that_count_positions_after_the_padding_read_one_piece_less_for_each(model_type):
    module = AutoModel.from_config(small(model_type)).eval()
    most = POSITIONS - (1 + 1)
    module(input_ids=torch.full((1, most), 7))
    with pytest.raises((IndexError, RuntimeError)):
        module(input_ids=torch.full((1, most + 1), 7))


def test_positions_count_from_the_padding_whatever_its_id(tmp_path):
    tokenizer = FAMILIES["camembert"].tokenizer()
    tokenizer.pad_token = "<mask>"  # the last but one of the special tokens
    tokenizer.save_pretrained(tmp_path)
    pad = tokenizer.pad_token_id
    AutoModel.from_config(FAMILIES["camembert"].config(vocab_size=len(tokenizer), pad_token_id=pad)).save_pretrained(
        tmp_path
    )
    assert pad > 1
    assert load_encoder(str(tmp_path)).reading.capacity == POSITIONS - (pad + 1) - 2


def test_the_width_of_vectors_is_that_of_the_last_layer(tmp_path):
    assert load_encoder(save_encoder("electra", tmp_path)).width == 32
    assert load_encoder(str(tmp_path)).module.get_input_embeddings().weight.shape[1] == 16


def test_upper_case_is_lowered_where_the_tokenizer_says_so(tmp_path):
    tokenizer, reading = load_tokenizer(save_encoder("bert", tmp_path))
    pieces = PieceCutter(tokenizer, reading.unknown, 64)([0, 1], ["LONDON", "london"].__getitem__)
    upper, lower = np.split(pieces.ids, 2)
    assert upper.tolist() == lower.tolist() != []


def test_modernbert_computes_attention_without_what_may_be_installed(tmp_path, monkeypatch):
    """Flash Attention computes neither in float32 nor on a CPU, and compiling would start anew for every batch."""
    folder = save_encoder("modernbert", tmp_path)
    family = transformers.models.modernbert.modeling_modernbert
    monkeypatch.setattr(
        family.ModernBertPreTrainedModel,
        "_check_and_enable_flash_attn_2",
        classmethod(lambda cls, config, **options: config),
    )
    monkeypatch.setattr(family, "is_triton_available", lambda: True)
    module = load_encoder(folder).module
    assert module.config._attn_implementation == "sdpa"
    assert module.config.reference_compile is False


def save_tokenizer(folder: Path, config: dict | None = None) -> str:
    FAMILIES["bert"].tokenizer().save_pretrained(folder)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


def test_a_tokenizer_without_a_fast_version_is_refused(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(["<cls>", "<pad>", "<eos>", "<unk>", "A", "B", "<mask>"]))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "EsmTokenizer"}))
    AutoModel.from_config(FAMILIES["bert"].config(vocab_size=7)).save_pretrained(tmp_path)
    with pytest.raises(
        EncoderNotUsable,
        match=r"^The tokenizer of '.*' \(EsmTokenizer\) has no fast version .* Take an encoder that has one\.$",
    ):
        load_encoder(str(tmp_path))


def test_an_encoder_with_a_decoder_is_refused(tmp_path):
    folder = save_tokenizer(tmp_path, BartConfig().to_dict())
    with pytest.raises(
        EncoderNotUsable, match=r"^'.*' is an encoder with a decoder \(bart\), .* Take an encoder alone"
    ):
        load_encoder(folder)


def test_a_model_without_word_embeddings_is_refused(tmp_path):
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    AutoModel.from_config(ViTConfig(**size)).save_pretrained(tmp_path)
    with pytest.raises(EncoderNotUsable, match=r"^'.*' \(vit\) has no plain table of word embeddings: .* Take an"):
        load_encoder(save_tokenizer(tmp_path))


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "nothing-known"},
        {"hidden_size": 8},
        {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}},
    ],
    ids=["unknown", "unnamed", "with code of its own"],
)
def test_an_unknown_type_of_model_is_refused(tmp_path, config):
    folder = save_tokenizer(tmp_path, config)
    with pytest.raises(
        EncoderNotUsable, match=r"^'.*' does not hold a usable encoder: its config.json .* Take another"
    ):
        load_encoder(folder)


def test_a_path_that_is_mistyped_is_not_found_and_no_hub_is_blamed(tmp_path, no_network):
    for name in (str(tmp_path / "absent"), "assets/one/too/many"):
        with pytest.raises(EncoderNotFound, match=r"is not a folder here"):
            load_encoder(name)
