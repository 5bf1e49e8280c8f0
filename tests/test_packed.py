"""Prediction on a CPU computes what the encoder computes, without filling, and in int8 nearly so."""

import copy
import os
import subprocess
import sys

import numpy as np
import pytest
import spacy
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc
from torch.nn import functional

from multiner import linear, packed_encoder
from multiner.attention import fastest_attention
from multiner.encoder import load_encoder
from multiner.layout import TYPES, layout_of, shapes_of
from multiner.linear import FloatLinear, Int8Linear
from multiner.network import WordTagger
from multiner.packed_encoder import PackedEncoder
from multiner.precision import greatest_int8_weight, has_fast_bfloat16, has_fast_int8, number_format
from multiner.windows import places_in_rows
from multiner.word_pieces import ends_named

from .conftest import SENTENCES, learn_by_heart, make_examples
from .families import FAMILIES, POSITIONS, save_encoder

CPU = torch.device("cpu")
PACKED = sorted(TYPES)
LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=6)


@pytest.fixture(scope="module", params=PACKED)
def module(request, tmp_path_factory):
    """An encoder whose layers do something: those that are new give nearly what they are given."""
    torch.manual_seed(0)
    module = load_encoder(save_encoder(request.param, tmp_path_factory.mktemp(request.param))).module.eval()
    for parameter in module.parameters():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    return module


def pieces_of(module, lengths):
    """Ordinary pieces: the first five of these vocabularies are special."""
    return torch.arange(sum(lengths)) % (len(module.get_input_embeddings().weight) - 5) + 5


def pack(module, number_type):
    """What reads windows, and gives the vectors of the highest layer."""
    encoder = PackedEncoder(layout_of(module.config.to_dict()), module.state_dict(), number_type)
    return lambda *read: encoder(*read)[0]


def read_alone(module, ids, lengths):
    """What the encoder gives for each window by itself, behind each other."""
    return torch.cat([module(input_ids=window[None]).last_hidden_state[0] for window in ids.split(lengths)])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lengths=LENGTHS, data=st.data())
def test_windows_of_all_lengths_have_the_vectors_that_the_encoder_gives_each_alone(module, lengths, data):
    wanted = data.draw(st.lists(st.integers(0, sum(lengths) - 1), max_size=9).map(torch.tensor)).long()
    ids = pieces_of(module, lengths)
    with torch.inference_mode():
        found = pack(module, torch.float32)(ids, lengths, wanted)
        expected = read_alone(module, ids, lengths)[wanted]
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_as_many_windows_as_a_batch_has(module):
    lengths = [30, 30, 30, 21, 21, 17, 17, 9]
    ids = pieces_of(module, lengths)
    everywhere = torch.arange(len(ids))
    with torch.inference_mode():
        for wanted in (everywhere, everywhere[::7], everywhere[:0]):
            found = pack(module, torch.float32)(ids, lengths, wanted)
            np.testing.assert_allclose(found, read_alone(module, ids, lengths)[wanted], atol=2e-5)


def test_as_many_pieces_as_the_encoder_reads(module):
    ids = pieces_of(module, [POSITIONS - 8])
    everywhere = torch.arange(len(ids))
    with torch.inference_mode():
        found = pack(module, torch.float32)(ids, [len(ids)], everywhere)
        np.testing.assert_allclose(found, read_alone(module, ids, [len(ids)]), atol=2e-5)


@pytest.mark.parametrize(("number_type", "most"), [(torch.bfloat16, 0.05), (torch.int8, 0.05)])
def test_fewer_bits_give_nearly_the_same_vectors(module, number_type, most):
    lengths = [30, 21, 7]
    ids = pieces_of(module, lengths)
    everywhere = torch.arange(len(ids))
    with torch.inference_mode():
        exact = pack(module, torch.float32)(ids, lengths, everywhere)
        found = pack(module, number_type)(ids, lengths, everywhere)
    assert found.dtype == torch.float32
    assert 0 < (found - exact).norm() / exact.norm() < most


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - set(PACKED)))
def test_encoders_that_are_built_otherwise_are_left_to_transformers(family, tmp_path):
    assert layout_of(load_encoder(save_encoder(family, tmp_path)).config) is None


