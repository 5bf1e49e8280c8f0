"""Attention without filling, as a GPU computes it: what it is asked for here, and what it gives where there is one."""

from itertools import pairwise

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn.attention import varlen

from multiner import packed_encoder
from multiner.attention import attend_in_torch, query_scale
from multiner.encoder import load_encoder
from multiner.gpu_attention import can_attend_without_filling, without_filling
from multiner.layout import TYPES, layout_of
from multiner.packed import groups_of, within
from multiner.packed_encoder import PackedEncoder

from .families import save_encoder

CPU, META, GPU = torch.device("cpu"), torch.device("meta"), torch.device("cuda")
LENGTHS = st.lists(st.integers(1, 20), min_size=1, max_size=6)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")


def as_documented(queries, keys, values, borders, key_borders, longest, longest_keys, *, scale):
    """What torch says that its function gives, window by window; it has none for a CPU."""
    assert borders.dtype == torch.int32 and borders.tolist() == key_borders.tolist()
    windows = [slice(*ends) for ends in pairwise(borders.tolist())]
    assert longest == longest_keys == max(window.stop - window.start for window in windows)
    attended = []
    for window in windows:
        scores = scale * torch.einsum("qhw,khw->hqk", queries[window].float(), keys[window].float())
        attended.append(torch.einsum("hqk,khw->qhw", scores.softmax(2), values[window].float()))
    return torch.cat(attended).to(queries.dtype)


def mixed_up(queries, keys, values, *_, **__):
    """Attention of each piece to those of all windows."""
    borders = torch.tensor([0, len(queries)], dtype=torch.int32)
    return as_documented(queries, keys, values, borders, borders, len(queries), len(queries), scale=1.0)


@given(lengths=LENGTHS, heads=st.sampled_from([1, 3]), seed=st.integers(0, 1000))
def test_each_piece_attends_to_those_of_its_window(lengths, heads, seed):
    generator = torch.Generator().manual_seed(seed)
    packed = list(torch.randn(3, sum(lengths), heads * 8, generator=generator))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(varlen, "varlen_attn", as_documented)
        found = without_filling(lengths, CPU)(packed, heads)
    torch.testing.assert_close(found, within(groups_of(lengths), attend_in_torch)(packed, heads))


@pytest.mark.parametrize("width", [8, 32, 64, 128])
def test_it_is_used_where_it_computes_what_it_should(width, monkeypatch):
    assert not can_attend_without_filling(CPU, width)
    monkeypatch.setattr(varlen, "varlen_attn", as_documented)
    assert can_attend_without_filling(CPU, width)
    monkeypatch.setattr(varlen, "varlen_attn", mixed_up)
    assert not can_attend_without_filling(CPU, width)
    monkeypatch.delattr(varlen, "varlen_attn")
    assert not can_attend_without_filling(CPU, width)


@pytest.fixture(scope="module", params=sorted(TYPES))
def module(request, tmp_path_factory):
    torch.manual_seed(0)
    return load_encoder(save_encoder(request.param, tmp_path_factory.mktemp(request.param))).module.eval()


def test_an_encoder_has_all_that_it_reads_on_its_device(module):
    """Numbers that are on the device `meta` have shapes alone, and cannot be mixed with those of a CPU."""
    layout = layout_of(module.config.to_dict())
    weights = {name: tensor.to(META) for name, tensor in module.state_dict().items()}
    lengths = [7, 7, 3]
    with torch.inference_mode():
        packed = PackedEncoder(layout, weights, torch.bfloat16)
        ids, wanted = torch.arange(17).to(META), torch.tensor([1, 8, 16]).to(META)
        given = packed(ids, lengths, wanted, 2)
    assert [(each.device, each.shape, each.dtype) for each in given] == 2 * [(META, (3, layout.width), torch.float32)]


@given(lengths=LENGTHS)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_read_as_on_a_gpu_is_what_the_encoder_gives(module, lengths):
    """All but the device itself: what is computed for the pieces, in which order, and which of it is given."""
    ids = torch.arange(sum(lengths)) % (len(module.get_input_embeddings().weight) - 5) + 5
    wanted = torch.arange(0, len(ids), 2)
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(varlen, "varlen_attn", as_documented)
        patch.setattr(packed_encoder, "without_filling", lambda lengths, _: without_filling(lengths, CPU))
        packed = PackedEncoder(layout_of(module.config.to_dict()), module.state_dict(), torch.float32)
        patch.setattr(packed, "_device", META)
        (found,) = packed(ids, lengths, wanted)
        alone = [module(input_ids=window[None]).last_hidden_state[0] for window in ids.split(lengths)]
    torch.testing.assert_close(found, torch.cat(alone)[wanted], rtol=0.0, atol=2e-5)


@needs_gpu
def test_a_gpu_of_today_attends_without_filling():
    expected = torch.cuda.get_device_capability() >= (8, 0)
    assert can_attend_without_filling(GPU, 32) == can_attend_without_filling(GPU, 64) == expected


@needs_gpu
def test_a_gpu_gives_what_torch_gives_on_a_cpu():
    if not can_attend_without_filling(GPU, 64):
        pytest.skip("this GPU does not attend without filling")
    lengths, heads = [40, 40, 9, 1], 6
    packed = [each.bfloat16() for each in torch.randn(3, sum(lengths), heads * 64)]
    packed[0] *= query_scale(64)
    found = without_filling(lengths, GPU)([each.to(GPU) for each in packed], heads)
    expected = within(groups_of(lengths), attend_in_torch)([each.float() for each in packed], heads)
    torch.testing.assert_close(found.cpu().float(), expected, rtol=0.0, atol=0.05)
