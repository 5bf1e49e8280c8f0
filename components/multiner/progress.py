"""What people see while `spacy train` runs."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from spacy.language import Language

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
}
HEADINGS = tuple(FORMATS)
WIDTHS = (5, 7, 9, 6, 6, 6, 6, 9, 8)


def progress_logger(
    total_steps: int, component: str = "ner", output: Path | None = None
) -> Callable[[Language, IO[str], IO[str]], tuple[LogStep, Callable[[], None]]]:
    """A line for each evaluation, and a bar with the time left. Registered as `multiner.ProgressLogger.v1`.

    The loss is the mean over the steps since the line before. Words per second are those of training;
    evaluating and saving are not counted.

    total_steps (int): How long training goes on; the config's `${training.max_steps}`.
    component (str): Whose loss is shown.
    output (Path | None): A file for the same figures, one JSON object a line.
    """

    def setup(
        nlp: Language, stdout: IO[str] = sys.stdout, stderr: IO[str] = sys.stderr
    ) -> tuple[LogStep, Callable[[], None]]:
        bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(file=stderr),
            transient=True,
        )
        # The loop makes one step more than it is given: it counts from 0 to the last one.
        task = bar.add_task("training", total=total_steps + 1)
        clock = TrainingClock()
        log = Path(output) if output is not None else None  # spaCy hands over what stands in the config, a string
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text("", encoding="utf8")
        print(*(heading.rjust(width) for heading, width in zip(HEADINGS, WIDTHS, strict=True)), file=stdout)
        bar.start()

        def log_step(info: dict[str, Any] | None) -> None:
            clock.tick(evaluated=info is not None)
            bar.advance(task)
            if info is not None:
                row = _figures(info, component, clock)
                line = (FORMATS[heading].format(row[heading]) for heading in HEADINGS)
                print(*(value.rjust(width) for value, width in zip(line, WIDTHS, strict=True)), file=stdout, flush=True)
                if log is not None:
                    with log.open("a", encoding="utf8") as file:
                        file.write(json.dumps(row) + "\n")

        return log_step, bar.stop

    return setup


class TrainingClock:
    """Measures training without the evaluations between."""

    def __init__(self) -> None:
        self.begun = self.last = time.perf_counter()
        self.seconds, self.timed_steps, self.steps, self.words = 0.0, 0, 0, 0

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


def _figures(info: dict[str, Any], component: str, clock: TrainingClock) -> dict[str, float]:
    scores = info["other_scores"]
    loss = info["losses"].get(component, 0.0) / clock.steps
    return {
        "Epoch": info["epoch"],
        "Step": info["step"],
        "Loss": loss,
        **{name: 100 * (scores.get(key) or 0.0) for name, key in (("P", "ents_p"), ("R", "ents_r"), ("F1", "ents_f"))},
        "Best": 100 * max(info["checkpoints"])[0],
        "Words/s": clock.words_per_second(info["words"]),
        "Minutes": (time.perf_counter() - clock.begun) / 60,
    }
