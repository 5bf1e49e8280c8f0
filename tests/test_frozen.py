"""Layers that are frozen keep their weights, are computed once on a CPU, and change nothing else."""

import copy
import pickle

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import fix_random_seed

from multiner.frozen import LayersCannotBeFrozen
from multiner.optimizer import AdamW
from multiner.pipe import Multiner
from multiner.remembered import RememberedAlone

from .conftest import SENTENCES, learn_by_heart, make_examples
from .families import FAMILIES, save_encoder

LAYERS_ONE_BY_ONE = sorted(FAMILIES.keys() - {"albert"})


def make_pipe(encoder: str, **settings: object) -> tuple[Language, Multiner]:
    fix_random_seed(0)
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("multiner", name="ner", config={"model": {"precision": "float32", **settings}})
    pipe.initialize(lambda: make_examples(nlp), nlp=nlp, encoder=encoder)
    return nlp, pipe


def computations(pipe: Multiner) -> list[int]:
    """Of how many pieces the lowest layer gives the vectors from now on, each time that it is computed."""
    pieces: list[int] = []
    modules = pipe.shim.network.encoder.modules()
    lowest = next(module for module in modules if isinstance(module, torch.nn.ModuleList))[0]
    linear = next(module for module in lowest.modules() if isinstance(module, torch.nn.Linear))
    linear.register_forward_hook(lambda _, __, given: pieces.append(given.numel() // given.shape[-1]))
    return pieces


def pieces_of(pipe: Multiner, nlp: Language) -> int:
    return pipe.shim.count_pieces([example.predicted for example in make_examples(nlp)])


@pytest.mark.parametrize("family", LAYERS_ONE_BY_ONE)
def test_what_is_frozen_keeps_its_weights_and_the_rest_learns_the_sentences(family, tmp_path):
    nlp, pipe = make_pipe(save_encoder(family, tmp_path), frozen_layers=1)
    before = {name: tensor.clone() for name, tensor in pipe.shim.network.state_dict().items()}
    learn_by_heart(nlp, make_examples(nlp))
    for words, entities in SENTENCES:
        doc = next(nlp.pipe([Doc(nlp.vocab, words=words)]))
        assert [(entity.start, entity.end, entity.label_) for entity in doc.ents] == entities
    after = pipe.shim.network.state_dict()
    assert after.keys() == before.keys()
    moved = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    learning = {name for name, _ in pipe.shim.network.trained()}
    assert moved and moved <= learning
    assert {name for name in moved if name.startswith("encoder.")} == {
        name for name in moved if "ayer" in name and ".1." in name
    }


@pytest.mark.parametrize("family", LAYERS_ONE_BY_ONE)
def test_loss_and_gradients_are_those_of_computing_every_layer_in_every_step(family, tmp_path):
    encoder = save_encoder(family, tmp_path)
    nlp, frozen = make_pipe(encoder, frozen_layers=1)
    whole_nlp, whole = make_pipe(encoder)
    for _ in range(2):  # the second time what the frozen layers gave is remembered
        losses, whole_losses = {}, {}
        frozen.update(make_examples(nlp), losses=losses)
        whole.update(make_examples(whole_nlp), losses=whole_losses)
        assert losses["ner"] == pytest.approx(whole_losses["ner"], rel=1e-5)
        wanted = dict(whole.shim.network.trained())
        for name, parameter in frozen.shim.network.trained():
            torch.testing.assert_close(parameter.grad, wanted[name].grad, rtol=1e-4, atol=1e-6, msg=name)
        for pipe in (frozen, whole):
            pipe.shim.drop_gradients({})


def test_each_window_goes_through_frozen_layers_once(tiny_encoder):
    nlp, pipe = make_pipe(tiny_encoder, frozen_layers=1)
    computed = computations(pipe)
    for _ in range(3):
        pipe.update(make_examples(nlp), drop=0.5)
    assert computed == [pieces_of(pipe, nlp)]


def test_a_window_that_comes_twice_in_a_batch_is_computed_once(tiny_encoder):
    nlp, pipe = make_pipe(tiny_encoder, frozen_layers=1)
    computed = computations(pipe)
    pipe.update([*make_examples(nlp), *make_examples(nlp)])
    assert computed == [pieces_of(pipe, nlp)]


@pytest.mark.parametrize("predict_first", [True, False])
def test_what_is_predicted_beside_training_goes_through_frozen_layers_once_too(tiny_encoder, tmp_path, predict_first):
    nlp, pipe = make_pipe(tiny_encoder, frozen_layers=1)
    docs = [Doc(nlp.vocab, words=words) for words, _ in SENTENCES]
    computed = computations(pipe)
    if predict_first:
        pipe.model.predict(docs)
    for _ in range(3):
        pipe.update(make_examples(nlp), sgd=AdamW(1e-3))
        found = pipe.model.predict(docs)
    assert computed == [pieces_of(pipe, nlp)]
    nlp.to_disk(tmp_path)
    for ours, theirs in zip(found, spacy.load(tmp_path).get_pipe("ner").model.predict(docs), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("family", LAYERS_ONE_BY_ONE)
def test_several_trainings_share_what_the_same_layers_give(family, tmp_path):
    memories: dict[bytes, RememberedAlone] = {}
    encoder = save_encoder(family, tmp_path / "encoder")
    given = []
    for _ in range(2):
        nlp, pipe = make_pipe(encoder, frozen_layers=1)
        pipe.shim.share_remembered(memories)
        computed = computations(pipe)
        for _ in range(3):
            pipe.update(make_examples(nlp), sgd=AdamW(1e-3))
        given.append({name: tensor.clone() for name, tensor in pipe.shim.network.state_dict().items()})
    # An encoder that cannot be packed is asked once for the form of what its layers return.
    assert sum(computed) < pieces_of(pipe, nlp)
    assert all(torch.equal(tensor, given[1][name]) for name, tensor in given[0].items())
    nlp.to_disk(tmp_path / "saved")
    spacy.load(tmp_path / "saved").get_pipe("ner").shim.share_remembered(memories)
    assert len(memories) == 1
    _, other = make_pipe(save_encoder(family, tmp_path / "other"), frozen_layers=1)
    with torch.no_grad():
        next(iter(other.shim.network.encoder.parameters()))[0, 0] += 1
    other.shim.share_remembered(memories)
    assert len(memories) == 2


def test_no_more_is_remembered_than_there_is_room_for(tiny_encoder):
    nlp, pipe = make_pipe(tiny_encoder)
    first, *others = make_examples(nlp)
    room, too_many = (pipe.shim.count_pieces([each.predicted for each in some]) for some in ([first], others))
    nlp, pipe = make_pipe(tiny_encoder, frozen_layers=1, remembered_pieces=room)
    computed = computations(pipe)
    first, *others = make_examples(nlp)
    for _ in range(2):
        pipe.update([first])
        pipe.update(others)
    assert computed == [room, too_many, too_many]


def test_what_is_gone_on_from_is_computed_together_with_what_it_was_together_with_before(tiny_encoder):
    nlp, pipe = make_pipe(tiny_encoder, frozen_layers=1)
    examples = make_examples(nlp)
    pipe.update(examples[:2])
    pipe.update(examples[2:])
    parts = [pipe.shim.count_pieces([each.predicted for each in some]) for some in (examples[:2], examples[2:])]
    nlp, other = make_pipe(tiny_encoder, frozen_layers=1)
    other.shim.continue_from(AdamW(0.0), torch.empty(0), {}, pipe.shim.remembered())
    computed = computations(other)
    examples = make_examples(nlp)
    other.update(examples[-1:])
    assert computed == parts[1:]
    other.update(examples)
    assert computed == parts[::-1]
    assert other.shim.remembered().equal(pipe.shim.remembered())


def test_copies_do_not_remember_and_predict_alike(tiny_encoder):
    nlp, pipe = make_pipe(tiny_encoder, frozen_layers=1)
    pipe.update(make_examples(nlp))
    doc = Doc(nlp.vocab, words=SENTENCES[0][0])
    expected = pipe.model.predict([doc])[0]
    for other in (copy.deepcopy(pipe), pickle.loads(pickle.dumps(pipe))):
        computed = computations(other)
        np.testing.assert_allclose(other.model.predict([doc])[0], expected, atol=1e-5)
        assert computed == [pipe.shim.count_pieces([doc])]


def test_a_loaded_pipeline_trains_on_with_the_same_layers_frozen(tiny_encoder, tmp_path):
    nlp, _ = make_pipe(tiny_encoder, frozen_layers=1)
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    names = {name for name, _ in loaded.get_pipe("ner").shim.network.trained()}
    assert names == {name for name, _ in nlp.get_pipe("ner").shim.network.trained()}
    assert not any("embedding" in name for name in names)


def test_at_least_one_layer_has_to_learn(tiny_encoder):
    with pytest.raises(LayersCannotBeFrozen, match=r"2 layers, and at least one.*at most 1"):
        make_pipe(tiny_encoder, frozen_layers=2)


def test_layers_that_share_weights_are_refused(tmp_path):
    with pytest.raises(LayersCannotBeFrozen, match="AlbertModel does not keep its layers one by one"):
        make_pipe(save_encoder("albert", tmp_path), frozen_layers=1)


def test_fewer_than_no_layers_are_refused(tiny_encoder):
    with pytest.raises(ValueError, match="frozen_layers = -1"):
        make_pipe(tiny_encoder, frozen_layers=-1)
