"""What tells a training from any other: its code, its settings, and the content of the files that it reads.

What was made of the same is not made again: finished cells of an experiment and finished runs of an ablation are kept
by such a key, and a checkpoint is gone on from only by what it was made of.
"""

import ast
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# The modules that weights and predictions depend on; the project's command `train` depends on the same and some more.
CODE = (
    *("attention", "augmentation", "batches", "calibration", "checkpoints", "crf", "decoding", "devices"),
    *("distributed", "divergence", "docbins", "embedding", "encoder", "frozen", "gpu_attention", "gradients"),
    *("layout", "linear", "loop", "matching", "model", "network", "objective", "onednn"),
    *("optimizer", "packed", "packed_encoder", "pieces", "pipe", "precision", "ranks", "remembered"),
    *("scoring", "self_training", "sentence_ends", "shared", "stretches", "tags", "threads", "tokenizer"),
    *("training", "windows", "word_pieces"),
)


def digest_of(path: Path) -> str:
    """What tells the content of a file or folder from any other; where it lies is no part of it."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(str(file.relative_to(path)).encode())
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def digest_of_code() -> str:
    """What tells the code that weights and predictions depend on from any other; comments are no part of it."""
    digest = hashlib.sha256()
    for name in CODE:
        source = (Path(__file__).parent / f"{name}.py").read_text(encoding="utf8")
        digest.update(ast.dump(ast.parse(source)).encode())
    return digest.hexdigest()


def key_of(made_of: Mapping[str, Any]) -> str:
    """A short name for what something is made of, JSON-ready; the order of keys is no part of it."""
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:20]