def test_the_tensors_of_a_layout_are_those_of_the_encoder(module):
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    assert shapes_of(layout_of(module.config.to_dict())) == shapes


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_act": "mish"},
        {"hidden_act": ["gelu"]},
        {"position_embedding_type": "relative_key"},
        {"is_decoder": True},
        {"num_attention_heads": 7},
        {"num_hidden_layers": "2"},
        {"hidden_size": 0},
        {"layer_norm_eps": None},
        {"pad_token_id": None},
        {"model_type": "xmod"},
    ],
)
def test_an_encoder_that_is_unusual_in_anything_is_left_to_transformers(changes, tmp_path):
    config = load_encoder(save_encoder("xlm-roberta", tmp_path)).config
    assert layout_of(config) is not None
    assert layout_of(config | changes) is None


def test_each_of_the_highest_layers_gives_what_it_gives_in_the_encoder(module):
    lengths, wanted = [30, 21, 7], torch.tensor([0, 3, 31, 57])
    ids = pieces_of(module, lengths)
    layers = module.config.num_hidden_layers
    encoder = PackedEncoder(layout_of(module.config.to_dict()), module.state_dict(), torch.float32)
    with torch.inference_mode():
        windows = [window[None] for window in ids.split(lengths)]
        alone = [module(input_ids=window, output_hidden_states=True).hidden_states for window in windows]
        expected = [torch.cat([window[0] for window in layer])[wanted] for layer in zip(*alone, strict=True)]
        for highest in range(1, layers + 2):
            found = encoder(ids, lengths, wanted, highest)
            assert len(found) == highest
            for each, other in zip(found, expected[-highest:], strict=True):
                np.testing.assert_allclose(each, other, atol=2e-5)


@pytest.mark.parametrize(
    ("frozen", "word_pieces", "mixed"),
    [(0, "first", 1), (1, "first", 1), (0, "first_last", 3), (1, "first_last", 2), (0, "mean", 3), (1, "mean", 1)],
)
@pytest.mark.parametrize("family", PACKED)
def test_scores_and_gradients_in_training_are_those_of_windows_that_are_filled_up(
    family, frozen, word_pieces, mixed, tmp_path
):
    encoder = load_encoder(save_encoder(family, tmp_path))
    torch.manual_seed(0)
    network = WordTagger(encoder.module, encoder.width, 3, word_pieces, mixed)
    if frozen:
        network.freeze(frozen, encoder.reading.pad, remembered_pieces=1000)
    network.set_dropout(0.0)
    network.train()
    lengths = [20, 20, 7, 3]
    ids = pieces_of(encoder.module, lengths)
    ends = torch.tensor([[0, 2], [5, 5], [19, 19], [25, 26], [46, 46], [49, 49]])[:, : ends_named(word_pieces)]
    network.meet(torch.cat([ids, torch.tensor([encoder.reading.pad])]))

    places = torch.from_numpy(places_in_rows(lengths))
    filled, mask = torch.full((4, 20), encoder.reading.pad), torch.zeros(4, 20, dtype=torch.int64)
    filled.view(-1)[places], mask.view(-1)[places] = ids, 1
    gradients, scores = [], []
    for found in (network(filled, mask, places[ends]), network.score_packed(ids, lengths, ends)):
        functional.cross_entropy(found, torch.tensor([0, 1, 2, 0, 1, 2])).backward()
        scores.append(found.detach())
        gradients.append({name: parameter.grad for name, parameter in network.trained()})
        for _, parameter in network.trained():
            parameter.grad = None
    torch.testing.assert_close(scores[1], scores[0], rtol=1e-5, atol=1e-5)
    assert any(gradient is not None and gradient.any() for gradient in gradients[0].values())
    for name, gradient in gradients[0].items():
        if gradient is None or gradients[1][name] is None:
            assert gradient is gradients[1][name], name
        else:
            torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-6, msg=name)


