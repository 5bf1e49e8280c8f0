"""Tags that are scored together: a conditional random field over what the network says of single words."""

from itertools import product
from math import exp, inf, log

import numpy as np
import pytest
import spacy
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from spacy.language import Language
from spacy.tokens import Doc

from multiner.crf import LEAST, forward_backward, log_marginals, loss_of
from multiner.decoding import best_legal_tags, in_a_row
from multiner.manifest import ModelFilesError
from multiner.optimizer import AdamW
from multiner.pipe import ComponentError
from multiner.tags import IGNORED, legal_transitions

from .conftest import SENTENCES, learn_by_heart, make_doc, make_examples

TAGS = 5  # of two labels
NUMBERS = st.floats(-6, 6)
SCORES = arrays(np.float64, st.tuples(st.integers(1, 4), st.just(TAGS)), elements=NUMBERS)
TRANSITIONS = arrays(np.float64, (TAGS, TAGS), elements=NUMBERS)
SEQUENCES = st.lists(arrays(np.float64, st.tuples(st.integers(0, 9), st.just(TAGS)), elements=NUMBERS), max_size=5)


def every_sequence(scores: np.ndarray, transitions: np.ndarray) -> dict[tuple[int, ...], float]:
    """The score of each legal sequence of tags; the first tag follows `O`."""
    may_follow = legal_transitions(TAGS)[1]
    found = {}
    for tags in product(range(TAGS), repeat=len(scores)):
        pairs = list(zip((0, *tags), tags, strict=False))
        if all(may_follow[pair] for pair in pairs):
            found[tags] = sum(scores[range(len(tags)), tags]) + sum(transitions[pair] for pair in pairs)
    return found


@given(SCORES, TRANSITIONS)
def test_it_is_what_counting_all_legal_sequences_gives(scores, transitions):
    sequences = every_sequence(scores, transitions)
    log_sum = log(sum(map(exp, sequences.values())))
    marginals, followings = np.zeros(scores.shape), np.zeros((TAGS, TAGS))
    for tags, score in sequences.items():
        for word, (before, tag) in enumerate(zip((0, *tags), tags, strict=False)):
            marginals[word, tag] += exp(score - log_sum)
            followings[before, tag] += exp(score - log_sum)
    chains = forward_backward([scores], transitions)
    assert chains.log_sum[0] == pytest.approx(log_sum)
    np.testing.assert_allclose(chains.marginals[0], marginals, atol=1e-9)
    np.testing.assert_allclose(chains.followings, followings, atol=1e-9)


@given(SEQUENCES, TRANSITIONS)
def test_sequences_do_not_depend_on_which_others_are_there(sequences, transitions):
    together = forward_backward(sequences, transitions)
    alone = [forward_backward([each], transitions) for each in sequences]
    np.testing.assert_allclose(together.log_sum, [each.log_sum[0] for each in alone], atol=1e-9)
    for one, other in zip(together.marginals, alone, strict=True):
        np.testing.assert_allclose(one, other.marginals[0], atol=1e-12)
    np.testing.assert_allclose(together.followings, sum(each.followings for each in alone), atol=1e-9)


@given(SCORES, TRANSITIONS, st.data())
def test_the_loss_is_the_improbability_of_the_right_tags_and_its_gradients_are_slopes(scores, transitions, data):
    right = np.array(data.draw(st.sampled_from(sorted(every_sequence(scores, transitions)))))
    known = np.array(data.draw(st.lists(st.booleans(), min_size=len(right), max_size=len(right))))
    tags = np.where(known, right, IGNORED)
    loss, (of_scores,), of_transitions = loss_of([scores], [tags], transitions)
    sequences = every_sequence(scores, transitions)
    fitting = sum(exp(score) for each, score in sequences.items() if np.all(~known | (np.array(each) == right)))
    assert loss == pytest.approx(log(sum(map(exp, sequences.values()))) - log(fitting), abs=1e-9)
    step = 1e-5
    for values, gradient in ((scores, of_scores), (transitions, of_transitions)):
        for place in np.ndindex(values.shape):
            ends = []
            for moved in (step, -step):
                values[place] += moved
                ends.append(loss_of([scores], [tags], transitions)[0])
                values[place] -= moved
            assert gradient[place] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-5)


