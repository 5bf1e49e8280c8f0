"""Batches beside each other on a CPU: each of its threads computes one of its own.

With all threads for one batch each small operation ends with threads that wait for the others, and begins with numbers
that another core has written. With one batch each they meet when all is done.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import chain, islice
from typing import TypeVar

import torch

# More would wait for Python's lock; with more threads than that several compute one batch.
MOST_AT_ONCE = 8
_BEING_MADE = threading.Lock()
Given = TypeVar("Given")
Result = TypeVar("Result")


def most_at_once() -> int:
    """How many batches are computed beside each other, if there are so many."""
    return min(torch.get_num_threads(), MOST_AT_ONCE)


def in_turn(function: Callable[[Given], Result], each: Iterable[Given]) -> Iterator[tuple[Given, Result]]:
    """What a function gives for each, computed with all threads of torch."""
    for given in each:
        yield given, function(given)


def beside_each_other(function: Callable[[Given], Result], each: Iterable[Given]) -> Iterator[tuple[Given, Result]]:
    """What a function gives for each, several at a time if there are several, and if torch has several threads.

    They are taken and given back in their order, and no more of them are held than keep all threads busy.

    function (Callable): Computes with torch, and may be called by several threads at a time.
    RAISES: What the function raises for the first of those for which it does.
    """
    remaining = iter(each)
    first = list(islice(remaining, 2))
    at_once = most_at_once() if len(first) > 1 else 1
    every = chain(first, remaining)
    if at_once == 1:
        yield from in_turn(function, every)
        return
    with _BEING_MADE:  # one alone, which two threads that begin to predict then share
        pool = _pool(at_once, torch.get_num_threads() // at_once)
    waiting: deque[tuple[Given, Future[Result]]] = deque()
    try:
        for given in every:
            waiting.append((given, pool.submit(function, given)))
            if len(waiting) > 2 * at_once:
                yield _next(waiting)
        while waiting:
            yield _next(waiting)
    finally:
        for _, result in waiting:
            result.cancel()


def _next(waiting: deque[tuple[Given, Future[Result]]]) -> tuple[Given, Result]:
    given, result = waiting.popleft()
    return given, result.result()


@cache
def _pool(at_once: int, threads: int) -> ThreadPoolExecutor:
    """So many threads of Python, each of which has so many of torch."""
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(at_once, "multiner")
    all_there = threading.Barrier(at_once)

    def begin() -> None:
        torch.get_num_threads()  # the first call in a thread gives it as many as the process has
        torch.set_num_threads(threads)
        all_there.wait()

    for started in [pool.submit(begin) for _ in range(at_once)]:
        started.result()
    torch.set_num_threads(before)  # what any thread has set is what later ones begin with
    return pool


if hasattr(os, "register_at_fork"):  # where processes can be forked at all: their threads stay behind then
    os.register_at_fork(after_in_child=_pool.cache_clear)
