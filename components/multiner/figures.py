"""Measured figures, kept with what is needed to measure them again."""

import os
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

import torch

from .files import write_json


def keep_figures(report: dict[str, Any], output: Path) -> None:
    """Write figures as JSON with the command of this process, and with the machine that they were measured on."""
    command = shlex.join(["python", *sys.argv])
    write_json({"command": command, "machine": describe_machine(), **report}, output)


def describe_machine() -> dict[str, Any]:
    """What a figure was measured on."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf8", errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    machine: dict[str, Any] = {"cpu": name, "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    machine |= {"python": platform.python_version(), "torch": torch.__version__}
    if torch.cuda.is_available():
        machine["gpu"] = torch.cuda.get_device_name()
    return machine
