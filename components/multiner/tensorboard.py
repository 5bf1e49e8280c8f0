"""The figures of a run as TensorBoard shows them."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from spacy.language import Language
from spacy.util import dict_to_dot

from .errors import UserError
from .progress import LogStep, done_before


class TensorBoardMissing(UserError, ImportError):
    """The package that writes these files is not installed; the message says how to install it."""


def tensorboard_logger(folder: Path) -> Callable[[Language, IO[str], IO[str]], tuple[LogStep, Callable[[], None]]]:
    """Write losses and scores of each evaluation as TensorBoard reads them.

    Registered as `multiner.TensorBoardLogger.v1`. It prints nothing, so have it beside another one in
    `spacy.ChainLogger.v1`. A loss is the mean over the steps since the evaluation before.

    folder (Path): A folder of its own for each run; `tensorboard --logdir` is given it or one above.
    RAISES: TensorBoardMissing when training starts without it.
    """

    def setup(
        nlp: Language, stdout: IO[str] = sys.stdout, stderr: IO[str] = sys.stderr
    ) -> tuple[LogStep, Callable[[], None]]:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise TensorBoardMissing(
                "multiner.TensorBoardLogger.v1 needs tensorboard. Install it: pip install 'spacy-multiner[tensorboard]'"
            ) from error
        done = done_before()
        # What a run that was killed wrote behind its last checkpoint comes again, and is hidden.
        writer = SummaryWriter(folder, purge_step=done.step + 1)
        evaluated = done.evaluated

        def log_step(info: dict[str, Any] | None) -> None:
            nonlocal evaluated
            if info is None:
                return
            step = info["step"]
            figures = {f"loss/{name}": loss / (step - evaluated) for name, loss in info["losses"].items()}
            scores = dict_to_dot({"score": info["other_scores"]})
            figures |= {name.replace(".", "/"): score for name, score in scores.items() if isinstance(score, float)}
            for name, figure in figures.items():
                writer.add_scalar(name, figure, step)
            writer.flush()
            evaluated = step

        return log_step, writer.close

    return setup
