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
    cpuinfo = Path("/proc/cpuinfo")
    name = processor_in(cpuinfo.read_text(encoding="utf8", errors="replace")) if cpuinfo.exists() else ""
    name = name or platform.processor() or platform.machine()
    machine: dict[str, Any] = {"cpu": name, "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    machine |= {"python": platform.python_version(), "torch": torch.__version__}
    if torch.cuda.is_available():
        machine["gpu"] = torch.cuda.get_device_name()
    return machine


def processor_in(cpuinfo: str) -> str:
    """The first processor that Linux tells of in /proc/cpuinfo; empty if it has no name there.

    Family and model come with it: virtual machines call two generations "AMD EPYC", of which one multiplies floats
    twice as fast as the other.
    """
    about: dict[str, str] = {}
    for line in cpuinfo.partition("\n\n")[0].splitlines():
        key, _, value = line.partition(":")
        about[key.strip()] = value.strip()
    if "model name" not in about:
        return ""
    numbers = [f"{word} {about[key]}" for word, key in (("family", "cpu family"), ("model", "model")) if key in about]
    return ", ".join([about["model name"], *numbers])
