"""Words are read from the pieces and the layers that the settings name, in training as in use."""

import numpy as np
import pytest
import safetensors.torch
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from transformers import AutoTokenizer

from multiner.encoder import EncoderNotUsable, layers_of, load_encoder
from multiner.frozen import LayersCannotBeFrozen
from multiner.manifest import ModelFilesError, write_manifest
from multiner.model import Classifier
from multiner.network import LayersCannotBeMixed, WordHead
from multiner.optimizer import AdamW

from .conftest import SENTENCES, learn_by_heart, make_examples
from .families import FAMILIES, save_encoder

LAYERS = 2  # of the families' encoders
WORDS = [words for words, _ in SENTENCES]


def make_pipeline(encoder: str, layers: int | None = None, fresh_layers: int = 0, **model: object) -> Language:
    torch.manual_seed(0)
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("multiner", name="ner", config={"model": {"precision": "float32", **model}})
    examples = make_examples(nlp)
    pipe.initialize(lambda: examples, nlp=nlp, encoder=encoder, layers=layers, fresh_layers=fresh_layers)
    return nlp


def scores(nlp: Language) -> list[np.ndarray]:
    return nlp.get_pipe("ner").model.predict([Doc(nlp.vocab, words=words) for words in WORDS])


def first_and_last(vectors: torch.Tensor) -> torch.Tensor:
    return torch.cat([vectors[0], vectors[-1]])


def mean_of_all(vectors: torch.Tensor) -> torch.Tensor:
    return vectors.mean(dim=0)


@pytest.mark.parametrize(
    ("family", "frozen"),
    [(family, frozen) for family in sorted(FAMILIES) for frozen in (0, 1) if (family, frozen) != ("albert", 1)],
)
@pytest.mark.parametrize(("word_pieces", "joined"), [("first_last", first_and_last), ("mean", mean_of_all)])
def test_words_are_read_from_their_pieces_in_the_mean_of_layers(family, frozen, word_pieces, joined, tmp_path):
    folder = save_encoder(family, tmp_path)
    mixed = LAYERS + 1 - frozen
    nlp = make_pipeline(folder, word_pieces=word_pieces, mixed_layers=mixed, frozen_layers=frozen)
    for _ in range(5):
        nlp.update(make_examples(nlp), sgd=AdamW(1e-3))
    network = nlp.get_pipe("ner").shim.network.eval()
    start = load_encoder(folder).module.state_dict()
    assert any(not torch.equal(start[name], weight) for name, weight in network.encoder.state_dict().items())
    weights = network.mixing.detach().exp() / network.mixing.detach().exp().sum()
    at_first = WordHead(1, 1, mixed_layers=mixed).mixing
    assert len(weights) == mixed
    assert not torch.allclose(network.mixing, at_first, atol=1e-4), "the weights have not been learnt"
    tokenizer = AutoTokenizer.from_pretrained(folder, add_prefix_space=True)
    longest = 0
    for words, ours in zip(WORDS, scores(nlp), strict=True):
        encoded = tokenizer(words, is_split_into_words=True, return_tensors="pt")
        with torch.inference_mode():
            output = network.encoder(encoded.input_ids, encoded.attention_mask, output_hidden_states=True)
            layers = [*output.hidden_states[-mixed:-1], output.last_hidden_state]
            vectors = sum(weight * layer[0] for weight, layer in zip(weights, layers, strict=True))
            places = [[at for at, each in enumerate(encoded.word_ids()) if each == word] for word in range(len(words))]
            expected = network.head(torch.stack([joined(vectors[place]) for place in places]))
        longest = max(longest, *map(len, places))
        np.testing.assert_allclose(ours, expected, atol=2e-5)
    assert longest > 1


def test_what_was_learnt_is_saved_and_loaded(tiny_encoder, tmp_path):
    nlp = make_pipeline(tiny_encoder, word_pieces="first_last", mixed_layers=2)
    learn_by_heart(nlp, make_examples(nlp))
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    for (words, entities), one, other in zip(SENTENCES, scores(nlp), scores(loaded), strict=True):
        np.testing.assert_array_equal(one, other)
        doc = next(loaded.pipe([Doc(loaded.vocab, words=words)]))
        assert [(entity.start, entity.end, entity.label_) for entity in doc.ents] == entities
    before = loaded.get_pipe("ner").shim.network.mixing.detach().clone()
    loaded.update(make_examples(loaded), sgd=AdamW(1e-3))
    assert not torch.equal(loaded.get_pipe("ner").shim.network.mixing, before)


@pytest.mark.parametrize(("setting", "value"), [("word_pieces", "first"), ("mixed_layers", 1), ("mixed_layers", 3)])
def test_a_head_that_was_trained_with_other_settings_is_refused(setting, value, tiny_encoder, tmp_path):
    make_pipeline(tiny_encoder, word_pieces="first_last", mixed_layers=2).to_disk(tmp_path)
    with pytest.raises(ModelFilesError, match="word_pieces, mixed_layers, crf and the encoder do not make the head"):
        spacy.load(tmp_path, config={f"components.ner.model.{setting}": value})