@given(lengths=LENGTHS)
def test_pieces_come_to_stand_in_rows_in_their_order(lengths):
    places = places_in_rows(lengths)
    longest = max(lengths)
    assert [(place // longest, place % longest) for place in places] == [
        (row, column) for row, length in enumerate(lengths) for column in range(length)
    ]


@settings(max_examples=50)
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 40), spread=st.floats(-8, 8))
def test_a_row_in_int8_does_not_depend_on_others_and_is_exact_to_half_a_step(seed, rows, spread):
    generator = torch.Generator().manual_seed(seed)
    weight, bias = torch.randn(24, 16, generator=generator), torch.randn(24, generator=generator)
    vectors = torch.randn(rows, 16, generator=generator) * 10 ** (spread * torch.rand(rows, 1, generator=generator))
    layer = Int8Linear(weight, bias)
    together = layer(vectors)
    torch.testing.assert_close(torch.cat([layer(row[None]) for row in vectors]), together, rtol=0, atol=0)
    # Each factor is at most half a step beside what it was; of a row there are 255 from the least to the greatest.
    exact = FloatLinear(weight, bias, torch.float32)(vectors)
    size = vectors.amax(1, keepdim=True) - vectors.amin(1, keepdim=True)
    weight_off, vector_off = weight.abs().amax(1) / (2 * greatest_int8_weight()), size / 510
    off = vectors.abs().sum(1, keepdim=True) * weight_off + vector_off * weight.abs().sum(1)
    off += 16 * vector_off * weight_off
    assert ((together - exact).abs() <= off * 1.01 + 1e-5 * exact.abs()).all()


def test_rows_and_outputs_of_zeros_give_the_bias():
    weight, bias = torch.zeros(3, 4), torch.tensor([1.0, -2.0, 0.5])
    assert Int8Linear(weight, bias)(torch.randn(2, 4)).tolist() == [bias.tolist()] * 2
    assert Int8Linear(torch.randn(3, 4), bias)(torch.zeros(1, 4)).tolist() == [bias.tolist()]


@pytest.mark.parametrize("number", [-7.5, 0.001, 300.0])
def test_a_row_of_equal_numbers_is_exact_in_int8(number):
    """It has no steps at all."""
    weight, bias = torch.tensor([[1.0, -1.0, 1.0, 1.0], [0.0, 1.0, 0.0, 0.0]]), torch.tensor([0.5, 0.0])
    given = Int8Linear(weight, bias)(torch.full((2, 4), number))
    torch.testing.assert_close(given, torch.tensor([[2 * number + 0.5, number]] * 2))


def scores(nlp):
    return nlp.get_pipe("ner").tag_scores([Doc(nlp.vocab, words=words) for words, _ in SENTENCES])


