"""Checkpoints: all that a run of training has to know to go on as if it had never been killed.

They lie in OUTPUT/checkpoint, one folder for each, `step-000120` and so on, of which the last two are kept. A folder
gets its name when all of it is written. What is in it is JSON and safetensors: for each component its labels, tokenizer
and weights, the moments of its optimizer, the order in which it met rows of the embedding, and the windows of which it
remembers what frozen layers gave; the states of all random numbers; and what the loop knows, `Progress`.
"""

import json
import random
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import srsly
import torch
from spacy.language import Language
from spacy.util import dict_to_dot
from thinc.api import Optimizer

from . import distributed, ranks
from .errors import UserError
from .files import give_usual_rights, new_folder, write_json
from .fingerprints import digest_of
from .optimizer import AdamW
from .pipe import Multiner
from .shared import SharedShim

FOLDER, FINISHED = "checkpoint", "finished.json"
PROGRESS, RANDOM, MOMENTS, MET = "progress.json", "random.safetensors", "optimizer.safetensors", "embedding.met"
REMEMBERED = "frozen.remembered"
KEPT = 2


class CheckpointError(UserError, ValueError):
    """Training cannot go on from a checkpoint; the message says why."""


@dataclass
class Progress:
    """What the loop knows.

    step (int): The last step that was done, counted from 0; -1 before the first.
    epoch (int): The epoch that it was in.
    results: Score and step of each evaluation.
    losses: What the components' losses add up to since the last evaluation.
    words (int): How many words have been learnt from.
    seconds (float): How long that took.
    performance: The scores of the last evaluation, as the pipeline's meta has them.
    shuffles: The state of Python's random numbers before each epoch was shuffled.
    """

    step: int = -1
    epoch: int = 0
    results: list[tuple[float, int]] = field(default_factory=list)
    losses: dict[str, float] = field(default_factory=dict)
    words: int = 0
    seconds: float = 0.0
    performance: dict[str, Any] = field(default_factory=dict)
    shuffles: list[list[Any]] = field(default_factory=list)


def why_not(nlp: Language, optimizer: Optimizer) -> str | None:
    """What about a pipeline keeps checkpoints from holding all of its training, in words; None if nothing does."""
    frozen = nlp.config["training"]["frozen_components"]
    if not isinstance(optimizer, AdamW):
        return "the optimizer is not multiner.AdamW.v1"
    for name, component in nlp.pipeline:
        if name in frozen or not getattr(component, "is_trainable", False):
            continue
        if not isinstance(component, Multiner) or isinstance(component.shim, SharedShim):
            return f"the component '{name}' is not one that has an encoder of its own"
        storage = component.shim.cfg.get("stored_as", "float32")
        if storage != "float32":
            return f"the component '{name}' stores its weights as {storage}, which rounds them"
    return None


def describe_origin(nlp: Language) -> dict[str, Any]:
    """What weights depend on: settings, the content of corpora and encoders, the number of processes.

    Where files lie, and what is shown of the run, is no part of it.
    """
    config = nlp.config.interpolate()
    files = {
        f"corpora.{name}": Path(corpus["path"]) for name, corpus in config["corpora"].items() if corpus.get("path")
    }
    settings = dict_to_dot({**nlp.config, "paths": {}, "corpora": {}})
    for name, component in config["initialize"]["components"].items():
        if component.get("encoder"):
            files[f"initialize.components.{name}.encoder"] = Path(component["encoder"])
            settings.pop(f"initialize.components.{name}.encoder", None)
    digests = {place: digest_of(path) if path.exists() else str(path) for place, path in sorted(files.items())}
    shown = {key: value for key, value in settings.items() if not key.startswith("training.logger.")}
    return {"config": json.loads(json.dumps(shown)), "content": digests, "processes": ranks.count()}


