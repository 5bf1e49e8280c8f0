"""The training loop of scripts/train.py: spaCy's, made so that it may be killed at any moment and goes on.

spaCy's own loop (`spacy.training.loop`) keeps its step, results, losses and place in the data in local variables of a
generator, which no hook of a config reaches, and removes what an earlier run saved before it begins. So a run that
goes on has to have a loop of its own. This one is put together from spaCy's parts and takes the same config: corpora,
batcher, optimizer, callbacks, logger, patience. Undisturbed it gives the same weights as `spacy train`, bit for bit.
"""

import random
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import IO, Any, cast

from spacy.errors import Errors
from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.training import Example
from spacy.training.loop import (
    DIR_MODEL_BEST,
    DIR_MODEL_LAST,
    create_before_to_disk_callback,
    create_evaluation_callback,
    subdivide_batch,
    update_meta,
)
from spacy.util import registry, resolve_dot_names
from thinc.api import fix_random_seed, set_gpu_allocator

from .checkpoints import (
    CheckpointError,
    Progress,
    as_random_state,
    describe_origin,
    finish,
    forget,
    is_finished,
    newest,
    read_progress,
    restore,
    why_not,
    write_checkpoint,
)
from .files import swapped_folder
from .progress import GoingOn, LogStep, going_on
from .ranks import is_first

Corpus = Callable[[Language], Iterable[Example]]
# Is told the step that was done, the last one that there will be, and what loggers are told.
Watch = Callable[[int, int, dict[str, Any] | None], None]


def unwatched(step: int, last: int, info: dict[str, Any] | None) -> None:
    """Nobody watches the progress but the logger."""


@dataclass
class Run:
    """One run of training: what it is made of, and how far it is.

    settings: The section [training], resolved.
    output (Path): Where pipelines and checkpoints go.
    origin: What the weights depend on; empty if there are no checkpoints.
    checkpoint_steps (int): After how many steps one is written, besides after each evaluation; 0 for no more.
    """

    nlp: Language
    settings: dict[str, Any]
    output: Path
    origin: dict[str, Any]
    checkpoint_steps: int
    progress: Progress

    def go(self, batches: Iterator[tuple[int, list[Example]]], dropouts: Iterator[float], log_step: LogStep) -> None:
        """Learn, evaluate, save and log until the config says that it is enough, or the batches end."""
        progress, settings = self.progress, self.settings
        begun = time.perf_counter() - progress.seconds
        evaluate = create_evaluation_callback(
            self.nlp, _corpus(self.nlp, settings["dev_corpus"]), settings["score_weights"]
        )
        while not self.is_over():
            epoch, batch = next(batches, (progress.epoch, None))
            if batch is None:
                return
            progress.step, progress.epoch = progress.step + 1, epoch
            self.learn(batch, next(dropouts))
            progress.words += sum(map(len, batch))
            progress.seconds = time.perf_counter() - begun
            info = None
            if progress.step % settings["eval_frequency"] == 0:
                with self.nlp.use_params(settings["optimizer"].averages or {}):
                    info = self.judge(*evaluate())
            log_step(info)
            if info:
                progress.losses = {}
            if self.origin and (info or (self.checkpoint_steps and progress.step % self.checkpoint_steps == 0)):
                write_checkpoint(self.output, self.nlp, progress, self.origin)

    def learn(self, batch: list[Example], dropout: float) -> None:
        """One step: gradients of the batch, in as many parts as the config says, then all components move."""
        settings, nlp = self.settings, self.nlp
        if settings["before_update"]:
            settings["before_update"](nlp, {"step": self.progress.step, "epoch": self.progress.epoch})
        for part in subdivide_batch(batch, settings["accumulate_gradient"]):  # type: ignore[no-untyped-call]
            nlp.update(
                part,
                drop=dropout,
                losses=self.progress.losses,
                sgd=False,  # type: ignore[arg-type]  # no step yet, as in spaCy's loop
                exclude=settings["frozen_components"],
                annotates=settings["annotating_components"],
            )
        for name, component in cast(list[tuple[str, Any]], nlp.pipeline):
            if name not in settings["frozen_components"] and getattr(component, "is_trainable", False):
                component.finish_update(settings["optimizer"])
        settings["optimizer"].step_schedules()

    def judge(self, score: float, other_scores: dict[str, Any]) -> dict[str, Any]:
        """Take in an evaluation, and save. RETURNS: What spaCy's loggers are told of it."""
        progress = self.progress
        progress.results.append((score, progress.step))
        info = {
            "epoch": progress.epoch,
            "step": progress.step,
            "score": score,
            "other_scores": other_scores,
            "losses": progress.losses,
            "checkpoints": progress.results,
            "seconds": int(progress.seconds),
            "words": progress.words,
            "output_path": str(self.output / DIR_MODEL_LAST),
        }
        with self.nlp.select_pipes(disable=self.settings["frozen_components"]):
            update_meta(self.settings, self.nlp, info)
        progress.performance = self.nlp.meta["performance"]
        self.save(is_best=score == max(progress.results)[0])
        return info

    def save(self, *, is_best: bool) -> None:
        """Write model-last, and model-best if it is that."""
        if not is_first():
            return
        prepared = create_before_to_disk_callback(self.settings["before_to_disk"])(self.nlp)
        save_pipeline(prepared, self.output / DIR_MODEL_LAST)
        if is_best:
            with swapped_folder(self.output / DIR_MODEL_BEST) as unfinished:
                shutil.copytree(self.output / DIR_MODEL_LAST, unfinished, dirs_exist_ok=True)

    def is_over(self) -> bool:
        """Whether nothing has become better for `patience` steps, or all `max_steps` are done."""
        progress, patience, max_steps = self.progress, self.settings["patience"], self.settings["max_steps"]
        if not progress.results:
            return False
        # Of equal scores the earliest counts.
        best_step = -max((score, -step) for score, step in progress.results)[1]
        return bool((patience and progress.step - best_step >= patience) or (max_steps and progress.step >= max_steps))