def test_what_was_prepared_for_prediction_is_made_anew_when_weights_move(tiny_encoder):
    torch.manual_seed(0)
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("multiner", name="ner")
    examples = make_examples(nlp)
    pipe.initialize(lambda: examples, nlp=nlp, encoder=tiny_encoder)
    before = scores(nlp)
    learn_by_heart(nlp, examples)
    loaded = spacy.blank("en")
    loaded.add_pipe("multiner", name="ner")
    loaded.from_bytes(nlp.to_bytes())
    for ours, theirs, earlier in zip(scores(nlp), scores(loaded), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert np.abs(ours - earlier).max() > 0.1


def test_a_copy_predicts_as_the_original(trained):
    expected = scores(trained)
    other = spacy.blank("en")
    other.add_pipe("multiner", name="ner")
    other.from_bytes(trained.to_bytes())
    docs = [Doc(trained.vocab, words=words) for words, _ in SENTENCES]
    other.get_pipe("ner").tag_scores(docs)  # which prepares what a copy cannot have
    pipe = copy.deepcopy(other.get_pipe("ner"))
    for ours, theirs in zip(pipe.tag_scores(docs), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.skipif(not has_fast_int8(CPU), reason="this processor does not multiply in int8")
def test_a_pipeline_in_int8_finds_what_it_found(trained, tmp_path):
    trained.to_disk(tmp_path)
    nlp = spacy.load(tmp_path, config={"components.ner.model.precision": "int8"})
    texts = [" ".join(words) for words, _ in SENTENCES]
    assert [str(doc.ents) for doc in nlp.pipe(texts)] == [str(doc.ents) for doc in trained.pipe(texts)]
    different = [np.abs(ours - theirs).max() for ours, theirs in zip(scores(nlp), scores(trained), strict=True)]
    assert 0 < max(different) < 1
    examples = make_examples(nlp)
    assert nlp.update(examples, sgd=nlp.resume_training())["ner"] < 1, "it is trained in floating point"


PROBE = "import torch; from multiner.precision import number_format as f; print(f('{}', torch.device('cpu')))"


@pytest.mark.parametrize(
    ("limit", "precision", "expected"),
    [
        ("AVX2", "auto", torch.float32),
        ("avx512_core", "auto", torch.float32),
        ("AVX2", "int8", torch.int8 if has_fast_int8(CPU) else torch.float32),
        ("SSE41", "int8", torch.float32),
    ],
)
def test_without_the_instructions_it_is_computed_as_it_can_be(limit, precision, expected):
    assert run_limited(limit, PROBE.format(precision)) == str(expected)


@pytest.mark.skipif(not has_fast_int8(CPU), reason="this processor does not multiply in int8")
@pytest.mark.parametrize("limit", ["AVX2", "AVX512_CORE", "AVX512_CORE_VNNI"])
def test_the_greatest_products_in_int8_are_right_with_old_instructions_too(limit):
    """Older ones add products in 16 bits: where that is not enough they are cut, and nobody is told."""
    probe = """
import torch
from multiner.linear import Int8Linear
with torch.inference_mode():
    weight, vectors = torch.full((32, 64), 3.0), torch.full((32, 64), 2.0)
    vectors[:, 0] = -2.0  # so that all others are as many steps as there are
    found = Int8Linear(weight, torch.zeros(32))(vectors)
print(((found - vectors @ weight.t()).abs().max() < 1e-3).item())
"""
    assert run_limited(limit, probe) == "True"


def run_limited(limit: str, program: str, limited: str = "ONEDNN_MAX_CPU_ISA") -> str:
    """What a program prints where oneDNN, or what goes by that variable, has these instructions and no newer ones."""
    environment = {**os.environ, limited: limit}
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    return ran.stdout.strip()


def test_what_is_fast_here_is_what_is_computed_in():
    best = torch.bfloat16 if has_fast_bfloat16(CPU) else torch.float32
    assert number_format("auto", CPU) is best
    assert number_format("int8", CPU) is (torch.int8 if has_fast_int8(CPU) else best)


@pytest.mark.parametrize("in_order", [False, linear._can_be_in_order(torch.float32)])
@pytest.mark.parametrize("rows", [0, 1, 3, 200])
def test_linear_layers_are_those_of_torch(rows, in_order, monkeypatch):
    monkeypatch.setattr(linear, "_can_be_in_order", lambda number_type: in_order)
    weight, bias, vectors = torch.randn(5, 4), torch.randn(5), torch.randn(rows, 4)
    with torch.inference_mode():
        found = FloatLinear(weight, bias, torch.float32)(vectors)
    torch.testing.assert_close(found, functional.linear(vectors, weight, bias))
    assert found.is_contiguous()


def test_rows_that_numbers_are_filled_up_with_change_nothing_and_attend_to_nothing(module, monkeypatch):
    lengths = [7, 7, 5]
    ids = pieces_of(module, lengths)
    everywhere = torch.arange(len(ids))
    attended = []
    attend = fastest_attention()

    def watched(queries, keys, values):
        attended.append(queries.shape[0] * queries.shape[2])
        return attend(queries, keys, values)

    with torch.inference_mode():
        expected = read_alone(module, ids, lengths)
        monkeypatch.setattr(packed_encoder, "fastest_attention", lambda: watched)
        found = pack(module, torch.float32)(ids, lengths, everywhere)
    assert sum(attended) == len(ids) * module.config.num_hidden_layers
    np.testing.assert_allclose(found, expected, atol=2e-5)
