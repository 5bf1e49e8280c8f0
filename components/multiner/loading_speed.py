"""How large a pipeline is, how long a new process takes to load it, and with how much memory."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from .memory_use import MEGABYTE
from .pipelines import folder_of

# Imports are part of what a user waits for.
PROBE = """
import json, sys, time
start = time.perf_counter()
import spacy
spacy.load(sys.argv[1])
seconds = time.perf_counter() - start
from multiner.memory_use import MEGABYTE, resident_bytes
print(json.dumps({"load_seconds": round(seconds, 2), "memory_mb": round(resident_bytes() / MEGABYTE)}))
"""


def measure_loading(model: str) -> dict[str, Any]:
    """Load a pipeline in a process of its own.

    model (str): A folder, or the name of an installed package.
    RETURNS: JSON-ready "size_mb" of its files, "load_seconds" from the start of the first import on, "memory_mb" then.
    RAISES: FileNotFoundError.
    """
    folder = folder_of(model)
    result = subprocess.run([sys.executable, "-c", PROBE, model], capture_output=True, text=True, check=True)
    loaded: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return {"size_mb": round(folder_bytes(folder) / MEGABYTE, 1), **loaded}


def folder_bytes(folder: Path) -> int:
    """The bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
