"""What a training has come to, on disk, and the name of all that it follows from: so that one that was stopped goes on."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch

from models.learners.learner import Checkpoint
from tasks.stage import replacing

log = logging.getLogger("equipoise")

TENSORS, NUMBERS = "checkpoint.safetensors", "checkpoint.json"

KEPT_SECONDS = 10.0
"""Seconds of training between two checkpoints. When they are made does not change the result."""

LIBRARIES = ("numpy", "optuna", "ray", "scikit-learn", "torch")
"""Libraries whose version may change a result."""


def save_checkpoint(checkpoint: Checkpoint, directory: Path) -> None:
    """Tensors as safetensors, numbers as JSON."""
    tensors = {name: value.contiguous() for name, value in checkpoint.tensors.items()}
    safetensors.torch.save_file(tensors, directory / TENSORS)
    (directory / NUMBERS).write_text(json.dumps(checkpoint.numbers), encoding="utf-8")


def load_checkpoint(directory: Path) -> Checkpoint:
    """What `save_checkpoint` wrote."""
    numbers = json.loads((directory / NUMBERS).read_text(encoding="utf-8"))
    return Checkpoint(safetensors.torch.load_file(directory / TENSORS), numbers)


class Kept:
    """The last checkpoint of one training, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last = time.monotonic()

    def checkpoint(self) -> Checkpoint | None:
        """Where an interrupted training stopped; None where there is nothing, or half of it."""
        try:
            found = load_checkpoint(self._folder)
        except (OSError, ValueError, safetensors.SafetensorError):
            return None
        log.info("train: going on from a checkpoint")
        return found

    def now_and_then(self, make: Callable[[], Checkpoint]) -> None:
        """Keep what `make` gives in the place of what is there, whole or not at all, unless that was done just now."""
        if time.monotonic() - self._last < KEPT_SECONDS:
            return
        with replacing(self._folder) as temporary:
            temporary.mkdir(parents=True)
            save_checkpoint(make(), temporary)
        self._last = time.monotonic()


class Rungs:
    """Where trainings stood at the end of a rung, in the folder of their search: the next one goes on from there."""

    def __init__(self, search: Path) -> None:
        self._folder = search / "rungs"

    def keep(self, name: str, checkpoint: Checkpoint) -> None:
        """Keep what the run `name` has come to, whole or not at all."""
        with replacing(self._folder / name) as temporary:
            temporary.mkdir(parents=True)
            save_checkpoint(checkpoint, temporary)

    def forget(self, name: str) -> None:
        """Give back what was kept of a run, once nobody goes on from it."""
        shutil.rmtree(self._folder / name, ignore_errors=True)

    def load(self, name: str | None) -> Checkpoint | None:
        """What was kept of it; None where there is nothing, as of a run that another clone has done."""
        if name is None:
            return None
        try:
            return load_checkpoint(self._folder / name)
        except (OSError, ValueError, safetensors.SafetensorError):
            return None


def identity(settings: Mapping[str, Any], inputs: Iterable[Path], code: Iterable[Path]) -> str:
    """A digest of all that a result follows from: the settings, the data, the code and the libraries."""
    digest = hashlib.sha256()
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    digest.update(json.dumps([settings, versions], sort_keys=True, default=str).encode())
    for root in (*inputs, *code):
        files = sorted(root.rglob("*")) if root.is_dir() else [root]
        for path in files:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(path.relative_to(root.parent).as_posix().encode())
                with path.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