def train(
    nlp: Language,
    output: Path,
    *,
    resume: bool = False,
    checkpoint_steps: int = 0,
    use_gpu: int = -1,
    stdout: IO[str] = sys.stdout,
    stderr: IO[str] = sys.stderr,
    watch: Watch = unwatched,
) -> Path:
    """Train a pipeline as `spacy train` does, with checkpoints.

    nlp (Language): Initialised, with the full config.
    output (Path): Where model-best, model-last and checkpoint/ go.
    resume (bool): Whether to go on from the newest checkpoint there; if there is none, training begins at the start.
    checkpoint_steps (int): After how many steps one is written, besides after each evaluation; 0 for no more.
    use_gpu (int): As in `spacy train`.
    stdout, stderr: What the logger writes to.
    watch (Callable): Is told of every step, by the first process.
    RETURNS: The folder of the last model.
    RAISES: CheckpointError if the checkpoint was made with another config, corpus or encoder.
    """
    settings = _settings(nlp, use_gpu)
    obstacle = why_not(nlp, settings["optimizer"])
    if obstacle and resume:
        raise CheckpointError(f"This training cannot go on from a checkpoint: {obstacle}.")
    origin = {} if obstacle else describe_origin(nlp)
    if resume and is_finished(output, origin):
        _say(f"The training in {output} had come to its end; nothing is left to do.", stdout)
        return output / DIR_MODEL_LAST
    checkpoint = newest(output) if resume else None
    progress = Progress() if checkpoint is None else read_progress(checkpoint, origin)
    train_corpus = _corpus(nlp, settings["train_corpus"])
    batches = batches_of_epochs(nlp, train_corpus, settings["batcher"], settings["max_epochs"], progress.shuffles)
    dropouts = repeat(settings["dropout"]) if isinstance(settings["dropout"], float) else settings["dropout"]
    if checkpoint is None:
        _start_anew(output, resume, obstacle, stdout)
    else:
        for _ in range(progress.step + 1):  # they are made once more, so that the next batch is the next one
            next(batches)
            next(dropouts)
        restore(checkpoint, nlp, settings["optimizer"], progress)
        _say(f"Training goes on after step {progress.step}, from {checkpoint}.", stdout)
    run = Run(nlp, settings, output, origin, checkpoint_steps, progress)
    log_step, finalize_logger = _start_logger(nlp, settings, progress, stdout, stderr)

    def tell(info: dict[str, Any] | None) -> None:
        log_step(info)
        if is_first():
            watch(progress.step, settings["max_steps"], info)

    try:
        run.go(batches, dropouts, tell)
    finally:
        finalize_logger()
    with nlp.use_params(settings["optimizer"].averages or {}):
        run.save(is_best=False)
    if origin:
        finish(output, origin)
    return output / DIR_MODEL_LAST


