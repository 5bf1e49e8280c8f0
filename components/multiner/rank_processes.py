"""What the processes of `torchrun` do before anything else: each takes its own GPU, and only the first one speaks.

spaCy's command line imports this before it reads its arguments (the entry point `spacy_cli` in setup.cfg), so
`torchrun -m spacy train` needs no more; scripts/train.py imports it before anything else looks for GPUs. In processes
that `torchrun` has not started it does nothing.
"""

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path

from .ranks import STARTED_BY_TORCHRUN, is_first

SILENT_LOGGER = '{"@loggers": "spacy.ConsoleLogger.v1", "progress_bar": false}'
OUTPUT_OPTIONS = {"--output", "--output-path", "-o"}


def take_own_gpu(environment: MutableMapping[str, str]) -> None:
    """Have a process see its own GPU only, which is then number 0 for all that run in it."""
    own = int(environment["LOCAL_RANK"])
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(number) for number in range(own + 1)]
    if own < len(names):
        environment["CUDA_VISIBLE_DEVICES"] = names[own]


def without_output(arguments: list[str]) -> list[str]:
    """The arguments of `spacy train`, changed so that it writes and logs nothing."""
    kept: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        name, equals, _ = argument.partition("=")
        if name in OUTPUT_OPTIONS or name.startswith("--training.logger."):
            if not equals:
                next(rest, None)
        else:
            kept.append(argument)
    return [*kept, "--training.logger", SILENT_LOGGER]


def prepare_process() -> None:
    """Prepare this process if `torchrun` has started it."""
    if STARTED_BY_TORCHRUN not in os.environ:
        return
    take_own_gpu(os.environ)
    if sys.argv[1:2] == ["train"] and not is_first():
        sys.argv[1:] = without_output(sys.argv[1:])
        sys.stdout = Path(os.devnull).open("w", encoding="utf8")  # noqa: SIM115 - it stays open


prepare_process()
