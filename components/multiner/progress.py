"""What people see while `spacy train` runs."""

import sys
import time
from collections.abc import Callable
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from spacy.language import Language

LogStep = Callable[[dict[str, Any] | None], None]
HEADINGS = ("Epoch", "Step", "Loss", "P", "R", "F1", "Best", "Words/s", "Minutes")
WIDTHS = (5, 7, 9, 6, 6, 6, 6, 9, 8)


def progress_logger(total_steps: int, component: str = "ner") -> Callable[[Language, IO[str], IO[str]], tuple[LogStep, Callable[[], None]]]:
    """A line for each evaluation, and a bar with the time left. Registered as `multiner.ProgressLogger.v1`.

    The loss is the mean over the steps since the line before. Words per second are those of training;
    evaluating and saving are not counted.

    total_steps (int): How long training goes on; the config's `${training.max_steps}`.
    component (str): Whose loss is shown.
    """

    def setup(nlp: Language, stdout: IO[str] = sys.stdout, stderr: IO[str] = sys.stderr) -> tuple[LogStep, Callable[[], None]]:
        bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(file=stderr),
            transient=True,
        )
        task = bar.add_task("training", total=total_steps + 1)
        begun = last_call = time.perf_counter()
        training_seconds, timed_steps, steps, words = 0.0, 0, 0, 0
        bar.console.file.flush()
        print(*(heading.rjust(width) for heading, width in zip(HEADINGS, WIDTHS, strict=True)), file=stdout)
        bar.start()

        def log_step(info: dict[str, Any] | None) -> None:
            nonlocal last_call, training_seconds, timed_steps, steps, words
            now = time.perf_counter()
            steps += 1
            bar.advance(task)
            if info is None:
                training_seconds += now - last_call
                timed_steps += 1
            else:
                # The step that was evaluated took as long as the others, but cannot be told from its evaluation.
                seconds = training_seconds * steps / timed_steps if timed_steps else 0.0
                speed = f"{(info['words'] - words) / seconds:,.0f}" if seconds else "-"
                scores = info["other_scores"]
                line = [
                    str(info["epoch"]),
                    str(info["step"]),
                    f"{info['losses'].get(component, 0.0) / steps:.4f}",
                    *(f"{100 * (scores.get(f'ents_{name}') or 0.0):.2f}" for name in "prf"),
                    f"{100 * max(info['checkpoints'])[0]:.2f}",
                    speed,
                    f"{(now - begun) / 60:.1f}",
                ]
                print(*(value.rjust(width) for value, width in zip(line, WIDTHS, strict=True)), file=stdout, flush=True)
                training_seconds, timed_steps, steps, words = 0.0, 0, 0, info["words"]
            last_call = time.perf_counter()

        return log_step, bar.stop

    return setup