def _settings(nlp: Language, use_gpu: int) -> dict[str, Any]:
    """The section [training], resolved as spaCy does it: random numbers first."""
    section = nlp.config.interpolate()["training"]
    if section["seed"] is not None:
        fix_random_seed(section["seed"])
    if use_gpu >= 0 and section["gpu_allocator"]:
        set_gpu_allocator(section["gpu_allocator"])
    settings: dict[str, Any] = registry.resolve(section, schema=ConfigSchemaTraining)
    return settings


def _corpus(nlp: Language, name: str) -> Corpus:
    (corpus,) = resolve_dot_names(nlp.config.interpolate(), [name])
    return cast(Corpus, corpus)


def save_pipeline(nlp: Language, folder: Path) -> None:
    """Write a pipeline; whoever is killed leaves the one before it, or a whole new one."""
    with swapped_folder(folder) as unfinished:
        nlp.to_disk(unfinished)


def batches_of_epochs(
    nlp: Language,
    corpus: Corpus,
    batcher: Callable[[Iterable[Example]], Iterable[list[Example]]],
    max_epochs: int,
    shuffles: list[Any],
) -> Iterator[tuple[int, list[Example]]]:
    """The batches of one epoch after another, as spaCy makes them, with the number of the epoch.

    max_epochs (int): As in [training]: 0 for no end, -1 for a corpus that is read anew in each epoch, unshuffled.
    shuffles (list): The state of Python's random numbers before each epoch. Where there is one, the epoch begins with
        it; else it is added. So with the same list the same batches come again.
    RAISES: ValueError if there are no examples.
    """
    examples = [] if max_epochs == -1 else list(corpus(nlp))
    if not examples and max_epochs != -1:
        raise ValueError(Errors.E986)
    epoch = 0
    while max_epochs < 1 or epoch != max_epochs:
        if epoch < len(shuffles):
            random.setstate(as_random_state(shuffles[epoch]))
        else:
            shuffles.append(random.getstate())
        if max_epochs == -1:
            yield from ((epoch, batch) for batch in batcher(corpus(nlp)))
        else:
            random.shuffle(examples)
            yield from ((epoch, batch) for batch in batcher(examples))
        epoch += 1


def _start_logger(
    nlp: Language, settings: dict[str, Any], progress: Progress, stdout: IO[str], stderr: IO[str]
) -> tuple[LogStep, Callable[[], None]]:
    if not is_first():
        return lambda info: None, lambda: None
    evaluated = progress.results[-1][1] if progress.results else -1
    done = GoingOn(progress.step, evaluated, progress.words, progress.seconds)
    with going_on(done), nlp.select_pipes(disable=settings["frozen_components"]):
        log_step, finalize = settings["logger"](nlp, stdout, stderr)
    return log_step, finalize


def _start_anew(output: Path, resume: bool, obstacle: str | None, stdout: IO[str]) -> None:
    if not is_first():
        return
    if resume:
        _say(f"There is no checkpoint in {output} yet; training begins at the start.", stdout)
    if obstacle:
        _say(f"No checkpoints are written, because {obstacle}.", stdout)
    forget(output)
    for name in (DIR_MODEL_BEST, DIR_MODEL_LAST):
        shutil.rmtree(output / name, ignore_errors=True)


def _say(sentence: str, stdout: IO[str]) -> None:
    if is_first():
        print(sentence, file=stdout, flush=True)
