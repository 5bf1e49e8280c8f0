"""Batches beside each other: in order, few held at a time, and torch as it was."""

import itertools
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from multiner.threads import beside_each_other

from .test_concurrency import STREAM
from .test_pipe import entities, scores


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@given(st.lists(st.integers(), max_size=20))
def test_each_comes_back_in_its_place_with_what_the_function_gives(numbers):
    assert list(beside_each_other(lambda number: number * 2, numbers)) == [(number, number * 2) for number in numbers]


def test_two_are_computed_at_the_same_time():
    both_there = threading.Barrier(2)

    def meet(number: int) -> int:
        both_there.wait(timeout=10)
        return number

    assert list(beside_each_other(meet, range(4))) == [(number, number) for number in range(4)]


def test_each_has_its_share_of_the_threads_of_torch_and_one_alone_has_all():
    threads = [torch.get_num_threads, torch.get_num_threads]
    assert [count for _, count in beside_each_other(lambda count: count(), threads)] == [1, 1]
    assert [count for _, count in beside_each_other(lambda count: count(), threads[:1])] == [2]


def test_other_threads_of_torch_stay_as_many_as_they_were():
    list(beside_each_other(abs, range(4)))
    assert torch.get_num_threads() == 2
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [2]


def test_a_stream_without_end_is_taken_as_it_is_needed():
    taken = itertools.count()
    results = beside_each_other(abs, taken)
    assert list(itertools.islice(results, 10)) == [(number, number) for number in range(10)]
    assert next(taken) < 20


def test_what_one_raises_is_raised_after_those_before_it():
    def refuse_three(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    results = beside_each_other(refuse_three, range(100))
    assert [next(results) for _ in range(3)] == [(number, number) for number in range(3)]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_what_fits_into_one_batch_is_shared_out_to_all_threads(trained, monkeypatch):
    shim = trained.get_pipe("ner").shim
    trained(STREAM[0])  # now there is what scores batches
    scored = []
    scorer = shim._scorer
    monkeypatch.setattr(shim, "_scorer", scorer._replace(score=lambda batches: scorer.score(watched(batches, scored))))
    list(trained.pipe(STREAM[:10]))
    assert len(scored) == 2 and sum(scored) <= shim.batch_pieces


def watched(batches, scored):
    """The same batches; how many pieces each has is noted down."""
    for batch in batches:
        scored.append(len(batch.ids))
        yield batch


def test_a_pipeline_finds_with_two_threads_what_it_finds_with_one(trained):
    shim = trained.get_pipe("ner").shim
    assert len(list(shim.batcher([trained.make_doc(text) for text in STREAM], shim.batch_pieces))) > 1
    beside = list(trained.pipe(STREAM))
    torch.set_num_threads(1)
    for doc, expected in zip(beside, trained.pipe(STREAM), strict=True):
        assert entities(doc) == entities(expected)
        assert scores(doc) == pytest.approx(scores(expected), abs=1e-5)
