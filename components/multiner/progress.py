"""What people see while `spacy train` runs."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from spacy.language import Language

from .files import new_file
from .pictures import PicturesNeedMatplotlib
from .training_curve import draw_curve

LogStep = Callable[[dict[str, Any] | None], None]
FORMATS = {
    "Epoch": "{}",
    "Step": "{}",
    "Loss": "{:.4f}",
    "P": "{:.2f}",
    "R": "{:.2f}",
    "F1": "{:.2f}",
    "Best": "{:.2f}",
    "Words/s": "{:,.0f}",
    "Minutes": "{:.1f}",
    "Left": "{:.1f}",
}
HEADINGS = tuple(FORMATS)
WIDTHS = (5, 7, 9, 6, 6, 6, 6, 9, 8, 7)


class GoingOn(NamedTuple):
    """What of a run was done before it was killed.

    step, evaluated (int): The last step that was done, and the last one that was evaluated; -1 for none.
    words (int): How many words were learnt from.
    seconds (float): How long that took.
    """

    step: int = -1
    evaluated: int = -1
    words: int = 0
    seconds: float = 0.0


# spaCy hands nothing of the kind to a logger, and ours may stand in another one, such as spacy.ChainLogger.v1.
_GOING_ON: ContextVar[GoingOn | None] = ContextVar("going_on", default=None)


@contextmanager
def going_on(done: GoingOn) -> Iterator[None]:
    """Loggers that are set up inside go on with what they have written, up to there."""
    token = _GOING_ON.set(done)
    try:
        yield
    finally:
        _GOING_ON.reset(token)


def done_before() -> GoingOn:
    """What was done of the run that a logger, which is being set up, is for."""
    return _GOING_ON.get() or GoingOn()


def progress_logger(
    total_steps: int, component: str = "ner", output: Path | None = None
) -> Callable[[Language, IO[str], IO[str]], tuple[LogStep, Callable[[], None]]]:
    """A line for each evaluation, and a bar with the time left. Registered as `multiner.ProgressLogger.v1`.

    The loss is the mean over the steps since the line before. Words per second are those of training;
    evaluating and saving are not counted. Minutes and minutes left are those of all.

    total_steps (int): How long training goes on; the config's `${training.max_steps}`.
    component (str): Whose loss is shown.
    output (Path | None): A file for the same figures, one JSON object a line. The curve that they make is drawn beside
        it at the end, as PNG, where matplotlib is installed.
    """

    def setup(
        nlp: Language, stdout: IO[str] = sys.stdout, stderr: IO[str] = sys.stderr
    ) -> tuple[LogStep, Callable[[], None]]:
        done = done_before()
        bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(file=stderr),
            transient=True,
        )
        # The loop makes one step more than it is given: it counts from 0 to the last one.
        task = bar.add_task("training", total=total_steps + 1, completed=done.step + 1)
        clock = TrainingClock(done)
        log = Path(output) if output is not None else None  # spaCy hands over what stands in the config, a string
        if log is not None:
            _keep_rows(log, done.step)
        print(*(heading.rjust(width) for heading, width in zip(HEADINGS, WIDTHS, strict=True)), file=stdout)
        bar.start()

        def log_step(info: dict[str, Any] | None) -> None:
            clock.tick(evaluated=info is not None)
            bar.advance(task)
            if info is not None:
                row = _figures(info, component, clock, total_steps)
                line = (FORMATS[heading].format(row[heading]) for heading in HEADINGS)
                print(*(value.rjust(width) for value, width in zip(line, WIDTHS, strict=True)), file=stdout, flush=True)
                if log is not None:
                    with log.open("a", encoding="utf8") as file:
                        file.write(json.dumps(row) + "\n")

        def finalize() -> None:
            bar.stop()
            if log is not None:
                try:
                    draw_curve(log, log.with_suffix(".png"))
                except PicturesNeedMatplotlib as error:
                    print(f"No curve is drawn. {error}", file=stdout)

        return log_step, finalize

    return setup


def _keep_rows(log: Path, last_step: int) -> None:
    """Have in the log the rows of what was done before, up to that step, and no others."""
    before = log.read_text(encoding="utf8").splitlines(keepends=True) if last_step >= 0 and log.exists() else []
    with new_file(log) as unfinished:
        # A line that was killed in the middle of its writing has no end.
        kept = [row for row in before if row.endswith("\n") and json.loads(row)["Step"] <= last_step]
        unfinished.write_text("".join(kept), encoding="utf8")


class TrainingClock:
    """Measures training without the evaluations between.

    done (GoingOn): What was done of the run before.
    """

    def __init__(self, done: GoingOn) -> None:
        self.begun = self.last = time.perf_counter()
        self.seconds, self.timed_steps, self.steps, self.words = 0.0, 0, 0, done.words
        self.first_step, self.evaluated, self.seconds_before = done.step + 1, done.evaluated, done.seconds

    def tick(self, *, evaluated: bool) -> None:
        """One more step is done."""
        now = time.perf_counter()
        self.steps += 1
        if not evaluated:
            self.seconds += now - self.last
            self.timed_steps += 1
        self.last = now

    def words_per_second(self, words: int) -> float:
        """Speed since the last call; `words` counts from the start of training.

        The step that was evaluated took as long as the others, but cannot be told from its evaluation.
        """
        seconds = self.seconds * self.steps / self.timed_steps if self.timed_steps else 0.0
        speed = (words - self.words) / seconds if seconds else 0.0
        self.seconds, self.timed_steps, self.steps, self.words = 0.0, 0, 0, words
        return speed

    def steps_since_evaluation(self, step: int) -> int:
        """Steps since the evaluation before this one, done by whatever process."""
        steps = step - self.evaluated
        self.evaluated = step
        return steps

    def minutes(self, step: int, total_steps: int) -> tuple[float, float]:
        """Minutes that the run has taken, and that it will take yet at the pace of this process."""
        now = time.perf_counter() - self.begun
        left = now / (step + 1 - self.first_step) * max(total_steps - step, 0)
        return (self.seconds_before + now) / 60, left / 60


def _figures(info: dict[str, Any], component: str, clock: TrainingClock, total_steps: int) -> dict[str, float]:
    scores = info["other_scores"]
    minutes, left = clock.minutes(info["step"], total_steps)
    return {
        "Epoch": info["epoch"],
        "Step": info["step"],
        "Loss": info["losses"].get(component, 0.0) / clock.steps_since_evaluation(info["step"]),
        **{name: 100 * (scores.get(key) or 0.0) for name, key in (("P", "ents_p"), ("R", "ents_r"), ("F1", "ents_f"))},
        "Best": 100 * max(info["checkpoints"])[0],
        "Words/s": clock.words_per_second(info["words"]),
        "Minutes": minutes,
        "Left": left,
    }
