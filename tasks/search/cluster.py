"""Ray on this machine, for as long as a search needs it; or the cluster that is there already."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import InputError
from tasks.params import Resources
from tasks.stage import read_json, write_json

SPARE_MEMORY = 128 << 20
"""Bytes of object store beyond the tables: for Ray's own objects."""

QUIET: dict[str, str] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
"""No reports to the outside, no loggers and tables of its own, the state on disk at most a second old, ends noticed soon, and Ctrl-C ours."""

ALLOCATOR: dict[str, str] = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(512 << 20)}
"""For glibc in the processes of trials: what a step of a population frees is kept for the next one, not given back to the kernel."""

PREFIX = "equipoise-"

LOOPBACK = ("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
"""Ray's own switch for machines that are no cluster, whatever they run: its servers listen on 127.0.0.1 only."""


@dataclass(frozen=True)
class Shares:
    """What one trial gets, and how many run at once."""

    cpus: float
    gpus: float
    at_once: int


def address_of(resources: Resources) -> str | None:
    """The cluster that trials run on, or None: on this machine, on a Ray of the search's own."""
    if resources.ray == "auto":
        return os.environ.get("RAY_ADDRESS") or None
    return None if resources.ray == "local" else resources.ray


def prepare_environment(address: str | None = None) -> None:
    """What Ray reads from the environment when it is imported; without the address of a cluster it stays on loopback."""
    for name, value in (QUIET | ALLOCATOR).items():
        os.environ.setdefault(name, value)
    if address is None:
        os.environ.setdefault(*LOOPBACK)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


@contextlib.contextmanager
def cluster(resources: Resources, device: str, table_bytes: int, note: Path) -> Iterator[Shares]:
    """Ray, started unless it runs already or a cluster is named (`address_of`), and what each trial gets of it.

    `note` is a file that names Ray's scratch folder while it is in use, so that one left by a killed process is found.
    """
    address = address_of(resources)
    prepare_environment(address)
    import ray

    started, scratch = not ray.is_initialized(), None
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "include_dashboard": False}
    try:
        if started and address is not None:
            with _termination_kept():
                _join(address)
        elif started:
            scratch = _scratch(note)
            wanted = (resources.concurrent_trials or 1) * resources.cpus_per_trial
            with _termination_kept():
                ray.init(
                    "local",  # whatever RAY_ADDRESS says
                    num_cpus=max(cores(), -int(-wanted // 1)),
                    object_store_memory=max(SPARE_MEMORY, int(1.3 * table_bytes)) + SPARE_MEMORY,
                    _temp_dir=scratch,
                    **options,
                )
        for name in ("ray", "ray.tune", "ray.train"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        yield shares(resources, device, ray.cluster_resources())
    finally:
        if started:
            # A reference into Ray that is collected later, from another thread, while Ray shuts down, ends the process.
            gc.collect()
            ray.shutdown()
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
            note.unlink(missing_ok=True)


@contextlib.contextmanager
def _termination_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself as it starts; whoever had set a handler before keeps it, and is called when Ray is up.

    Prefect is one: it asks its handler whether a run was cancelled, and has one without it as crashed. One that comes while
    Ray starts waits for that: what is half started is not taken down again. Whoever asks meanwhile is told of the handler
    before: Prefect takes note of a cancellation only while its own is the one.
    """
    before = signal.getsignal(signal.SIGTERM)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    actual, actually_set = signal.signal, signal.getsignal

    def but_termination(number: Any, handler: Any) -> Any:
        return before if number == signal.SIGTERM else actual(number, handler)

    def as_before(number: Any) -> Any:
        return before if number == signal.SIGTERM else actually_set(number)

    actual(signal.SIGTERM, lambda number, _: came.append(number))
    signal.signal, signal.getsignal = but_termination, as_before  # type: ignore[assignment]
    try:
        yield
    finally:
        signal.signal, signal.getsignal = actual, actually_set
        signal.signal(signal.SIGTERM, before)
        if came:
            signal.raise_signal(signal.SIGTERM)


def _join(address: str) -> None:
    import ray

    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(
            f"params.yaml: resources.ray: no cluster of Ray could be joined at {address} ({error}). Start it, make this "
            f"machine a node of it (ray start --address {address}), set RAY_AUTH_MODE=token if it asks for a token (a cluster of "
            "`ray start` does), or set resources.ray to local."
        ) from error


def _scratch(note: Path) -> str:
    """A new folder for Ray, in place of one that was left behind. Its sockets' paths must be short, so it is in /tmp."""
    if note.exists():
        left = Path(read_json(note))
        if left.name.startswith(PREFIX):
            shutil.rmtree(left, ignore_errors=True)
    scratch = tempfile.mkdtemp(prefix=PREFIX, dir="/tmp")
    write_json(note, scratch)
    return scratch


def shares(resources: Resources, device: str, available: Mapping[str, float]) -> Shares:
    """The share of each trial, never more than there is, as Ray would wait for it for ever."""
    cpus = min(resources.cpus_per_trial, available.get("CPU", 1.0))
    gpus = min(resources.gpus_per_trial, available.get("GPU", 0.0)) if device == "cuda" else 0.0
    if device == "cuda" and gpus == 0:
        raise InputError(
            "params.yaml: resources.gpus_per_trial: trials train on CUDA, but Ray sees no GPU or gives them none of it. "
            "Set it above 0, or resources.device to cpu."
        )
    fit = max(1, int(available.get("CPU", 1.0) // cpus))
    if gpus:
        # Trees need no accelerator, so that more trials than GPU shares may run.
        fit = max(fit, int(available["GPU"] // gpus))
    return Shares(cpus, gpus, resources.concurrent_trials or fit)
