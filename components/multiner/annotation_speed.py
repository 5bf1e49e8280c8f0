"""How fast documents go from files to files, beside `nlp.pipe` over texts in memory, and how much memory it takes."""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from .annotate import Step, annotate
from .annotator import Annotator, Job, Result, Settings, load_annotating
from .benchmark_texts import made_up_texts
from .compacting import LongRun
from .engines import Engine, Recipe, in_processes, in_this_process
from .memory_use import MEGABYTE, describe_growth, resident_bytes
from .outputs import Shape


def measure_annotation_speed(model: str, texts: Sequence[str], rounds: int) -> dict[str, Any]:
    """Annotate texts in turn by `nlp.pipe` in memory and from a JSON lines file to JSON lines files.

    The pipeline is loaded once, before. Everything else that `multiner annotate` does is timed: reading, looking
    whether the model is the same, writing.

    RETURNS: JSON-ready "documents", "words", "pipe" and "annotate" (words/s in each round), and "ratio" of their
        medians.
    RAISES: FileNotFoundError; ModelFilesError.
    """
    nlp = load_annotating(model)
    annotator = Annotator(model, Settings(), Shape("text", "entities"))

    def loaded(recipe: Recipe, jobs: Iterable[Job]) -> Iterator[Result]:
        return map(annotator, jobs)

    speeds: dict[str, list[float]] = {"pipe": [], "annotate": []}
    run = LongRun(nlp)
    words = 0
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "texts.jsonl"
        _write(path, texts)
        for number in range(rounds):
            start = time.perf_counter()
            with run.part():
                words = sum(len(doc) for doc in nlp.pipe(texts))
            speeds["pipe"].append(words / (time.perf_counter() - start))
            start = time.perf_counter()
            annotate(model, [str(path)], Path(scratch) / f"out{number}", engine=loaded)
            speeds["annotate"].append(words / (time.perf_counter() - start))
    ratio = statistics.median(speeds["annotate"]) / statistics.median(speeds["pipe"])
    rounded = {name: [round(speed, 1) for speed in each] for name, each in speeds.items()}
    return {"model": model, "documents": len(texts), "words": words, **rounded, "ratio": round(ratio, 3)}


def measure_engines(model: str, texts: Sequence[str], workers: int, *, ray: bool) -> dict[str, Any]:
    """Annotate texts by each engine, starting it and loading the pipeline included.

    RETURNS: JSON-ready "seconds" for "one process", "processes" and, if wanted, "ray", and "same_output", whether the
        files of the last two are the same, byte for byte.
    RAISES: RayError.
    """
    engines: dict[str, Engine] = {"one process": in_this_process, "processes": in_processes(workers)}
    if ray:
        from .ray_engine import on_ray

        engines["ray"] = on_ray(workers)
    settings = Settings(shard_documents=max(1, len(texts) // (8 * workers)))
    seconds, files = {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "texts.jsonl"
        _write(path, texts)
        for name, engine in engines.items():
            output = Path(scratch) / name
            start = time.perf_counter()
            annotate(model, [str(path)], output, settings, engine=engine)
            seconds[name] = round(time.perf_counter() - start, 1)
            files[name] = [part.read_bytes() for part in sorted(output.glob("part-*"))]
    same = files["processes"] == files["ray"] if ray else None
    return {"model": model, "documents": len(texts), "workers": workers, "seconds": seconds, "same_output": same}


def measure_annotation_memory(
    model: str, texts: Sequence[str], count: int, watch: Callable[[int], None]
) -> dict[str, Any]:
    """Annotate so many short documents from file to files, and say what memory this process took.

    Each document is one of the texts with a made-up word behind it, so that new words keep coming, as in the world.

    watch (Callable): Is told after each shard how many documents are done.
    RETURNS: JSON-ready "model", "seconds", and what `describe_growth` gives, with a size after each shard.
    """
    sizes: list[tuple[int, float]] = []

    def look(step: Step) -> None:
        watch(step.totals.documents)
        sizes.append((step.totals.documents, round(resident_bytes() / MEGABYTE, 1)))

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "texts.jsonl"
        new_words = (more.split()[0] for more in made_up_texts(count))
        _write(path, (f"{text} {word}" for text, word in zip(cycle(texts), new_words, strict=False)))
        start = time.perf_counter()
        settings = Settings(shard_documents=min(5000, max(1, count // 20)))
        annotate(model, [str(path)], Path(scratch) / "out", settings, watch=look)
        seconds = time.perf_counter() - start
    return {"model": model, "seconds": round(seconds, 1), **describe_growth(sizes)}


def _write(path: Path, texts: Iterable[str]) -> None:
    with path.open("w", encoding="utf8") as file:
        for number, text in enumerate(texts):
            file.write(json.dumps({"id": number, "text": text}, ensure_ascii=False) + "\n")