@given(arrays(np.float64, (1, TAGS), elements=NUMBERS))
def test_transitions_that_say_nothing_leave_a_word_to_its_scores_but_for_what_is_illegal(scores):
    (found,) = log_marginals([scores], np.zeros((TAGS, TAGS)))
    possible = np.exp(np.where(legal_transitions(TAGS)[0], scores[0], -inf))
    np.testing.assert_allclose(np.exp(found[0]), possible / possible.sum(), atol=1e-5)


def test_scores_however_far_apart_give_numbers():
    scores = np.array([[0, 1e4, 0, 0, 0], [-1e4, 0, 1e4, 0, 0], [0, 0, 1e4, 0, -1e4]], np.float32)
    for transitions in (3.0, 1e5, -1e5):
        assert np.isfinite(loss_of([scores], [np.zeros(3, np.int64)], np.full((TAGS, TAGS), transitions))[0])
    (found,) = log_marginals([scores], np.full((TAGS, TAGS), 3.0))
    assert np.all(np.isfinite(found)) and found.min() >= np.log(LEAST) - 1e-3
    assert best_legal_tags(in_a_row(found, [3])).tolist() == [1, 2, 2, 0]


@pytest.mark.parametrize("diverged", [inf, np.nan])
def test_transitions_that_have_diverged_give_no_number(diverged):
    transitions = np.full((TAGS, TAGS), diverged)
    assert np.isnan(loss_of([np.zeros((3, TAGS))], [np.zeros(3, np.int64)], transitions)[0])


def make_pipeline(encoder: str, **model: object) -> Language:
    torch.manual_seed(0)
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("multiner", name="ner", config={"model": {"precision": "float32", "crf": True, **model}})
    examples = make_examples(nlp)
    pipe.initialize(lambda: examples, nlp=nlp, encoder=encoder)
    return nlp


@pytest.fixture(scope="module")
def learnt(tiny_encoder: str) -> Language:
    nlp = make_pipeline(tiny_encoder)
    learn_by_heart(nlp, make_examples(nlp))
    return nlp


def test_sequences_are_learnt_and_found_again_after_loading(learnt, tmp_path):
    transitions = learnt.get_pipe("ner").shim.transitions
    assert np.abs(transitions).max() > 0.01
    learnt.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    copied = spacy.blank("en")
    copied.add_pipe("multiner", name="ner", config={"model": {"precision": "float32", "crf": True}})
    copied.from_bytes(learnt.to_bytes())
    for nlp in (learnt, loaded, copied):
        np.testing.assert_array_equal(nlp.get_pipe("ner").shim.transitions, transitions)
        for words, entities in SENTENCES:
            found = nlp(Doc(nlp.vocab, words=words))
            assert [(each.start, each.end, each.label_) for each in found.ents] == entities
            assert min(found.spans["ner"].attrs["scores"], default=1.0) > 0.9


def test_scores_are_log_probabilities_in_which_what_follows_counts(learnt):
    pipe = learnt.get_pipe("ner")
    docs = [Doc(learnt.vocab, words=words) for words, _ in SENTENCES]
    alone = pipe.shim.scores_alone(docs)
    for scored, own in zip(pipe.tag_scores(docs), alone, strict=True):
        np.testing.assert_allclose(scored, log_marginals([own], pipe.shim.transitions)[0])


def test_white_space_neither_follows_nor_is_followed(learnt):
    pipe = learnt.get_pipe("ner")
    words = SENTENCES[0][0]
    apart = [each for word in words for each in (word, "\n")]
    (plain,), (spaced,) = (pipe.tag_scores([Doc(learnt.vocab, words=each)]) for each in (words, apart))
    np.testing.assert_allclose(spaced[::2], plain, atol=1e-5)
    assert not spaced[1::2].any()


