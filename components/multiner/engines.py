"""Where shards are annotated: in this process, or in several that each have the pipeline.

An engine takes jobs and gives their results in the same order, and never has more jobs in hand than keep it busy.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from .errors import UserError

if TYPE_CHECKING:
    from .annotator import Job, Result, Settings
    from .outputs import Shape

AHEAD = 2  # jobs for each worker, so that it has the next one when it is ready
Ticket = TypeVar("Ticket")


class WorkerLost(UserError, RuntimeError):
    """A process that annotated has ended."""


class Recipe(NamedTuple):
    """What a worker needs to make its annotator.

    gpu_id: The GPU to use; -1 for the CPU.
    """

    model: str
    settings: "Settings"
    shape: "Shape"
    gpu_id: int = -1


Engine = Callable[[Recipe, "Iterable[Job]"], "Iterator[Result]"]


def in_this_process(recipe: Recipe, jobs: "Iterable[Job]") -> "Iterator[Result]":
    """Annotate here, one shard after the other."""
    annotator = None
    for job in jobs:
        if annotator is None:  # no pipeline is loaded where there is nothing to do
            annotator = _make_annotator(recipe)
        yield annotator(job)


def in_processes(workers: int) -> Engine:
    """An engine of several processes on this machine, among which its cores are divided.

    workers (int): How many; each needs memory for the pipeline.
    """

    def engine(recipe: Recipe, jobs: "Iterable[Job]") -> "Iterator[Result]":
        context = multiprocessing.get_context("spawn")  # torch has threads, which a fork would leave behind
        with ProcessPoolExecutor(workers, context, _start_worker, (recipe, workers)) as pool:
            try:
                yield from in_order(jobs, lambda job: pool.submit(_work, job), lambda ticket: ticket.result(), workers)
            except BrokenProcessPool:
                raise WorkerLost(
                    "A worker has ended, because it was killed or could not load the pipeline. Each one needs memory "
                    "for the pipeline: take fewer --workers if that was too little. Run the command again: it goes on."
                ) from None
            finally:
                pool.shutdown(cancel_futures=True)

    return engine


def in_order(
    jobs: "Iterable[Job]", submit: "Callable[[Job], Ticket]", collect: "Callable[[Ticket], Result]", workers: int
) -> "Iterator[Result]":
    """The results of jobs in their order, of which some are being worked on at a time.

    submit (Callable): Starts a job and returns at once.
    collect (Callable): Waits for what `submit` returned.
    """
    waiting: deque[Ticket] = deque()
    for job in jobs:
        waiting.append(submit(job))
        if len(waiting) >= AHEAD * workers:
            yield collect(waiting.popleft())
    while waiting:
        yield collect(waiting.popleft())


class _Worker:
    """What a worker process has: the recipe from the start, the annotator from its first job on."""

    recipe: Recipe
    workers: int
    annotator: "Callable[[Job], Result] | None" = None


def _start_worker(recipe: Recipe, workers: int) -> None:
    _Worker.recipe, _Worker.workers = recipe, workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the process that has the workers
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _work(job: "Job") -> "Result":
    if _Worker.annotator is None:  # not before, because only what a job raises is told to the parent
        _Worker.annotator = _make_annotator(_Worker.recipe, _Worker.workers)
    return _Worker.annotator(job)


def _end_with_parent() -> None:
    """End when the parent is killed; a worker would wait for its next job for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _make_annotator(recipe: Recipe, workers: int = 1) -> "Callable[[Job], Result]":
    import torch

    from .annotator import Annotator

    threads = max(1, torch.get_num_threads() // workers)
    return Annotator(recipe.model, recipe.settings, recipe.shape, gpu_id=recipe.gpu_id, threads=threads)
