"""Scores by the network as it is, and what happens where memory ends; a GPU is not needed to see it."""

import warnings
from functools import partial

import numpy as np
import pytest
import spacy
import torch
from hypothesis import given
from hypothesis import strategies as st

from multiner.batches import Batch, halves
from multiner.model import BatchesScorer, TaggerShim
from multiner.scoring import WindowTooLarge, fetching, halving, network_scorer, one_ahead

from .test_concurrency import STREAM
from .test_pipe import entities, scores


def batch_of(lengths: list[int]) -> Batch:
    """Windows of so many pieces, of which each is a word."""
    pieces = np.arange(sum(lengths))
    return Batch(pieces + 1000, lengths, pieces[:, None], pieces + 500)


class Memory:
    """Of a GPU that holds so many pieces at once, filling included."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.tried: list[int] = []

    def score(self, batch: Batch) -> torch.Tensor:
        """The pieces that words are read from, for scores."""
        self.tried.append(len(batch.lengths) * max(batch.lengths))
        if self.tried[-1] > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return torch.from_numpy(batch.ids[batch.places])


@given(st.lists(st.integers(1, 9), min_size=2, max_size=12))
def test_halves_have_all_windows_and_words_of_a_batch_in_their_order(lengths):
    first, second = halves(batch_of(lengths))
    assert first.lengths + second.lengths == lengths and abs(len(first.lengths) - len(second.lengths)) <= 1
    for half in (first, second):
        assert half.ids[half.places[:, 0]].tolist() == (half.rows + 500).tolist() == half.ids.tolist()


def test_what_memory_does_not_suffice_for_is_scored_in_halves_and_never_tried_again():
    memory = Memory(most=40)
    score = halving(memory.score)
    batch = batch_of([10] * 15)
    with pytest.warns(UserWarning) as said:
        found = score(batch)
    assert [str(each.message).split(" at once")[0] for each in said] == [
        f"The GPU had not the memory to read {pieces} pieces" for pieces in (150, 70)
    ]
    assert "Set batch_pieces in [components.ner.model] to 35 " in str(said[-1].message)
    assert found[:, 0].tolist() == batch.ids.tolist()
    assert memory.tried == [150, 70, 30, 40, 40, 40]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert score(batch)[:, 0].tolist() == batch.ids.tolist()
    assert memory.tried[6:] == [30, 40, 40, 40]


def test_a_window_that_memory_cannot_hold_at_all_ends_with_advice():
    with pytest.raises(WindowTooLarge, match="window of 50 pieces by itself. Set `window`"), pytest.warns(UserWarning):
        halving(Memory(most=40).score)(batch_of([50, 50]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_scores_are_fetched_from_a_gpu_before_what_was_begun_behind_them_is_done():
    matrix = torch.randn(8192, 8192, device="cuda")

    def score(batch):
        product = matrix
        for _ in range(100 if len(batch.ids) > 1 else 1):  # so that the longer batch takes a second
            product = (matrix @ product).clamp(-1, 1)
        return product[0, :1] * 0 + len(batch.ids)

    short, long = [fetching(score)(batch_of([pieces])) for pieces in (1, 100)]
    end = torch.cuda.current_stream().record_event()
    assert short().tolist() == [1.0]
    assert not end.query()
    assert long().tolist() == [100.0]


def test_the_next_is_begun_before_one_is_given_back():
    told = []
    for given_back, _ in one_ahead(lambda number: told.append(f"begin {number}"), range(3)):
        told.append(f"give {given_back}")
    assert told == ["begin 0", "begin 1", "give 0", "begin 2", "give 1", "give 2"]
    assert list(one_ahead(abs, [])) == []


def test_a_gpu_is_given_many_more_pieces_at_once_than_a_cpu_unless_the_config_says_how_many(trained, monkeypatch):
    shim = trained.get_pipe("ner").shim
    of_cpu = shim.batch_pieces
    monkeypatch.setattr(TaggerShim, "device", torch.device("cuda"))
    assert shim.batch_pieces > 10 * of_cpu
    monkeypatch.setitem(shim.cfg, "batch_pieces", 64)
    assert shim.batch_pieces == 64


def test_in_bfloat16_all_is_computed_with_other_weights_and_the_network_keeps_its_own(trained):
    shim = trained.get_pipe("ner").shim
    shim.network.eval()
    batch = next(iter(shim.batcher([trained.make_doc(text) for text in STREAM], shim.batch_pieces)))
    exact, rounded = (
        network_scorer(shim.network, number_type, shim.reading.pad)(batch)
        for number_type in (torch.float32, torch.bfloat16)
    )
    assert exact.dtype is rounded.dtype is torch.float32
    assert {weight.dtype for weight in shim.network.parameters()} == {torch.float32}
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, rtol=0, atol=0.1)


def test_a_pipeline_finds_with_the_network_as_it_is_what_it_finds_otherwise(trained, monkeypatch):
    shim = trained.get_pipe("ner").shim
    expected = list(trained.pipe(STREAM))
    as_it_is = halving(network_scorer(shim.network.eval(), torch.float32, shim.reading.pad))
    monkeypatch.setattr(shim, "_scorer", BatchesScorer(partial(one_ahead, fetching(as_it_is))))
    for doc, wanted in zip(trained.pipe(STREAM), expected, strict=True):
        assert entities(doc) == entities(wanted)
        assert scores(doc) == pytest.approx(scores(wanted), abs=1e-4)


@pytest.fixture
def ahead(trained, tmp_path, monkeypatch):
    """The trained pipeline as it is on a GPU, which computes while other things are done."""
    trained.to_disk(tmp_path / "ahead")
    monkeypatch.setattr(TaggerShim, "computes_beside", True)
    return spacy.load(tmp_path / "ahead")


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_documents_whose_scores_are_begun_ahead_come_in_order_with_the_same_entities(ahead, trained, size):
    found = list(ahead.pipe(STREAM, batch_size=size))
    assert [doc.text for doc in found] == STREAM
    for doc, wanted in zip(found, trained.pipe(STREAM), strict=True):
        assert entities(doc) == entities(wanted)
        assert scores(doc) == pytest.approx(scores(wanted), abs=1e-4)
    assert list(ahead.pipe([])) == []


def test_scores_of_the_next_documents_are_begun_before_these_are_looked_at(ahead, monkeypatch):
    pipe, told = ahead.get_pipe("ner"), []
    begin, decode = pipe.shim.begin, pipe.decode
    monkeypatch.setattr(pipe.shim, "begin", lambda docs: told.append(f"begin {docs[0].text}") or begin(docs))
    monkeypatch.setattr(
        pipe, "decode", lambda docs, found: told.append(f"look at {docs[0].text}") or decode(docs, found)
    )
    for doc in ahead.pipe(["one", "two", "three"], batch_size=1):
        told.append(f"give {doc.text}")
    assert told == [
        *("begin one", "begin two", "look at one", "give one"),
        *("begin three", "look at two", "give two"),
        *("look at three", "give three"),
    ]


def test_an_error_among_documents_begun_ahead_is_raised_or_goes_to_the_error_handler(ahead, monkeypatch):
    shim = ahead.get_pipe("ner").shim
    begin = shim.begin

    def fail(docs):
        if any(doc.text == "nobody" for doc in docs):
            raise RuntimeError("out of memory")
        return begin(docs)

    monkeypatch.setattr(shim, "begin", fail)
    texts = ["Ada Lovelace", "London", "nobody", "Grace Hopper", "Alan Turing"]
    given = []
    with pytest.raises(RuntimeError, match="out of memory"):
        for doc in ahead.pipe(texts, batch_size=2):
            given.append(doc.text)
    assert given == ["Ada Lovelace", "London"], "what came before is given first"
    heard = []
    ahead.set_error_handler(
        lambda name, pipe, docs, error: heard.append((name, [doc.text for doc in docs], str(error)))
    )
    assert [doc.text for doc in ahead.pipe(texts, batch_size=2)] == ["Ada Lovelace", "London", "Alan Turing"]
    assert heard == [("ner", ["nobody", "Grace Hopper"], "out of memory")]