def differences(origin: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs between two origins, in words."""
    found = []
    for key in sorted({**origin["config"], **now["config"]}):
        before, after = (each["config"].get(key, "not there") for each in (origin, now))
        if before != after:
            section, _, name = key.rpartition(".")
            found.append(f"[{section}] {name} was {before} and is {after}")
    for place in sorted({**origin["content"], **now["content"]}):
        if origin["content"].get(place) != now["content"].get(place):
            found.append(f"the content of [{place}] is another")
    if origin["processes"] != now["processes"]:
        found.append(f"{origin['processes']} processes trained together, and now {now['processes']} do")
    return found


def write_checkpoint(output: Path, nlp: Language, progress: Progress, origin: dict[str, Any]) -> None:
    """Write all of a run's state into OUTPUT/checkpoint; the last two stay.

    Every process has to call it, and the first one writes.
    """
    tensors = {f"cpu.{rank}": state for rank, state in enumerate(distributed.gather(torch.get_rng_state()))}
    if torch.cuda.is_available():
        states = distributed.gather(torch.cuda.get_rng_state())
        tensors |= {f"cuda.{rank}": state for rank, state in enumerate(states)}
    remembered = {name: distributed.gather_unlike(each.shim.remembered()) for name, each in _trained(nlp)}
    if not ranks.is_first():
        return
    folder = output / FOLDER
    with new_folder(folder / f"step-{progress.step:06}") as unfinished:
        write_json({"origin": origin, **asdict(progress), "random": _random_states()}, unfinished / PROGRESS)
        _save(tensors, unfinished / RANDOM)
        for name, component in _trained(nlp):
            component.to_disk(unfinished / name, exclude=["vocab"])
            met = component.shim.network.embedding.met
            of_ranks = {f"{REMEMBERED}.{rank}": windows for rank, windows in enumerate(remembered[name])}
            _save({**component.shim.moments(), MET: met, **of_ranks}, unfinished / f"{name}.{MOMENTS}")
    for old in _all(folder)[:-KEPT]:
        shutil.rmtree(old)
    remove_unfinished(folder)


def remove_unfinished(folder: Path) -> None:
    """Remove what those who were killed while they wrote have left behind."""
    for left in folder.glob(".*"):
        shutil.rmtree(left, ignore_errors=True)


def newest(output: Path) -> Path | None:
    """The folder of the newest checkpoint, or None if there is none."""
    found = _all(output / FOLDER)
    return found[-1] if found else None


def read_progress(checkpoint: Path, origin: dict[str, Any]) -> Progress:
    """What the loop knew at a checkpoint.

    RAISES: CheckpointError if it was made with another config, corpus or encoder.
    """
    content = srsly.read_json(checkpoint / PROGRESS)
    _check_origin(checkpoint, content["origin"], origin)
    known = {name: content[name] for name in Progress.__dataclass_fields__}
    return Progress(**{**known, "results": [(score, step) for score, step in known["results"]]})


def restore(checkpoint: Path, nlp: Language, optimizer: AdamW, progress: Progress) -> None:
    """Bring a pipeline, its optimizer and all random numbers into the state of a checkpoint.

    nlp (Language): Initialised from the same config.
    RAISES: ModelFilesError if the checkpoint is damaged.
    """
    for _ in range(progress.step + 1):
        optimizer.step_schedules()  # type: ignore[no-untyped-call]
    nlp.meta["performance"] = progress.performance
    for name, component in _trained(nlp):
        component.from_disk(checkpoint / name, exclude=["vocab"])
        tensors = safetensors.torch.load_file(checkpoint / f"{name}.{MOMENTS}")
        remembered = [tensors.pop(f"{REMEMBERED}.{rank}") for rank in range(ranks.count())]
        component.shim.continue_from(optimizer, tensors.pop(MET), tensors, remembered[ranks.number()])
    states = srsly.read_json(checkpoint / PROGRESS)["random"]
    random.setstate(as_random_state(states["python"]))
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, np.array(keys, np.uint32), *rest))
    tensors = safetensors.torch.load_file(checkpoint / RANDOM)
    torch.set_rng_state(tensors[f"cpu.{ranks.number()}"])
    if torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors[f"cuda.{ranks.number()}"])


def finish(output: Path, origin: dict[str, Any]) -> None:
    """Have nothing left of the checkpoints but that the run came to its end."""
    if ranks.is_first():
        write_json({"origin": origin}, output / FOLDER / FINISHED)
        for folder in _all(output / FOLDER):
            shutil.rmtree(folder)


def is_finished(output: Path, origin: dict[str, Any]) -> bool:
    """Whether a run came to its end there.

    RAISES: CheckpointError if that was one with another config, corpus or encoder.
    """
    path = output / FOLDER / FINISHED
    if not path.exists():
        return False
    _check_origin(path, srsly.read_json(path)["origin"], origin)
    return True


def forget(output: Path) -> None:
    """Remove all checkpoints of earlier runs."""
    if ranks.is_first():
        shutil.rmtree(output / FOLDER, ignore_errors=True)


def as_random_state(state: list[Any]) -> tuple[Any, ...]:
    """The state of Python's random numbers, which JSON makes lists of."""
    version, numbers, gauss = state
    return version, tuple(numbers), gauss


def _check_origin(path: Path, origin: dict[str, Any], now: dict[str, Any]) -> None:
    found = differences(origin, now)
    if found:
        raise CheckpointError(
            f"{path} was made by another training: {'; '.join(found)}. Go on with what it was made with, or train "
            "without --resume, which begins anew."
        )


def _all(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))


def _trained(nlp: Language) -> list[tuple[str, Multiner]]:
    frozen = nlp.config["training"]["frozen_components"]
    return [(name, each) for name, each in nlp.pipeline if isinstance(each, Multiner) and name not in frozen]


def _save(tensors: dict[str, torch.Tensor], path: Path) -> None:
    safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    give_usual_rights(path)


def _random_states() -> dict[str, Any]:
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {"python": random.getstate(), "numpy": [kind, np.asarray(keys).tolist(), *rest]}