def test_a_batch_in_parts_teaches_transitions_what_it_teaches_as_a_whole(tiny_encoder):
    gradients = []
    for parts in (1, 3):
        nlp = make_pipeline(tiny_encoder)
        examples = make_examples(nlp)
        size = -(-len(examples) // parts)
        for first in range(0, len(examples), size):
            nlp.update(examples[first : first + size], sgd=False)
        gradients.append(nlp.get_pipe("ner").shim.network.transitions.grad)
    assert gradients[0].abs().max() > 1e-3
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-3, atol=1e-6)


def test_scores_that_are_begun_become_those_that_are_predicted(learnt):
    pipe = learnt.get_pipe("ner")
    docs = [example.predicted for example in make_examples(learnt)]
    for begun, predicted in zip(pipe.shim.begin(docs)(), pipe.tag_scores(docs), strict=True):
        np.testing.assert_array_equal(begun, predicted)


def test_tags_of_a_new_label_follow_others_as_likely_as_not(learnt, tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("multiner", name="ner", config={"model": {"crf": True}})
    nlp.from_bytes(learnt.to_bytes())
    pipe = nlp.get_pipe("ner")
    before = pipe.shim.transitions
    nlp.update(make_examples(nlp), sgd=False)
    pipe.add_label("NEW")
    after = pipe.shim.transitions
    np.testing.assert_array_equal(after[: len(before), : len(before)], before)
    assert after.shape == (len(before) + 2, len(before) + 2)
    assert not after[len(before) :].any() and not after[:, len(before) :].any()
    pipe.finish_update(AdamW(1e-3))  # with gradients of before
    assert not np.array_equal(pipe.shim.transitions[: len(before), : len(before)], before)


def test_what_was_learnt_is_remembered_in_rehearsal(learnt):
    nlp = spacy.blank("en")
    nlp.add_pipe("multiner", name="ner", config={"model": {"precision": "float32", "crf": True}})
    nlp.from_bytes(learnt.to_bytes())
    nlp.resume_training()
    assert nlp.rehearse(make_examples(nlp))["ner"] == pytest.approx(0.0, abs=1e-5)


def test_words_without_annotation_may_have_any_tag(learnt):
    pipe = learnt.get_pipe("ner")
    example = make_examples(learnt)[0]
    scores = pipe.shim.scores_alone([example.predicted])
    doc = example.reference
    doc.set_ents([], missing=[doc[1:]], default="outside")
    known = [forward_backward(scores, pipe.shim.transitions).marginals[0][0, 0]]
    assert pipe.get_loss([example], scores)[0] == pytest.approx(-np.log(known[0]), rel=1e-4)


@pytest.mark.parametrize(
    ("setting", "value"), [("label_smoothing", 0.1), ("consistency", 1.0), ("label_strategy", "repeat")]
)
def test_what_is_for_single_words_is_refused_beside_it(setting, value):
    with pytest.raises(ComponentError, match=rf"{setting} = .*crf = true"):
        spacy.blank("en").add_pipe("multiner", config={setting: value, "model": {"crf": True}})


def test_a_head_with_transitions_is_not_read_as_one_without(learnt, tmp_path):
    learnt.to_disk(tmp_path)
    with pytest.raises(ModelFilesError, match=r"mixed_layers, crf and the encoder do not make the head.*transitions"):
        spacy.load(tmp_path, config={"components.ner.model.crf": False})


def test_gold_entities_around_white_space_are_learnt_as_one(learnt):
    words, entities = ["Anna", "\n", "Kern", "lives"], [(0, 3, "PER")]
    doc = make_doc(learnt, words, entities)
    pipe = learnt.get_pipe("ner")
    example = spacy.training.Example(Doc(learnt.vocab, words=words), doc)
    loss, (gradient,) = pipe.get_loss([example], [np.zeros((4, 1 + 2 * len(pipe.labels)), np.float32)])
    assert np.isfinite(loss) and not gradient[1].any() and gradient[[0, 2, 3]].any(axis=1).all()