def test_settings_that_nothing_can_be_made_of_are_refused(tiny_encoder, nlp):
    with pytest.raises(ValueError, match='word_pieces = "last" must be one of first, first_last, mean'):
        Classifier(256, 64, "float32", word_pieces="last")
    with pytest.raises(ValueError, match="mixed_layers = 0 must be at least 1"):
        Classifier(256, 64, "float32", mixed_layers=0)
    with pytest.raises(ValueError, match="batch_pieces = 0 must be at least 1, or null"):
        Classifier(256, 64, "float32", batch_pieces=0)
    with pytest.raises(LayersCannotBeMixed, match=f"mixed_layers = {LAYERS + 2}.*at most {LAYERS + 1}"):
        make_pipeline(tiny_encoder, mixed_layers=LAYERS + 2)
    with pytest.raises(LayersCannotBeMixed, match=f"1 are frozen.*at most {LAYERS}"):
        make_pipeline(tiny_encoder, mixed_layers=LAYERS + 1, frozen_layers=1)
    with pytest.raises(LayersCannotBeFrozen):
        make_pipeline(tiny_encoder, frozen_layers=LAYERS)
    config = {"label_strategy": "repeat", "model": {"word_pieces": "first_last"}}
    with pytest.raises(ValueError, match='label_strategy = "repeat".*word_pieces.*Set one of them to "first"'):
        nlp.add_pipe("multiner", name="other", config=config)


def test_a_saved_head_that_mixes_more_layers_than_its_encoder_has_is_refused(tiny_encoder, tmp_path):
    make_pipeline(tiny_encoder, mixed_layers=2).to_disk(tmp_path)
    path = tmp_path / "ner" / "model" / "weights.safetensors"
    weights = safetensors.torch.load_file(path)
    safetensors.torch.save_file(weights | {"mixing": torch.zeros(LAYERS + 2)}, path)
    write_manifest(tmp_path / "ner")
    with pytest.raises(ModelFilesError, match=rf"ner.model: mixed_layers = {LAYERS + 2}.*{LAYERS} layers"):
        spacy.load(tmp_path, config={"components.ner.model.mixed_layers": LAYERS + 2})


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_lowest_layers_alone_are_kept_for_good(family, tmp_path):
    folder = save_encoder(family, tmp_path / "encoder")
    nlp = make_pipeline(folder, layers=1)
    whole, kept = load_encoder(folder).module.eval(), nlp.get_pipe("ner").shim.network.encoder
    ids = torch.arange(5, 15)[None]
    with torch.inference_mode():
        expected = whole(ids, output_hidden_states=True).hidden_states[1]
        if family == "modernbert":  # its norm comes behind all layers
            expected = whole.final_norm(expected)
        torch.testing.assert_close(kept(ids).last_hidden_state, expected)
    assert kept.config.num_hidden_layers == 1
    if family != "albert":  # whose layers have the same weights
        assert len(kept.state_dict()) < len(whole.state_dict())
    nlp.update(make_examples(nlp), sgd=AdamW(1e-3))
    nlp.to_disk(tmp_path / "saved")
    for one, other in zip(scores(nlp), scores(spacy.load(tmp_path / "saved")), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("layers", [0, LAYERS + 1])
def test_more_layers_than_there_are_cannot_be_kept(layers, tiny_encoder):
    with pytest.raises(EncoderNotUsable, match=rf"layers = {layers}: the encoder has {LAYERS}. Set layers in"):
        make_pipeline(tiny_encoder, layers=layers)


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"albert"}))
def test_the_highest_layers_may_begin_with_random_weights(family, tmp_path):
    folder = save_encoder(family, tmp_path)
    pretrained = load_encoder(folder).module
    torch.manual_seed(1)
    started = load_encoder(folder, fresh_layers=1).module
    lowest, highest = layers_of(started)
    for own, old, fresh in ((lowest, layers_of(pretrained)[0], False), (highest, layers_of(pretrained)[1], True)):
        drawn = {name for name, weight in old.named_parameters() if weight.std() > 0}  # not biases, nor norms
        assert drawn
        changed = {name for name, weight in own.named_parameters() if not torch.equal(weight, old.get_parameter(name))}
        assert changed == (drawn if fresh else set())
        # The family's encoders have weights that are several times as large as an encoder's are when it is made.
        spread = pretrained.config.initializer_range
        assert all(own.get_parameter(name).std() < 1.2 * spread for name in changed)


def test_random_weights_are_those_of_the_seed_and_belong_to_what_is_kept(tiny_encoder):
    def top_of(**settings: int) -> torch.Tensor:
        network = make_pipeline(tiny_encoder, **settings).get_pipe("ner").shim.network
        return network.encoder.encoder.layer[-1].output.dense.weight

    pretrained = load_encoder(tiny_encoder).module.encoder.layer
    assert torch.equal(top_of(fresh_layers=1), top_of(fresh_layers=1))
    assert not torch.equal(top_of(fresh_layers=1), pretrained[1].output.dense.weight)
    assert not torch.equal(top_of(layers=1, fresh_layers=1), pretrained[0].output.dense.weight)


@pytest.mark.parametrize("fresh", [-1, LAYERS + 1])
def test_more_layers_than_there_are_cannot_begin_anew(fresh, tiny_encoder):
    with pytest.raises(EncoderNotUsable, match=rf"fresh_layers = {fresh}: the encoder has {LAYERS}. Set fresh_layers"):
        make_pipeline(tiny_encoder, fresh_layers=fresh)


def test_layers_that_share_weights_cannot_begin_anew_one_by_one(tmp_path):
    with pytest.raises(EncoderNotUsable, match="fresh_layers = 1: the encoder does not keep its layers one by one"):
        make_pipeline(save_encoder("albert", tmp_path), fresh_layers=1)
