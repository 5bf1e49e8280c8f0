"""Annotating on the machines of a Ray cluster: actors that load the pipeline once, and get shards.

The process that was started reads and writes, the actors compute. So nothing but it touches the output, which needs
no file system that all machines share; the pipeline has to be on each of them, under the same name.
"""

from collections.abc import Iterable, Iterator
from itertools import cycle
from typing import TYPE_CHECKING, Any

from .engines import Engine, Recipe, WorkerLost, in_order
from .errors import UserError

if TYPE_CHECKING:
    from .annotator import Job, Result


class RayError(UserError, RuntimeError):
    """Ray is not installed, or its cluster cannot be used."""


def on_ray(workers: int, *, cpus: float = 1, gpus: float = 0, address: str | None = None) -> Engine:
    """An engine of Ray actors.

    An actor that is lost is started again, on another machine if its own is gone, and gets the shard again that it
    had: shards are independent, and the same shard gives the same bytes.

    workers (int): Actors.
    cpus, gpus (float): What each actor gets of its machine; with half a GPU two share one. It computes with as many
        threads as it has cores.
    address (str | None): The cluster, for example "auto" or "ray://head:10001"; if None that of RAY_ADDRESS, or else
        a cluster of this machine alone for the time of the run.
    RAISES: RayError if Ray is not installed, or the cluster cannot be reached or has not so much to give.
    """
    try:
        import ray
    except ImportError as error:
        raise RayError('--engine ray needs Ray; install it with: pip install "spacy-multiner[ray]"') from error

    def engine(recipe: Recipe, jobs: "Iterable[Job]") -> "Iterator[Result]":
        started = not ray.is_initialized()
        if started:
            _connect(ray, address)
        try:
            _check_resources(ray, workers, cpus, gpus)
            remote = ray.remote(num_cpus=cpus, num_gpus=gpus, max_restarts=-1, max_task_retries=-1)(_Actor)
            threads = max(1, int(cpus))
            actors = [remote.remote(recipe._replace(gpu_id=0 if gpus else -1), threads) for _ in range(workers)]
            yield from _results(ray, actors, jobs)
        finally:
            if started:
                ray.shutdown()

    return engine


def _results(ray: Any, actors: list[Any], jobs: "Iterable[Job]") -> "Iterator[Result]":
    in_turn = cycle(actors)

    def submit(job: "Job") -> Any:
        return next(in_turn).annotate.remote(job)

    def collect(ticket: Any) -> "Result":
        result: Result = ray.get(ticket)
        return result

    try:
        yield from in_order(jobs, submit, collect, len(actors))
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        raise cause if isinstance(cause, UserError) else error from None
    except ray.exceptions.RayActorError as error:
        raise WorkerLost(f"A Ray actor was lost and cannot be started again: {error}") from None


class _Actor:
    """An annotator that is made with its first shard, since what a constructor raises is told late and badly."""

    def __init__(self, recipe: Recipe, threads: int) -> None:
        self.recipe = recipe
        self.threads = threads
        self.annotator: Any = None

    def annotate(self, job: "Job") -> "Result":
        """Annotate a shard."""
        if self.annotator is None:
            from .annotator import Annotator

            recipe = self.recipe
            self.annotator = Annotator(
                recipe.model, recipe.settings, recipe.shape, gpu_id=recipe.gpu_id, threads=self.threads
            )
        result: Result = self.annotator(job)
        return result


def _connect(ray: Any, address: str | None) -> None:
    try:
        ray.init(
            address=address,
            include_dashboard=False if address is None else None,
            log_to_driver=False,
            logging_level="ERROR",
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise RayError(f"There is no Ray cluster at {address or 'RAY_ADDRESS'}: {error}") from error


def _check_resources(ray: Any, workers: int, cpus: float, gpus: float) -> None:
    """Ray would wait for ever for what the cluster does not have."""
    has = ray.cluster_resources()
    for name, each in (("CPU", cpus), ("GPU", gpus)):
        if workers * each > has.get(name, 0):
            raise RayError(
                f"{workers} workers with {each:g} {name} each need more than the cluster has, {has.get(name, 0):g}. "
                "Take fewer --workers, or give each less."
            )
